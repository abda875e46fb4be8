"""The three flows that are attacked, and the one over integers that is exported."""

from __future__ import annotations

from typing import Any

import keras

from inntf.blocks import ActNorm, AffineCoupling, Dequantize, Logit, Permutation, ResidualBlock, Squeeze
from inntf.compose import Chain
from inntf.core import Block
from inntf.models import DensityModel, Flow, glow, residual_flow
from inntf.nets import ConcatLipSwish, ConvNet, LipSwish, SpectralConv2D
from inntf.numerics import RussianRoulette, SigmoidScale
from recipes.attack.settings import Config
from recipes.common.schedule import warm_constant, warm_cosine

_ACTIVATIONS = {"lip_swish": LipSwish, "concat_lip_swish": ConcatLipSwish}


def make_flow(name: str, config: Config, shape: tuple[int, int, int]) -> Flow:
    """A logit, then blocks after each of `levels` squeezes, then `dense_end` blocks on whole images; over images on [0, 1).

    The couplings multiply on the way to the latent, so the inverse divides: by anything (`affine_sigmoid`), or by at least
    one half (`affine_half`).
    """
    common: dict[str, Any] = {"event_shape": shape, "levels": config.levels, "factor_out": False, "name": name}
    common["preprocessing"] = [Logit(alpha=config.logit)]
    if name == "residual":
        flow = residual_flow(
            **common,
            depth=config.depth_residual,
            hidden=config.hidden_residual,
            activation=_ACTIVATIONS[config.activation],
            coefficient=config.coefficient,
            log_det=RussianRoulette(exact_terms=config.exact_terms, gradient="neumann"),
            max_iterations=1,
        )
    else:
        flow = glow(
            **common,
            depth=config.depth_affine,
            scale=_scale(name),
            permutation=config.mixing,
            conditioner=lambda channels: ConvNet(config.hidden_affine, activation="elu", out_channels=channels),
            seed=config.seed,
        )
    return _with_dense_end(name, config, flow) if config.dense_end else flow


def compile_model(model: DensityModel, name: str, config: Config) -> None:
    """Adamax for couplings, Adam for residual blocks, as in the papers."""
    residual = name == "residual"
    rate = config.rate_residual if residual else config.rate_affine
    rates = warm_cosine(rate, config.steps(name)) if config.schedule == "cosine" else warm_constant(rate, config.warm_up)
    common = {"global_clipnorm": config.clip_norm}
    optimizer = keras.optimizers.Adam(rates, beta_2=0.99, **common) if residual else keras.optimizers.Adamax(rates, **common)
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)


def over_levels(flow: Flow, config: Config) -> Flow:
    """The same flow over integers from 0 to `2^bits - 1`: bin centres; no noise, so that a served model repeats itself."""
    block = Chain([Dequantize(2**config.bits, noise="center"), flow.block])
    return Flow(block, event_shape=tuple(flow.event_shape), name="flow_over_levels")


def _scale(name: str) -> SigmoidScale:
    return SigmoidScale(low=0.5 if name == "affine_half" else 0.0)


def _with_dense_end(name: str, config: Config, flow: Flow) -> Flow:
    """Blocks on one pixel with all entries of the image as its channels: a 1x1 convolution of it is a dense layer."""
    factor = flow.event_shape[0] // 2**config.levels
    blocks: list[Block] = [flow.block, Squeeze(factor)]
    for i in range(config.dense_end):
        if name == "residual":
            blocks += [ActNorm(), ResidualBlock(network=lambda channels: _dense(config, channels))]
        else:
            net = ConvNet(config.hidden_dense, kernel_sizes=(1, 1, 1), activation="elu")
            blocks += [ActNorm(), Permutation.shuffle(config.seed + i), AffineCoupling(conditioner=net, scale=_scale(name))]
    return Flow(Chain(blocks), event_shape=tuple(flow.event_shape), name=name)


def _dense(config: Config, channels: int) -> keras.layers.Layer:
    layers: list[keras.layers.Layer] = []
    for units in (config.hidden_dense, config.hidden_dense, channels):
        layer = SpectralConv2D(units, 1, coefficient=config.coefficient, max_iterations=1, update_every_call=False)
        layers += [_ACTIVATIONS[config.activation](), layer]
    return keras.Sequential(layers)
