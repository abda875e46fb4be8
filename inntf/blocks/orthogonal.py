"""Orthogonal maps over the channels that stay orthogonal in training: products of Householder reflections."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.linear import apply_matrix
from inntf.core import Block, LipschitzBounds
from inntf.core.arguments import checked_count
from inntf.core.bounds import unknown
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points
from inntf.core.shapes import Shape, last_size
from inntf.core.tags import Tags
from inntf.core.weights import read
from inntf.numerics.orthogonal import householder_product


@keras.saving.register_keras_serializable("inntf")
class OrthogonalLinear(Block):
    r"""`z = Q x` on the last axis with an orthogonal `Q`, whatever the weights; `log_det = 0`, both Lipschitz constants 1.

    $Q = H_1 H_2 \cdots H_k$ with reflections $H_i = I - 2 v_i v_i^\top / |v_i|^2$.  With the columns $u_i = v_i / |v_i|$ of `U`

    $$ Q = I - U T U^\top, \quad T^{-1} = \tfrac12 I + \mathrm{striu}(U^\top U) , $$

    two products of matrices and a triangular solve of size k in place of k steps; nothing of size n is inverted, and the
    inverse is $Q^\top$.  All `channels` reflections reach every orthogonal matrix of determinant $(-1)^k$; fewer are cheaper.
    (A Cayley transform would solve a system of size n at each step, and misses rotations by half a turn.)

    On images it is a 1x1 convolution: the same `Q` at every pixel.

    Args:
        reflections: k, from 1 to the number of channels; as many as there are channels by default.
        seed: of the initial vectors, which are normal.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for less than one reflection, or at build for more than there are channels.

    Source: Tomczak and Welling, "Improving Variational Auto-Encoders using Householder Flow" (2016), eq. 9; the compact form:
    Schreiber and Van Loan, "A storage-efficient WY representation for products of Householder transformations" (1989), and
    Joffrain et al., "Accumulating Householder transformations, revisited" (2006), theorem 2.

    Example:
        >>> block = OrthogonalLinear(seed=0); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(tf.norm(z, axis=-1) - tf.norm(x, axis=-1))) < 1e-5), log_det.shape
        (True, TensorShape([5]))
    """

    tags = Tags(affine=True)
    allowed_event_ndims = (1, 3)
    uses_condition = False

    def __init__(self, *, reflections: int | None = None, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if reflections is not None:
            checked_count(self.name, reflections=reflections)
        self.reflections, self.seed = reflections, seed

    def build(self, input_shape: Shape) -> None:
        """Draw the vectors of the reflections."""
        vectors = self.draw_weights(input_shape)["vectors"]
        self.vectors = self.add_weight(shape=vectors.shape, initializer=keras.initializers.Constant(0.0), name="vectors")
        self.vectors.assign(vectors)

    def draw_weights(self, input_shape: Shape) -> dict[str, np.ndarray]:
        """Normal vectors, `(channels, reflections)`."""
        size = last_size(input_shape)
        count = size if self.reflections is None else self.reflections
        if count > size:
            expected, remedy = f"at most {size}, one a channel", "More reach no other matrices."
            raise ValueError(explain(self.name, received=f"reflections={count}", expected=expected, remedy=remedy))
        seed = random.randrange(2**31) if self.seed is None else self.seed
        return {"vectors": np.random.default_rng(seed).normal(size=(size, count))}

    def kernel(self, dtype: Any = None) -> tf.Tensor:
        """`Q`, `(channels, channels)`, such that `z = Q x`; computed in float64, since it is small and reaches every pixel."""
        product = householder_product(read(self.vectors, tf.float64))
        return tf.cast(product, tf.as_dtype(dtype or self.variable_dtype))

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`Q x` and zero."""
        return apply_matrix(x, self.kernel(x.dtype)), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`Q^T z` and zero."""
        return apply_matrix(z, tf.transpose(self.kernel(z.dtype))), tf.zeros([], z.dtype)

    def linearize(self, value: tf.Tensor, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`; the matrix is computed once."""
        kernel = self.kernel(value.dtype)
        kernel = tf.transpose(kernel) if inverse else kernel
        return apply_matrix(value, kernel), kernel

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`: by the matrix, or its transpose."""
        return apply_matrix(vector, tf.transpose(points) if transposed else points)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """1 and 1: lengths stay."""
        if self.built and not np.all(np.isfinite(read(self.vectors))):
            return unknown(f"{self.name} has weights that are not finite")
        return LipschitzBounds(1.0, 1.0, "global")
