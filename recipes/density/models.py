"""The flows that are compared, and the one over pixels that is exported."""

from __future__ import annotations

import keras

from inntf.blocks import ActNorm, Dequantize, Rescale
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, glow, residual_flow
from inntf.nets import ConcatLipSwish, ConvNet, LipSwish
from inntf.numerics import RussianRoulette, SigmoidScale
from recipes.common.schedule import warm_constant, warm_cosine
from recipes.density.images import BITS
from recipes.density.settings import Config

_ACTIVATIONS = {"lip_swish": LipSwish, "concat_lip_swish": ConcatLipSwish}


def make_flow(name: str, config: Config, shape: tuple[int, int, int]) -> Flow:
    """Over images on [-1/2, 1/2]: a Glow with learned priors, or a residual flow; no logit in front.

    Affine couplings multiply by `sigmoid(raw + 2) + lowest_scale` on the way to the latent, so the inverse divides by it.
    """
    if name == "residual":
        return residual_flow(
            event_shape=shape,
            levels=config.levels,
            depth=config.depth_residual,
            hidden=config.hidden_residual,
            activation=_ACTIVATIONS[config.activation],
            coefficient=config.coefficient,
            log_det=RussianRoulette(exact_terms=config.exact_terms, gradient="neumann"),
            max_iterations=1,
            name=name,
        )
    normalization = ActNorm if config.actnorm_inside else None
    additive = name == "additive"
    return glow(
        event_shape=shape,
        levels=config.levels,
        depth=config.depth,
        permutation=config.mixing,
        additive=additive,
        scale=None if additive else SigmoidScale(low=config.lowest_scale, high=1.0 + config.lowest_scale),
        factor_out=config.factor_out,
        conditioner=lambda channels: ConvNet(config.hidden, out_channels=channels, normalization=normalization),
        seed=config.seed,
        name=name,
    )


def compile_model(model: DensityModel, name: str, config: Config) -> None:
    """Adamax for couplings, Adam for residual blocks, as in the papers."""
    residual = name == "residual"
    rate, steps = config.rate_residual if residual else config.rate, config.steps_of(name)
    rates = warm_cosine(rate, steps) if config.schedule == "cosine" else warm_constant(rate, config.warm_up)
    clip = {"global_clipnorm": config.clip_norm}
    if residual:
        optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(rates, beta_2=0.99, **clip)
    else:
        optimizer = keras.optimizers.Adamax(rates, weight_decay=config.weight_decay or None, **clip)
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)


def over_pixels(flow: Flow) -> Flow:
    """The same flow over pixels 0 to 255: bin centres; no noise, so that a served model repeats itself."""
    block = Chain([Dequantize(2**BITS, noise="center"), Rescale(shift=-0.5), flow.block])
    return Flow(block, event_shape=tuple(flow.event_shape), name="flow_over_pixels")
