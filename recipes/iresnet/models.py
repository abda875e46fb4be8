"""The networks of the i-ResNet experiments: classifiers, residual flows, and couplings with as many weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import (
    ActNorm,
    AffineCoupling,
    ChannelSplit,
    CheckerboardSplit,
    Dequantize,
    InvertibleConv1x1,
    Logit,
    Squeeze,
)
from inntf.compose import Chain
from inntf.core import Block
from inntf.models import Flow, IResNetClassifier, glow, i_resnet_classifier, real_nvp, residual_flow
from inntf.nets import ConcatLipSwish, ConvNet, LipSwish, MaxMin
from inntf.numerics import RussianRoulette, SigmoidScale
from recipes.common.schedule import warm_cosine
from recipes.iresnet.settings import Config

LEVELS = 256
_WIDEST = 4096
ACTIVATIONS = {"elu": "elu", "max_min": MaxMin, "lip_swish": LipSwish, "concat_lip_swish": ConcatLipSwish}


# ---- classifiers ------------------------------------------------------------------------------------------------


def make_classifier(config: Config, shape: tuple[int, int, int], classes: int, coefficient: float | None) -> IResNetClassifier:
    """The same network for every coefficient; with plain convolutions for `None`.  Compiled."""
    model = i_resnet_classifier(
        event_shape=shape,
        classes=classes,
        blocks=config.blocks,
        hidden=config.hidden,
        channels=config.channels,
        squeeze_first=config.squeeze_first,
        coefficient=coefficient,
        activation=ACTIVATIONS[config.activation],
        max_iterations=config.power_iterations,
    )
    rate = learning_rate(config.rate_classify, config.steps_classify, config.schedule)
    decay = config.weight_decay or None
    if config.optimizer == "sgd":
        optimizer: Any = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    optimizer.build(model.trainable_variables)
    return model


def learning_rate(highest: float, steps: int, schedule: str = "cosine") -> keras.optimizers.schedules.LearningRateSchedule:
    """Up from zero over the first twentieth of the steps, then half a cosine; or `steps`: a fifth after 30, 60 and 80 %."""
    if schedule == "steps":
        ends = [max(1, round(share * steps)) for share in (0.3, 0.6, 0.8)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(ends, [highest * 0.2**k for k in range(4)])
    return warm_cosine(highest, steps)


def unit(pixels: Any) -> tf.Tensor:
    """Pixels 0 to 255 as the classifiers see them, 0 to 1."""
    return tf.cast(pixels, tf.float32) / (LEVELS - 1.0)


# ---- flows on images --------------------------------------------------------------------------------------------


def make_image_flow(
    name: str, config: Config, shape: tuple[int, int, int], weights: int | None = None, exact_terms: int = 2
) -> Flow:
    """A logit, then blocks at full resolution and after each of `levels` squeezes; nothing is factored out.

    Args:
        name: `residual`, `affine` (Glow: no couplings at full resolution) or `affine_unsqueezed` (as many couplings as the
            residual flow has blocks, at the same resolutions).
        config: settings of the run.
        shape: of the images.
        weights: how many the couplings should have.
        exact_terms: of the residual flow's log-determinants, which are unbiased whatever their number.

    Returns:
        A flow over images on [0, 1), bin width 1/256.
    """
    first = [Logit(alpha=config.logit)]
    common: dict[str, Any] = {"event_shape": shape, "levels": config.levels, "factor_out": False, "name": name}
    if name == "residual":
        return residual_flow(
            **common,
            depth=config.depth,
            unsqueezed=config.unsqueezed,
            hidden=config.hidden_density,
            activation=ACTIVATIONS[config.activation_density],
            coefficient=config.coefficient_density,
            log_det=RussianRoulette(exact_terms=exact_terms, gradient="neumann"),
            max_iterations=config.power_iterations,
            preprocessing=first,
        )
    if name == "affine_unsqueezed":
        depths = (config.unsqueezed, *config.depth)
        width = matched_width(lambda w: _couplings_weights(shape, depths, w), weights)
        return Flow(Chain([*first, *_couplings(depths, width, config.seed)]), event_shape=shape, name=name)

    def make(hidden: int, depth: int, **more: Any) -> Flow:
        return glow(**common, depth=depth, hidden=hidden, seed=config.seed, preprocessing=first, **more)

    width = matched_width(lambda w: config.depth_glow * count(make(w, 1, repeat=False)), weights)
    return make(width, config.depth_glow)


def _couplings(depths: Sequence[int], hidden: int, seed: int = 0) -> list[Block]:
    """Steps of Real NVP: the colors of a checkerboard take turns, after a squeeze the channels, mixed by Glow's convolution."""

    def step(squeezes: int, i: int) -> Block:
        split = ChannelSplit() if squeezes else CheckerboardSplit(swap=i % 2 == 1)
        mix = [InvertibleConv1x1(seed=seed + i)] if squeezes else []
        return Chain([ActNorm(), *mix, AffineCoupling(conditioner=ConvNet(hidden), scale=SigmoidScale(), split=split)])

    return [
        block
        for squeezes, depth in enumerate(depths)
        for block in [*([Squeeze()] if squeezes else []), *(step(squeezes, i) for i in range(depth))]
    ]


def _couplings_weights(shape: tuple[int, int, int], depths: Sequence[int], hidden: int) -> int:
    total = 0
    for squeezes, depth in enumerate(depths):
        event = (shape[0] >> squeezes, shape[1] >> squeezes, shape[2] << 2 * squeezes)
        one = _couplings([0] * squeezes + [1], hidden)[-1].ensure_built(event)
        total += depth * count(one)
    return total


def dequantized(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pixels 0 to 255 with uniform noise on [0, 1), `(batch, ...)`; the same for the same two integers."""
    u = tf.random.stateless_uniform(tf.shape(pixels), seed, maxval=1.0 - 2.0**-12)  # rounding must not reach the next bin
    return (tf.cast(pixels, tf.float32) + tf.ensure_shape(u, pixels.shape)) / LEVELS


def over_pixels(flow: Flow) -> Flow:
    """The same flow over integer pixels: bin centres in front; no noise, so that a served model repeats itself."""
    shape = tuple(flow.event_shape)
    block = Chain([Dequantize(LEVELS, noise="center"), flow.block])
    return Flow(block, event_shape=shape, name=f"{flow.name}_over_pixels")


# ---- flows in two dimensions ------------------------------------------------------------------------------------


def make_toy_flow(name: str, config: Config, weights: int | None = None) -> Flow:
    """`residual` or `affine` in two dimensions, `depth_toys` blocks."""
    if name == "residual":
        return residual_flow(
            event_shape=2,
            depth=config.depth_toys,
            hidden=config.hidden_toys,
            coefficient=config.coefficient_density,
            log_det="exact",
            max_iterations=config.power_iterations,
            name=name,
        )
    layers = len(config.hidden_toys)

    def make(hidden: int, depth: int, **more: Any) -> Flow:
        common = {"hidden": (hidden,) * layers, "activation": "silu", "seed": config.seed, "name": name}
        more |= {"heavy_tails": False}  # the plain flow beside the residual one
        return real_nvp(event_shape=2, depth=depth, **common, **more)

    return make(matched_width(lambda w: config.depth_toys * count(make(w, 1, repeat=False)), weights), config.depth_toys)


# ---- weights ----------------------------------------------------------------------------------------------------


def count(flow: Flow | Block) -> int:
    """Number of trainable weights."""
    block = flow.block if isinstance(flow, Flow) else flow
    return int(sum(np.prod(w.shape) for w in block.trainable_weights))


def matched_width(weights: Callable[[int], int], target: int | None) -> int:
    """The width for which a network whose number of weights is a quadratic of its width comes nearest to a number.

    >>> matched_width(lambda w: w * w + 3 * w + 5, 118)  # 10: 135, 9: 113
    9

    Args:
        weights: number of weights by width; asked for three widths.
        target: the number wanted; `None` is no number.

    Returns:
        The width, at least 1.
    """
    if target is None:
        raise ValueError("matched_width: received no number of weights, expected one. Count those of the other model.")
    known = [4, 8, 16]
    quadratic = np.polyfit(known, [weights(width) for width in known], 2)
    widths = np.arange(1, _WIDEST + 1)
    return int(widths[np.argmin(np.abs(np.polyval(quadratic, widths) - target))])
