"""Keras' own test of layers: configuration, saving, masking, dtypes, mixed precision, symbolic calls, training."""

from __future__ import annotations

import numpy as np
import pytest
from keras.src.testing import TestCase

from inntf import blocks, compose, nets

VECTOR, IMAGE = (3, 4), (2, 4, 4, 3)
LAYERS = {
    "ActNorm": (blocks.ActNorm, {}, VECTOR),
    "AdditiveCoupling": (blocks.AdditiveCoupling, {}, VECTOR),
    "AffineCoupling": (blocks.AffineCoupling, {}, VECTOR),
    "SplineCoupling": (blocks.SplineCoupling, {}, VECTOR),
    "TwoSidedCoupling": (blocks.TwoSidedCoupling, {}, VECTOR),
    "ExactAdditiveCoupling": (blocks.ExactAdditiveCoupling, {"conditioner": nets.MLP((4,))}, VECTOR),
    "MaskedAutoregressive": (blocks.MaskedAutoregressive, {}, VECTOR),
    "InvertibleLinear": (blocks.InvertibleLinear, {"seed": 1}, VECTOR),
    "InvertibleConv1x1": (blocks.InvertibleConv1x1, {"seed": 1}, IMAGE),
    "Permutation": (blocks.Permutation, {"seed": 1}, VECTOR),
    "Asinh": (blocks.Asinh, {"scale": 2.0}, VECTOR),
    "SoftTails": (blocks.SoftTails, {"bound": 0.5}, VECTOR),
    "RadialTails": (blocks.RadialTails, {"bound": 0.5}, VECTOR),
    "Rescale": (blocks.Rescale, {"scale": 2.0}, VECTOR),
    "ResidualBlock": (blocks.ResidualBlock, {"coefficient": 0.5}, VECTOR),
    "BiLipschitz": (blocks.BiLipschitz, {"lower": 0.5, "upper": 2.0, "hidden": 4}, VECTOR),
    "ContinuousBlock": (blocks.ContinuousBlock, {"trace": "exact"}, VECTOR),
    "InjectivePadding": (blocks.InjectivePadding, {"channels": 6}, VECTOR),
    "SnapToGrid": (blocks.SnapToGrid, {}, VECTOR),
    "Squeeze": (blocks.Squeeze, {}, IMAGE),
    "Haar": (blocks.Haar, {}, IMAGE),
    "Logit": (blocks.Logit, {}, VECTOR),
    "Chain": (compose.Chain, {"blocks": [blocks.ActNorm(), blocks.AffineCoupling()]}, VECTOR),
    "Blockwise": (compose.Blockwise, {"blocks": [blocks.ActNorm(), blocks.Logit()], "columns": [[0, 3], [2, 1]]}, VECTOR),
    "Repeat": (compose.Repeat, {"make_block": blocks.AffineCoupling(), "n": 2}, VECTOR),
    "Multiscale": (compose.Multiscale, {"levels": [blocks.Squeeze(), blocks.ActNorm()]}, IMAGE),
    "MLP": (nets.MLP, {"hidden": (4,), "out_channels": 2}, VECTOR),
    "LipschitzMLP": (nets.LipschitzMLP, {"hidden": (4,), "out_channels": 2}, VECTOR),
    "MaskedMLP": (nets.MaskedMLP, {"out_channels": 8, "hidden": (4,)}, VECTOR),
    "ConvNet": (nets.ConvNet, {"hidden": 4, "out_channels": 2}, IMAGE),
    "SpectralDense": (nets.SpectralDense, {"units": 3}, VECTOR),
    "SpectralConv2D": (nets.SpectralConv2D, {"filters": 2, "kernel_size": 3}, IMAGE),
    "LipSwish": (nets.LipSwish, {}, VECTOR),
    "ConcatLipSwish": (nets.ConcatLipSwish, {}, VECTOR),
    "MaxMin": (nets.MaxMin, {}, VECTOR),
    "Discriminator": (nets.Discriminator, {"widths": (4,)}, IMAGE),
}
FAST = {"AffineCoupling", "MaskedMLP", "Rescale", "SpectralDense", "Squeeze"}


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in LAYERS], ids=str
)
def test_layer(name):
    case = TestCase("run_layer_test")
    case.setUp()
    layer, arguments, shape = LAYERS[name]
    x = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)
    if name == "ExactAdditiveCoupling":
        x = np.round(x * 1024) / 1024  # it takes multiples of 2^-10
    case.run_layer_test(layer, init_kwargs=arguments, input_data=x)
