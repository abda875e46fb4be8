"""The invertible autoencoder of Nguyen et al. for images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.coupling_two_sided import TwoSidedCoupling
from inntf.blocks.haar import Haar
from inntf.compose.chain import Chain
from inntf.compose.invert import Invert
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.invertible_autoencoder import InnAutoencoder
from inntf.nets.convnet import ConvNet
from inntf.nets.flat_mlp import FlatMLP
from inntf.numerics.stateless_draws import gaussian
from inntf.numerics.transformers.scales import ExpScale

REFERENCE_AUTOENCODERS: dict[str, dict[str, Any]] = {
    "mnist": {"event_shape": (28, 28, 1), "stages": (3,), "hidden": 100, "dense_hidden": 180},
    "cifar10": {"event_shape": (32, 32, 3), "stages": (3,), "hidden": 128, "dense_hidden": 1000},
    "celeba": {"event_shape": (156, 128, 3), "stages": (3, 3), "hidden": 128, "dense_hidden": 200},
}
"""Architectures of the paper, arguments of `inn_autoencoder`: 1,121,192, 13,235,176 and 50,070,152 weights."""

_ATAN = 0.636 * math.pi / 2  # the code writes 0.636 for 2 / pi
_SPREAD = 0.1  # standard deviation of all weights but those of last layers, at the start


def inn_autoencoder(
    event_shape: Shape,
    bottleneck: int,
    *,
    stages: Sequence[int] = (3,),
    hidden: int = 100,
    dense_hidden: int = 180,
    clamp: float = 1.0,
    backprop: str = "stored",
    seed: int | None = None,
    dtype: Any = None,
    name: str = "inn_autoencoder",
    **kwargs: Any,
) -> InnAutoencoder:
    """[Haar, two-sided convolutional couplings] for each stage, one fully connected coupling, and all Haars undone.

    The latent has the shape of the image.  Conditioners of a convolutional coupling are 3x3, 3x3, 1x1 convolutions with
    LeakyReLU(0.1), one a side for shift and raw scale, and the scale is `exp(0.636 clamp atan(raw / clamp))`; those of the last
    coupling see half of all channels at every pixel, with one hidden layer and ReLU, a network each for shift and for raw
    scale, and the scale is `exp(0.636 clamp atan(raw))`.  Weights start from N(0, 0.1^2), those of last layers at zero: the map
    starts as the identity.

    Args:
        event_shape: `(height, width, channels)`; height and width divisible by `2^len(stages)`.
        bottleneck: number of entries of a code.
        stages: convolutional couplings behind each Haar.
        hidden: channels of their hidden layers.
        dense_hidden: width of the hidden layers of the fully connected coupling.
        clamp: bound of every log-scale, up to the factor 0.636 pi / 2.
        backprop: `"stored"`, `"reversible"` or `"checkpointed"`, see `Chain`.
        seed: of the first weights and of `InnAutoencoder`; `None` draws anew.
        dtype: dtype or policy of the blocks.
        name: name of the model.
        **kwargs: of `InnAutoencoder`: `reconstruction`, `padding_weight`, `prior_weight`, `kernel`, `regularizers`.

    Returns:
        An `InnAutoencoder`.

    Raises:
        ValueError: for arguments that are out of range, or an image that does not divide; TypeError: for arguments that are
            something else.

    Source: Nguyen, Ardizzone, Koethe, "Training Invertible Neural Networks as Autoencoders" (2019), section 3.1; scales,
        initialization and wiring as in its published code.

    Example:
        >>> model = inn_autoencoder((28, 28, 1), 12)  # that for MNIST
        >>> model.count_params()
        1121192
    """
    who = "inn_autoencoder"
    event_shape = check.shape(who, "event_shape", event_shape, (3,))
    stages = check.widths(who, "stages", stages)
    check.count(who, "hidden", hidden, remedy="A network needs a channel.")
    check.count(who, "dense_hidden", dense_hidden, remedy="A network needs a neuron.")
    check.number(who, "clamp", clamp, 0.0)
    check.backprop(who, backprop)
    if seed is not None:
        check.seed(who, seed)
    check.squeezes(who, event_shape, len(stages), [])
    scale = ExpScale(_ATAN * clamp, slope=1 / clamp)

    def convolutions(out_channels: int) -> ConvNet:
        activation = keras.layers.LeakyReLU(0.1)
        return ConvNet(hidden, out_channels=out_channels, kernel_sizes=(3, 3, 1), activation=activation, dtype=dtype)

    def dense(out_channels: int) -> FlatMLP:
        return FlatMLP(dense_hidden, out_channels=out_channels, groups=2, dtype=dtype)

    blocks: list[Any] = []
    for couplings in stages:
        blocks.append(Haar(order="channel_major", dtype=dtype))
        blocks += [TwoSidedCoupling(conditioner=convolutions, scale=scale, dtype=dtype) for _ in range(couplings)]
    blocks.append(TwoSidedCoupling(conditioner=dense, scale=ExpScale(_ATAN * clamp), dtype=dtype))
    blocks += [Invert(Haar(order="channel_major", dtype=dtype)) for _ in stages]
    chain = Chain(blocks, backprop=backprop, dtype=dtype).ensure_built(event_shape)
    _draw(chain, seed)
    return InnAutoencoder(chain, bottleneck, seed=seed, name=name, **kwargs)


def _draw(chain: Chain, seed: int | None) -> None:
    """All weights from N(0, 0.1^2), but those of last layers, which stay at zero."""
    first = tf.random.uniform([], 0, 2**31 - 1, tf.int32) if seed is None else seed & 0x7FFFFFFF
    count = itertools.count()
    for block in chain:
        for side in block.blocks_in_turn() if isinstance(block, TwoSidedCoupling) else ():
            net = side.conditioner
            inner = net.convolutions[:-1] if isinstance(net, ConvNet) else [net]
            weights = [v for layer in inner for v in layer.trainable_variables if isinstance(net, ConvNet)]
            for variable in weights or [*net.kernels[:-1], *net.biases[:-1]]:
                seeds = tf.stack([tf.cast(first, tf.int32), next(count)])
                variable.assign(_SPREAD * gaussian(variable.shape, seeds, tf.as_dtype(variable.dtype)))
