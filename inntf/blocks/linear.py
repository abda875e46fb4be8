"""Invertible linear maps over the channels: of vectors, and of pixels (1x1 convolutions)."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, pixels
from inntf.core.tags import Tags
from inntf.core.upper_bounds import upper_reciprocal
from inntf.core.weights import read


@keras.saving.register_keras_serializable("inntf")
class InvertibleLinear(Block):
    """`z = W x` on the last axis, `log_det = pixels * log|det W|`.

    Two parametrizations, both starting from the same random rotation:

    - `"plu"`: `W = P L (U + diag(sign * exp(log_diagonal)))` with a fixed permutation `P` and fixed signs; the inverse is two
      triangular solves, `log|det W| = sum(log_diagonal)`, and W cannot become singular.
    - `"dense"`: `W` itself, unconstrained; `log|det W| = sum log|diag R|` of its QR decomposition, which works under XLA
      (`slogdet` does not).

    Args:
        parametrization: `"plu"` or `"dense"`.
        seed: of the initial rotation.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for another parametrization.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.2, eq. 9-11.

    Example:
        >>> block = InvertibleLinear(seed=0); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(tf.norm(z, axis=-1) - tf.norm(x, axis=-1))) < 1e-5)
        True
    """

    tags = Tags(affine=True)

    allowed_event_ndims: tuple[int, ...] = (1, 3)
    uses_condition = False

    def __init__(self, *, parametrization: str = "plu", seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if parametrization not in ("plu", "dense"):
            raise ValueError(
                explain(
                    type(self).__name__,
                    received=f"parametrization={parametrization!r}",
                    expected="'plu' or 'dense'",
                    remedy="'plu' cannot become singular; 'dense' is unconstrained.",
                )
            )
        self.parametrization, self.seed = parametrization, seed

    def build(self, input_shape: Shape) -> None:
        """Start from a random rotation."""
        size = input_shape[-1]
        for name, value in self.draw_weights(input_shape).items():
            setattr(self, name, self._weight(name, value, trainable=name not in ("permutation", "sign")))
        self._strictly_lower = np.tril(np.ones((size, size)), -1)

    def draw_weights(self, input_shape: Shape) -> dict[str, np.ndarray]:
        """The weights of one random rotation."""
        size = input_shape[-1]
        seed = random.randrange(2**31) if self.seed is None else self.seed
        # TensorFlow's decomposition: the threads of the BLAS behind numpy spin for long on a busy machine.
        rotation = tf.linalg.qr(np.random.default_rng(seed).normal(size=(size, size))).q.numpy()
        if self.parametrization == "dense":
            return {"matrix": rotation}
        permutation, lower, upper = _plu(rotation)
        diagonal = np.diag(upper)
        return {
            "permutation": permutation,
            "sign": np.sign(diagonal),
            "lower": np.tril(lower, -1),
            "upper": np.triu(upper, 1),
            "log_diagonal": np.log(np.abs(diagonal)),
        }

    def _weight(self, name: str, value: np.ndarray, trainable: bool = True) -> keras.Variable:
        start = keras.initializers.Constant(0.0)
        weight = self.add_weight(shape=value.shape, initializer=start, trainable=trainable, name=name)
        weight.assign(value)
        return weight

    def _factors(self, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        mask = tf.constant(self._strictly_lower, dtype)
        lower = read(self.lower, dtype) * mask + tf.eye(len(self._strictly_lower), dtype=dtype)
        diagonal = read(self.sign, dtype) * tf.exp(read(self.log_diagonal, dtype))
        return lower, read(self.upper, dtype) * tf.transpose(mask) + tf.linalg.diag(diagonal)

    def kernel(self, dtype: Any = None) -> tf.Tensor:
        """`W`, `(channels, channels)`, such that `z = W x`."""
        dtype = tf.as_dtype(dtype or self.variable_dtype)
        if self.parametrization == "dense":
            return read(self.matrix, dtype)
        lower, upper = self._factors(dtype)
        return read(self.permutation, dtype) @ lower @ upper

    def log_abs_det(self, dtype: Any = None) -> tf.Tensor:
        """`log|det W|`, a scalar."""
        dtype = tf.as_dtype(dtype or self.variable_dtype)
        if self.parametrization == "plu":
            return tf.reduce_sum(read(self.log_diagonal, dtype))
        diagonal = tf.linalg.diag_part(tf.linalg.qr(read(self.matrix, dtype)).r)
        return tf.reduce_sum(tf.math.log(tf.abs(diagonal)))

    def inverse_kernel(self, dtype: Any = None) -> tf.Tensor:
        """`W^-1`, `(channels, channels)`; computed in float64, since it is small and its error reaches every pixel."""
        dtype = tf.as_dtype(dtype or self.variable_dtype)
        wide = tf.float64
        if self.parametrization == "dense":
            return tf.cast(tf.linalg.inv(read(self.matrix, wide)), dtype)
        lower, upper = self._factors(wide)
        right = tf.linalg.triangular_solve(lower, tf.transpose(read(self.permutation, wide)), lower=True)
        return tf.cast(tf.linalg.triangular_solve(upper, right, lower=False), dtype)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`W x` and `pixels * log|det W|`."""
        return apply_matrix(x, self.kernel(x.dtype)), pixels(x) * self.log_abs_det(x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`W^-1 z` and `-pixels * log|det W|`."""
        return apply_matrix(z, self.inverse_kernel(z.dtype)), -pixels(z) * self.log_abs_det(z.dtype)

    def linearize(self, value: tf.Tensor, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`; the matrix is computed once."""
        kernel = self.inverse_kernel(value.dtype) if inverse else self.kernel(value.dtype)
        return apply_matrix(value, kernel), kernel

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`: by the matrix, or its transpose."""
        return apply_matrix(vector, tf.transpose(points) if transposed else points)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: constant; the inverse of a dense matrix with what rounding leaves of it."""
        found = super().local_map(x, radius, condition, inverse)
        if not inverse or self.parametrization != "dense":
            return found
        kernel, back = self.kernel("float64").numpy(), self.inverse_kernel("float64").numpy()
        norm, own = np.linalg.norm(back, 2), np.linalg.norm(kernel, 2)
        left = np.linalg.norm(kernel @ back - np.eye(len(back)), 2) + len(back) * np.finfo(np.float64).eps * norm * own
        deviation = norm * left / (1 - left) if left < 1 else np.inf
        return dataclasses.replace(found, deviation=np.full(len(x), deviation))

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Largest and inverse smallest singular value of `W`, with room for the rounding of the decomposition."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        kernel = self.kernel("float64").numpy()
        if not np.all(np.isfinite(kernel)):
            return unknown(f"{self.name} has weights that are not finite, or beyond float range")
        singular = np.linalg.svd(kernel, compute_uv=False)
        rounding = len(kernel) * float(np.finfo(np.float64).eps) * float(singular[0])
        inverse = upper_reciprocal(max(float(singular[-1]) - rounding, 0.0))
        reason = f"{self.name} is singular up to the rounding of float64" if math.isinf(inverse) else ""
        return LipschitzBounds(float(singular[0]) + rounding, inverse, "global", reason)


@keras.saving.register_keras_serializable("inntf")
class InvertibleConv1x1(InvertibleLinear):
    """Glow's invertible 1x1 convolution: `InvertibleLinear` on the channels of every pixel of an image.

    `z[i, j] = W x[i, j]`, `log_det = height * width * log|det W|`.

    Args:
        parametrization: `"plu"` or `"dense"`.
        seed: of the initial rotation.
        name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for another parametrization, or an input that is no image.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.2.

    Example:
        >>> InvertibleConv1x1(seed=1).forward_and_log_det(tf.ones([2, 4, 4, 3]))[0].shape
        TensorShape([2, 4, 4, 3])
    """

    allowed_event_ndims = (3,)
    default_event_ndims = 3


def _plu(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Doolittle with partial pivoting; small matrices, once.
    size = len(matrix)
    order, lower, upper = np.arange(size), np.eye(size), matrix.copy()
    for k in range(size - 1):
        pivot = k + int(np.argmax(np.abs(upper[k:, k])))
        upper[[k, pivot], k:] = upper[[pivot, k], k:]
        lower[[k, pivot], :k] = lower[[pivot, k], :k]
        order[[k, pivot]] = order[[pivot, k]]
        lower[k + 1 :, k] = upper[k + 1 :, k] / upper[k, k]
        upper[k + 1 :] -= np.outer(lower[k + 1 :, k], upper[k])
    permutation = np.zeros((size, size))
    permutation[order, np.arange(size)] = 1.0
    return permutation, lower, upper


def apply_matrix(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`W x` on the last axis, `(batch, channels)` or `(batch, height, width, channels)`."""
    if x.shape.rank == 2:
        return tf.matmul(x, kernel, transpose_b=True)
    # One matrix product over all pixels is faster than a 1x1 convolution on CPU.
    channels = kernel.shape[0]
    flat = tf.matmul(tf.reshape(x, [-1, channels]), kernel, transpose_b=True)
    return tf.ensure_shape(tf.reshape(flat, tf.shape(x)), x.shape)
