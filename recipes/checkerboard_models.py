"""The three flows of the checkerboard experiment: two of affine couplings, one of residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.blocks import AffineCoupling, ChannelSplit
from inntf.compose import Chain, Repeat
from inntf.models import Flow, residual_flow
from inntf.nets import LipSwish
from inntf.numerics import SigmoidScale

NAMES = ("affine_sigmoid", "affine_half", "residual")
LABELS = {
    "affine_sigmoid": "affine, scale in (0, 1)",
    "affine_half": "affine, scale in (0.5, 1)",
    "residual": "residual flow",
}


def make_flow(name: str, config: Any) -> Flow:
    """One of the three, built; its weights depend on Keras' seed."""
    if name == "residual":
        return residual_flow(
            event_shape=2,
            depth=config.blocks_residual,
            hidden=config.hidden_residual,
            coefficient=config.coefficient,
            log_det="exact",
            actnorm=False,
            max_iterations=config.power_iterations,
            name="residual",
        )
    scale = SigmoidScale(low=0.5 if name == "affine_half" else 0.0)

    def coupling(swap: bool) -> AffineCoupling:
        return AffineCoupling(
            conditioner=lambda channels: swish_network(config.hidden_affine, channels),
            scale=scale,
            split=ChannelSplit(swap=swap),
        )

    return Flow(Repeat(lambda: Chain([coupling(False), coupling(True)]), config.blocks_affine), event_shape=2, name=name)


def swish_network(hidden: Sequence[int], out_channels: int) -> keras.Sequential:
    """The paper's network: the activation comes before each linear layer, on the input too; nothing starts at zero.

    Weights and biases start uniform within `1/sqrt(inputs)`, as in the paper's code.
    """
    layers: list[keras.layers.Layer] = []
    inputs = 1
    for units in (*hidden, out_channels):
        start = keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)
        layers += [LipSwish(), keras.layers.Dense(units, kernel_initializer=start, bias_initializer=start)]
        inputs = units
    return keras.Sequential(layers)
