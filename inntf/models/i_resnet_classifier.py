"""The factory of i-ResNets that classify, and of their twins without the constraint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from inntf.blocks import ActNorm, InjectivePadding, ResidualBlock, Squeeze
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.invertible_classifier import IResNetClassifier
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.whole_batch_normalization import WholeBatchNormalization

_KERNEL_SIZES = (3, 1, 3)


def i_resnet_classifier(
    *,
    event_shape: Shape,
    classes: int,
    blocks: Sequence[int] = (7, 7, 7),
    hidden: Sequence[int] = (32, 64, 128),
    channels: int = 16,
    squeeze_first: bool = False,
    coefficient: float | None = 0.9,
    activation: str | Callable[[], keras.layers.Layer] = "elu",
    actnorm: bool = True,
    max_iterations: int = 2,
    tolerance: float | None = None,
    name: str = "i_resnet_classifier",
) -> IResNetClassifier:
    """An invertible residual network for classification, or its twin without the constraint.

    Zero channels are padded, then stages of residual blocks `x + g(x)` with a squeeze between stages; g is 3x3-1x1-3x3, with an
    activation before each convolution but the very first, an ActNorm before each block.  Head: batch normalization, ReLU,
    average over all pixels, linear.

    Args:
        event_shape: `(height, width, channels)`; height and width divide by two once a squeeze.
        classes: number of classes.
        blocks: residual blocks per stage.
        hidden: hidden channels of g, a number per stage.
        channels: of the first stage, at least those of the image (four times as many after a squeeze).
        squeeze_first: whether to squeeze before the first stage: a quarter of the cost.
        coefficient: largest spectral norm of each convolution, below 1; `None` for plain convolutions, without an
            inverse: what a constraint costs is measured against that.
        activation: Keras name, or what makes a layer, such as `LipSwish` or `MaxMin`; 1-Lipschitz.
        actnorm: whether an ActNorm stands before each block.
        max_iterations: the most power iterations of each spectral norm a training step.
        tolerance: of each block's inverse, see `ResidualBlock`.
        name: name of the model.

    Returns:
        An `IResNetClassifier`, built.

    Raises:
        ValueError: for arguments that are out of range: stages that do not match, an image that does not divide, fewer
            channels than there are; TypeError: for arguments that are something else.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), section 5.2 and its public settings.

    Example:
        >>> model = i_resnet_classifier(event_shape=(8, 8, 3), classes=10, blocks=(1, 1), hidden=(4, 4), channels=8)
        >>> model(keras.ops.zeros([2, 8, 8, 3])).shape
        TensorShape([2, 10])
    """
    who = "i_resnet_classifier"
    event_shape = check.shape(who, "event_shape", event_shape, (3,))
    check.count(who, "classes", classes)
    blocks = check.widths(who, "blocks", blocks, remedy="For example blocks=(7, 7, 7), a number per stage.")
    hidden = check.widths(who, "hidden", hidden, remedy="For example hidden=(32, 64, 128), a number per stage.")
    if len(blocks) != len(hidden) or not blocks:
        raise ValueError(
            explain(
                who,
                received=f"blocks for {len(blocks)} stages and hidden channels for {len(hidden)}",
                expected="a number of each a stage",
                remedy="Give both the same length.",
            )
        )
    if isinstance(activation, str):
        check.activation(who, activation)
    else:
        check.layer_maker(who, "activation", activation)
    check.flag(who, squeeze_first=squeeze_first, actnorm=actnorm)
    check.count(who, "max_iterations", max_iterations)
    if coefficient is not None:
        check.number(who, "coefficient", coefficient, 0.0, 1.0)
    if tolerance is not None:
        check.number(who, "tolerance", tolerance, 0.0)
    check.squeezes(who, event_shape, len(blocks) - 1 + squeeze_first, (), what="squeezes")
    given = event_shape[2] * (4 if squeeze_first else 1)
    remedy = f"The image has {event_shape[2]} channels{', times 4 after the squeeze' if squeeze_first else ''}."
    check.count(who, "channels", channels, given, remedy)
    parts: list[Block] = [*([Squeeze()] if squeeze_first else []), InjectivePadding(channels)]
    width = channels
    for stage, (count, inner) in enumerate(zip(blocks, hidden, strict=True)):
        if stage:
            parts.append(Squeeze())
            width *= 4
        for i in range(count):
            network = _branch(width, inner, coefficient, activation, max_iterations, bare=not stage and not i)
            # The floor: padded channels hold nothing at first, and must not be blown up.
            norm = [ActNorm(variance_floor=0.01)] if actnorm else []
            parts += [*norm, ResidualBlock(network=network, tolerance=tolerance)]
    head = keras.Sequential(
        [
            WholeBatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes),
        ]
    )
    body = Chain(parts).ensure_built(event_shape)
    return IResNetClassifier(body, head, invertible=coefficient is not None, name=name)


def _branch(
    width: int, inner: int, coefficient: float | None, activation: Any, max_iterations: int, *, bare: bool
) -> keras.Sequential:
    layers: list[keras.layers.Layer] = []
    for i, (filters, size) in enumerate(zip((inner, inner, width), _KERNEL_SIZES, strict=True)):
        if i or not bare:
            layers.append(keras.layers.Activation(activation) if isinstance(activation, str) else activation())
        if coefficient is None:
            layers.append(keras.layers.Conv2D(filters, size, padding="same"))
        else:
            settings: dict[str, Any] = {
                "coefficient": coefficient,
                "max_iterations": max_iterations,
                "update_every_call": False,
            }
            layers.append(SpectralConv2D(filters, size, **settings))
    return keras.Sequential(layers)
