"""The branch of a residual block as a function of x alone, with its Jacobian where the network knows that without a tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from inntf.core.protocols import JacobianOfWeights
from inntf.nets.activations import lip_swish
from inntf.nets.conditioning import merge_condition
from inntf.nets.convnet import ConvNet
from inntf.nets.lipschitz_mlp import LipschitzMLP
from inntf.nets.spectral_conv import SpectralConv2D


class BranchWithJacobian:
    """`x -> g(x)` and, for vectors, `x -> (g(x), J)` by matrix products alone.

    Args:
        block: a `ResidualBlock` whose network is a `JacobianOfWeights`.
        condition: as in `branch`.
    """

    def __init__(self, block: Any, condition: tf.Tensor | None):
        self.block, self.condition = block, condition

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """`g(x)`."""
        return self.block.branch(x, self.condition)

    def value_and_jacobian(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`g(x)`, and its Jacobian in x, `(batch, dim, dim)`."""
        network = self.block.network
        seen = merge_condition(self.block, x, self.condition)
        value, jacobian = network.value_and_jacobian(seen, network.effective_weights())
        value, jacobian = tf.cast(value, x.dtype), tf.cast(jacobian[:, :, : x.shape[-1]], x.dtype)
        return (value, jacobian) if self.block.sign > 0 else (-value, -jacobian)


def branch_of(block: Any, condition: tf.Tensor | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """The branch with this condition, for an estimator of the log-determinant.

    Args:
        block: a `ResidualBlock`, built.
        condition: as in `branch`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ResidualBlock
        >>> block = ResidualBlock().ensure_built((3,))
        >>> branch_of(block, None)(tf.ones([2, 3])).shape
        TensorShape([2, 3])
    """
    if isinstance(block.network, JacobianOfWeights) and len(block.event_shape) == 1:
        return BranchWithJacobian(block, condition)
    return lambda x: block.branch(x, condition)


def default_network(event_ndims: int, coefficient: float, policy: Any) -> keras.layers.Layer:
    """The network of a block that is given none: dense layers for vectors, 3x3-1x1-3x3 for images.

    Source: inntf; for images Behrmann et al., "Invertible Residual Networks" (2019), section 5.

    Example:
        >>> default_network(1, 0.9, "float32").hidden
        (128, 128)
    """
    if event_ndims == 1:
        return LipschitzMLP((128, 128), coefficient=coefficient, dtype=policy)
    arguments = {"coefficient": coefficient, "update_every_call": False}
    return ConvNet(
        64, activation=lip_swish, zero_last=False, convolution=SpectralConv2D, convolution_arguments=arguments, dtype=policy
    )
