"""The Sylvester flow: space pushed along several directions at once, by how far it is along others."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import tanh_push
from inntf.blocks.inverse_certificate import InverseCertificate, in_shape_of
from inntf.blocks.sylvester_certificate import distance_to_root
from inntf.blocks.sylvester_local import sylvester_in_balls
from inntf.core import Block, LipschitzBounds
from inntf.core.arguments import checked_count
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, centre_and_radius, finite_box, is_finite
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, flatten_leading, last_size
from inntf.core.weights import read
from inntf.numerics.norms.inner_diagonal import inner_diagonal_norms
from inntf.numerics.orthogonal import householder_product

_DIRECTIONS = 8  # at most, by default: up to there bounds are exact


class SylvesterParts(NamedTuple):
    """The map's matrices: `z = x + push tanh(s)`, `s = read x + offset`, `push = Q R`, `read = S Q^T`."""

    push: tf.Tensor
    read: tf.Tensor
    offset: tf.Tensor
    q: tf.Tensor
    outer: tf.Tensor
    inner: tf.Tensor


@keras.saving.register_keras_serializable("inntf")
class Sylvester(Block):
    r"""`z = x + Q R tanh(s)`, $s = S Q^\top x + b$: M planar steps in one, invertible for any weights.

    Q has M orthonormal columns, by Householder reflections; R and S are upper triangular with $s_{ii} > 0$ (no loss: tanh is
    odd) and $r_{ii} s_{ii} = q_i - 1$, $q_i = m + (1 - m)\,\mathrm{softplus}(a_i + \log(e - 1))$, so $q_i > m$ = `least_slope`.
    By Sylvester's identity the determinant is one of size M, and triangular:

    $$\mathtt{log\_det} = \sum_i \log(\tanh^2 s_i + q_i\, \mathrm{sech}^2 s_i) > M \log m.$$

    **The inverse** is found in M dimensions: $s + S R \tanh s = S Q^\top z + b$ is upper triangular, so from the last entry to
    the first each is the root of an increasing function of one number, by Newton's method in a bracket; it always ends.
    `inverse_with_certificate` puts the result back into the map, in float64, and bounds its error by the residual times a
    constant of the inverse there.  Gradients are those of the root, not of the iteration.

    **Bounds** of all inputs are exact up to 8 directions: $I + Q R\,\mathrm{diag}(t)\,S Q^\top$, $0 < t \le 1$, and its inverse
    are largest at corners of t, and all are tried.  Beyond they are proven, but larger; see `inner_diagonal_norms`.

    At the start R is zero and the block the identity.

    Args:
        directions: M, from 1 to the number of entries; by default as many, up to 8.
        least_slope: m, between 0 and 1.
        seed: of the reflections' initial vectors, which are normal.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for less than one direction or, at build, more than entries, or a slope that is not between 0 and 1.

    Source: van den Berg, Hasenclever, Tomczak, Welling, "Sylvester Normalizing Flows for Variational Inference" (2018),
    section 3 and theorem 2, with other diagonals; the inverse, its certificate and the bounds: inntf.

    Example:
        >>> block = Sylvester(directions=2); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> back, _, certificate = block.inverse_with_certificate(z)
        >>> bool(tf.reduce_all(tf.norm(back - x, axis=1) <= certificate.error_bound))
        True
    """

    allowed_event_ndims = (1,)
    uses_condition = False

    def __init__(self, *, directions: int | None = None, least_slope: float = 0.01, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if directions is not None:
            checked_count(self.name, directions=directions)
        if not 0 < least_slope < 1:
            raise ValueError(explain(self.name, received=f"least_slope={least_slope}", expected="a number between 0 and 1"))
        self.directions, self.least_slope, self.seed = directions, float(least_slope), seed

    def build(self, input_shape: Shape) -> None:
        """Draw the vectors of the reflections, make the triangles."""
        vectors = self.draw_weights(input_shape)["vectors"]
        count, zeros = vectors.shape[1], keras.initializers.Constant(0.0)
        self.vectors = self.add_weight(shape=vectors.shape, initializer=zeros, name="vectors")
        self.vectors.assign(vectors)
        # Upper triangles; what is below is never read.  The diagonals hold a and the logarithms of s_ii.
        self.outer = self.add_weight(shape=(count, count), initializer=zeros, name="outer")
        self.inner = self.add_weight(shape=(count, count), initializer=zeros, name="inner")
        self.offset = self.add_weight(shape=(count,), initializer=zeros, name="offset")

    def draw_weights(self, input_shape: Shape) -> dict[str, np.ndarray]:
        """Normal vectors, `(dim, directions)`."""
        size = last_size(input_shape)
        count = min(size, _DIRECTIONS) if self.directions is None else self.directions
        if count > size:
            expected, remedy = f"at most {size}, one an entry", "Use several blocks."
            raise ValueError(explain(self.name, received=f"directions={count}", expected=expected, remedy=remedy))
        seed = random.randrange(2**31) if self.seed is None else self.seed
        return {"vectors": np.random.default_rng(seed).normal(size=(size, count))}

    def parts(self, dtype: Any = None) -> SylvesterParts:
        """The matrices that the weights stand for; computed in float64, since they are small and reach every sample."""
        weights = (self.vectors, self.outer, self.inner, self.offset)
        vectors, outer, inner, offset = (read(weight, tf.float64) for weight in weights)
        raw, log_width = tf.linalg.diag_part(outer), tf.linalg.diag_part(inner)
        basis = householder_product(vectors, vectors.shape[1])
        q = self.least_slope + (1 - self.least_slope) * tf.math.softplus(raw + tanh_push.TO_ONE)
        outer = tf.linalg.set_diag(tf.linalg.band_part(outer, 0, -1), (q - 1) * tf.exp(-log_width))
        inner = tf.linalg.set_diag(tf.linalg.band_part(inner, 0, -1), tf.exp(log_width))
        found = tf.matmul(basis, outer), tf.matmul(inner, basis, transpose_b=True), offset, q, outer, inner
        return SylvesterParts(*(tf.cast(part, tf.as_dtype(dtype or self.variable_dtype)) for part in found))

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Push."""
        parts = self.parts(x.dtype)
        s = tf.matmul(x, parts.read, transpose_b=True) + parts.offset
        return x + tf.matmul(tf.tanh(s), parts.push, transpose_b=True), _log_det(s, parts.q)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Find how far along each direction the data were, and push back."""
        parts = self.parts(z.dtype)
        target, coupled = self._equation(z, parts)
        s = self._roots(target, coupled, parts.q)[0]
        for _ in range(2):  # at the root they change nothing, but carry its first and second derivatives
            off = s + tf.matmul(tf.tanh(s), coupled, transpose_b=True) - target
            slopes = coupled * (1 - tf.square(tf.tanh(s)))[:, None, :]
            slopes = tf.linalg.set_diag(slopes, tanh_push.slope(s, parts.q))
            s = s - tf.linalg.triangular_solve(slopes, off[..., None], lower=False)[..., 0]
        return z - tf.matmul(tf.tanh(s), parts.push, transpose_b=True), -_log_det(s, parts.q)

    @staticmethod
    def _equation(z: tf.Tensor, parts: SylvesterParts) -> tuple[tf.Tensor, tf.Tensor]:
        coupled = tf.linalg.set_diag(tf.matmul(parts.inner, parts.outer), parts.q - 1)  # a product could round to -1
        return tf.matmul(z, parts.read, transpose_b=True) + parts.offset, coupled

    @staticmethod
    def _roots(target: tf.Tensor, coupled: tf.Tensor, q: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`s + coupled tanh(s) = target`, from the last entry to the first, and the evaluations that it took."""
        target, coupled, q = (tf.stop_gradient(part) for part in (target, coupled, q))
        found: list[tf.Tensor] = []
        evaluations = tf.constant(0)
        for i in reversed(range(target.shape[-1])):
            own = target[:, i]
            if found:
                own -= tf.linalg.matvec(tf.tanh(tf.stack(found, -1)), coupled[i, i + 1 :])
            root = tanh_push.root(own, q[i], tf.zeros_like(own))
            found.insert(0, root.x)
            evaluations += root.evaluations
        return tf.stack(found, -1), evaluations

    def inverse_with_certificate(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """The inverse, its log-determinant, and a proven bound of its error.

        Args:
            z: `(..., dim)`.
            condition: none.

        Returns:
            `x`, `log_det` and an `InverseCertificate`, whose entries have the shape of `log_det`; its `lipschitz` is that of
            the inverse.
        """
        x, log_det = self.inverse_and_log_det(z)
        flat = tf.stop_gradient(tf.cast(flatten_leading(x, 1), tf.float64))
        z = flatten_leading(tf.cast(tf.cast(tf.convert_to_tensor(z), x.dtype), tf.float64), 1)
        parts = SylvesterParts(*(tf.stop_gradient(part) for part in self.parts(tf.float64)))
        inverse = self._norms(parts)[1]
        above = 1 + 4 * float(np.finfo(x.dtype.as_numpy_dtype).eps)  # of the cast
        bound = tf.cast(distance_to_root(parts, flat, z, inverse) * above, x.dtype)
        narrow = self.parts(x.dtype)
        evaluations = self._roots(*self._equation(tf.cast(z, x.dtype), narrow), narrow.q)[1]
        evaluations = tf.fill(tf.shape(bound), evaluations)
        found = InverseCertificate(bound, tf.math.is_finite(bound), evaluations, tf.cast(inverse, x.dtype))
        return x, log_det, in_shape_of(log_det, found)

    # ---- what is certain ----------------------------------------------------------------------------------------

    def _norms(self, parts: SylvesterParts, low: Any = 0.0, high: Any = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
        ends = (tf.broadcast_to(tf.constant(end, tf.float64), parts.q.shape) for end in (low, high))
        norms = inner_diagonal_norms(parts.outer, parts.inner, *ends)
        if parts.push.shape[0] > parts.push.shape[1]:  # the rest stays where it is
            return tf.maximum(norms[0], 1.0), tf.maximum(norms[1], 1.0)
        return norms

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Over all inputs, and on a box by what it leaves of the slopes of tanh."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        parts = self.parts(tf.float64)
        if not all(bool(tf.reduce_all(tf.math.is_finite(part))) for part in parts):
            return unknown(f"{self.name} has weights that are not finite")
        if domain is None or not is_finite(domain):
            there, back = self._norms(parts)
            return LipschitzBounds(float(there), float(back))
        ends = tanh_push.slope_range(*self._reached(parts, broadcast_box(domain, self.event_shape, self.name)))
        there, back = self._norms(parts, *ends)
        return LipschitzBounds(float(there), float(back), "local")

    @staticmethod
    def _reached(parts: SylvesterParts, domain: Box) -> tuple[np.ndarray, np.ndarray]:
        centre, radius = centre_and_radius(domain)
        middle, reach = parts.read.numpy() @ centre + parts.offset.numpy(), np.abs(parts.read.numpy()) @ radius
        return middle - reach, middle + reach

    def image_box(self, domain: Box | None) -> Box | None:
        """The box, moved by the pushes at either end of each `s`."""
        if domain is None or not self.built:
            return None
        if not is_finite(domain):
            return EVERYWHERE
        parts = self.parts(tf.float64)
        low, high = broadcast_box(domain, self.event_shape, self.name)
        ends = [parts.push.numpy() * np.tanh(end) for end in self._reached(parts, (low, high))]
        room = 1e-6 * (1 + np.abs(ends[0]).sum(1) + np.abs(ends[1]).sum(1))
        return finite_box(low + np.minimum(*ends).sum(1) - room, high + np.maximum(*ends).sum(1) + room)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: of the Jacobian only the slopes of tanh change."""
        return sylvester_in_balls(self, x, radius, inverse)


def _log_det(s: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.log(tanh_push.slope(s, q)), -1)
