"""Linear maps of flattened events with activations behind them, of which local bounds of networks are made."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.numerics.norms.conv_norms import conv_norm_bound
from inntf.numerics.norms.power_iteration import conv_transpose, spectral_norm


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """`W` of `y = W x + b` followed by an activation, sample by sample; events are flattened.

    Attributes:
        bias: `(out,)`.
        activation: what follows, `None` for nothing.
    """

    bias: np.ndarray
    activation: Any

    @functools.cached_property
    def norm(self) -> float:
        """An upper bound of `|W|_2`."""
        raise NotImplementedError

    def image(self, x: np.ndarray) -> np.ndarray:
        """`W x` of `(n, in)`: `(n, out)`."""
        raise NotImplementedError

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """`W^T y` of `(n, out)`: `(n, in)`."""
        raise NotImplementedError

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """`sum_j W_kj^2 weights_j` of `(n, in)`: squared norms of the rows of `W diag(sqrt(weights))`, `(n, out)`."""
        raise NotImplementedError

    def activate(self, x: np.ndarray) -> np.ndarray:
        """The activation, in float64."""
        if self.activation is None:
            return x
        function = keras.activations.get(self.activation) if isinstance(self.activation, str) else self.activation
        return np.asarray(function(tf.constant(x, tf.float64)), np.float64)


@dataclasses.dataclass(frozen=True)
class IdentityMap(LinearMap):
    """Nothing, behind a last activation."""

    norm = 1.0

    def image(self, x: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return x

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return y

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return weights


@dataclasses.dataclass(frozen=True)
class DenseMap(LinearMap):
    """A matrix `(in, out)`."""

    kernel: np.ndarray

    @functools.cached_property
    def norm(self) -> float:
        """See `LinearMap`."""
        return spectral_norm(self.kernel)

    def image(self, x: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return x @ self.kernel

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return y @ self.kernel.T

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return weights @ self.kernel**2


@dataclasses.dataclass(frozen=True)
class ConvMap(LinearMap):
    """A convolution with zero padding, between two image shapes."""

    kernel: np.ndarray
    strides: tuple[int, int]
    padding: str
    dilation: tuple[int, int]
    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]

    @functools.cached_property
    def norm(self) -> float:
        """See `LinearMap`."""
        return conv_norm_bound(self.kernel, self.inputs[:2], self.strides, self.padding, self.dilation)

    def image(self, x: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return self._convolve(x, self.kernel)

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return self._convolve(weights, self.kernel**2)

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        images, kernel = tf.constant(y.reshape(-1, *self.outputs)), tf.constant(self.kernel)
        back = conv_transpose(kernel, images, [len(y), *self.inputs], self.strides, self.padding, self.dilation)
        return back.numpy().reshape(len(y), -1)

    def _convolve(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        images = tf.constant(x.reshape(-1, *self.inputs))
        out = tf.nn.conv2d(images, kernel, self.strides, self.padding.upper(), dilations=self.dilation)
        return out.numpy().reshape(len(x), -1)


@dataclasses.dataclass(frozen=True)
class MirrorMap(LinearMap):
    """Of each pixel's `channels` numbers `x` both `x` and `-x`."""

    channels: int
    norm = math.sqrt(2) * (1 + 1e-15)

    def image(self, x: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return self._twice(x, -x)

    def transposed(self, y: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        plus, minus = np.split(y.reshape(len(y), -1, 2 * self.channels), 2, axis=2)
        return (plus - minus).reshape(len(y), -1)

    def squared(self, weights: np.ndarray) -> np.ndarray:
        """See `LinearMap`."""
        return self._twice(weights, weights)

    def _twice(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        shape = len(a), -1, self.channels
        return np.concatenate([a.reshape(shape), b.reshape(shape)], 2).reshape(len(a), -1)
