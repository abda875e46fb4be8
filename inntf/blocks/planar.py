"""The planar flow: all of space pushed along one direction, by how far it is along another."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import tanh_push
from inntf.blocks.inverse_certificate import InverseCertificate, in_shape_of
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, centre_and_radius, finite_box, is_finite
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, flatten_leading, last_size
from inntf.core.upper_bounds import upper_reciprocal
from inntf.core.weights import read


@keras.saving.register_keras_serializable("inntf")
class Planar(Block):
    r"""`z = x + u tanh(s)`, $s = w^\top x + b$, with $w^\top u = q - 1 > -1$ for any weights, so always invertible.

    $$\mathtt{log\_det} = \log(\tanh^2 s + q\, \mathrm{sech}^2 s), \qquad
      u = v + (q - 1 - w^\top v) \frac{w}{\|w\|^2}, \quad q = \mathrm{softplus}(w^\top v + \log(e - 1)).$$

    **The inverse** solves $s + (q - 1) \tanh s = w^\top z + b$, an increasing function of one number, by Newton's method in a
    bracket; it always ends.  `inverse_with_certificate` returns a proven bound of the error, which includes rounding.  Its
    gradients are those of the root, not of the iteration.

    **Bounds** are exact.  With $t = \mathrm{sech}^2 s$ and $p = t \|u\| \|w\|$ the Jacobian $I + t\,u w^\top$ has the singular
    values 1 and $(\sqrt{4 (1 + (q - 1) t) + p^2} \pm p)/2$, furthest apart at the largest `t`.

    At the start v is zero and the block the identity.

    Args:
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`.

    Source: Rezende & Mohamed, "Variational Inference with Normalizing Flows" (2015), eq. 10 to 12 and appendix A.1, with
    another constant in q; singular values: of the 2 x 2 matrix on the plane of u and w.

    Example:
        >>> block = Planar(); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> back, _, certificate = block.inverse_with_certificate(z)
        >>> bool(tf.reduce_all(tf.norm(back - x, axis=1) <= certificate.error_bound))
        True
    """

    allowed_event_ndims = (1,)
    uses_condition = False

    def build(self, input_shape: Shape) -> None:
        """Make the two vectors and the offset."""
        dim = last_size(input_shape)
        spread = keras.initializers.RandomNormal(stddev=1 / math.sqrt(dim))
        self.normal = self.add_weight(shape=(dim,), initializer=spread, name="normal")
        self.push = self.add_weight(shape=(dim,), initializer="zeros", name="push")
        self.offset = self.add_weight(shape=(), initializer="zeros", name="offset")

    def _of_weights(self, dtype: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """w, u, b, q."""
        w, v, b = (read(weight, dtype) for weight in (self.normal, self.push, self.offset))
        along, size = tf.reduce_sum(w * v), tf.reduce_sum(tf.square(w))
        q = tf.math.softplus(along + tanh_push.TO_ONE)
        return w, v + (q - 1 - along) * w / tf.maximum(size, tf.constant(np.finfo(w.dtype.as_numpy_dtype).tiny, w.dtype)), b, q

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Push."""
        w, u, b, q = self._of_weights(x.dtype)
        s = tf.linalg.matvec(x, w) + b
        return x + u * tf.tanh(s)[:, None], tf.math.log(tanh_push.slope(s, q))

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Find how far along w the data were, and push back."""
        w, u, b, q = self._of_weights(z.dtype)
        target = tf.linalg.matvec(z, w) + b
        s = tanh_push.root(target, tf.stop_gradient(q), tf.zeros_like(target)).x
        for _ in range(2):  # at the root they change nothing, but carry its first and second derivatives
            s = s - (s + (q - 1) * tf.tanh(s) - target) / tanh_push.slope(s, q)
        return z - u * tf.tanh(s)[:, None], -tf.math.log(tanh_push.slope(s, q))

    def inverse_with_certificate(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """The inverse, its log-determinant, and a proven bound of its error.

        Args:
            z: `(..., dim)`.
            condition: none.

        Returns:
            `x`, `log_det` and an `InverseCertificate`, whose entries have the shape of `log_det`; its `lipschitz` is that of
            the root in its target, `1 / min(1, q)`.
        """
        x, log_det = self.inverse_and_log_det(z)
        flat, eps = flatten_leading(x, 1), float(np.finfo(x.dtype.as_numpy_dtype).eps)
        z = flatten_leading(tf.cast(tf.convert_to_tensor(z), x.dtype), 1)
        w, u, b, q = (tf.stop_gradient(part) for part in self._of_weights(x.dtype))
        target, size = tf.linalg.matvec(z, w) + b, tf.norm(w)
        dim = float(x.shape[-1])
        # Of two inner products, of the hyperbolic tangent, and of the sums.
        rounding = eps * (dim + 8) * (size * tf.norm(z, axis=1) + tf.abs(b) + size * tf.norm(u) + tf.abs(target) + q + 1)
        root = tanh_push.root(target, q, rounding)
        own = tf.norm(flat - (z - u * tf.tanh(root.x)[:, None]), axis=1)  # the Newton steps after the root
        bound = tf.norm(u) * (root.error_bound + 8 * eps) + own + 4 * eps * (tf.norm(z, axis=1) + tf.norm(u))
        evaluations = tf.fill(tf.shape(bound), root.evaluations)
        found = InverseCertificate(bound, tf.math.is_finite(bound), evaluations, 1 / tf.minimum(q, 1))
        return x, log_det, in_shape_of(log_det, found)

    # ---- what is certain ----------------------------------------------------------------------------------------

    def _wide(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        w, u, b, q = (np.asarray(part, np.float64) for part in self._of_weights(tf.float64))
        return w, u, float(b), float(q)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact, over all inputs and on a box."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        w, u, b, q = self._wide()
        steepest, scope = 1.0, "global"
        if domain is not None and is_finite(domain):
            scope = "local"
            centre, radius = centre_and_radius(broadcast_box(domain, self.event_shape, self.name))
            middle, reach = w @ centre + b, np.abs(w) @ radius
            steepest = float(tanh_push.slope_range(middle - reach, middle + reach)[1])
        t, norms = steepest, float(np.linalg.norm(u) * np.linalg.norm(w))
        volume = 1 - t + q * t
        largest = (math.sqrt(4 * volume + (t * norms) ** 2) + t * norms) / 2
        if len(w) == 1:  # the other singular value, 1, is one of no direction
            return LipschitzBounds(max(1.0, volume), upper_reciprocal(min(1.0, volume)), scope)
        return LipschitzBounds(largest, largest * upper_reciprocal(volume), scope)

    def image_box(self, domain: Box | None) -> Box | None:
        """The box, moved by the push at either end of `s`."""
        if domain is None or not self.built:
            return None
        if not is_finite(domain):
            return EVERYWHERE
        w, u, b, _ = self._wide()
        low, high = broadcast_box(domain, self.event_shape, self.name)
        centre, radius = centre_and_radius((low, high))
        ends = [u * np.tanh(w @ centre + b + sign * (np.abs(w) @ radius)) for sign in (-1, 1)]
        room = 1e-6 * (1 + np.abs(ends[0]) + np.abs(ends[1]))
        return finite_box(low + np.minimum(*ends) - room, high + np.maximum(*ends) + room)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        r"""As in `Block`: of $I + t\,u w^\top$ only `t` changes; that of the inverse is $I - t/(1 + (q - 1) t)\,u w^\top$."""
        w, u, b, q = self._wide()
        along, reach = x @ w + b, radius * np.linalg.norm(w)
        if inverse:
            ends = [self._numbers(along + sign * reach, q) for sign in (-1, 0, 1)]
            s, low, high = ends[1], ends[0] - 1e-12, ends[2] + 1e-12
        else:
            s, low, high = along, along - reach, along + reach
        least, most = tanh_push.slope_range(low, high)
        t = tanh_push.slope_range(s, s)[1]
        if inverse:
            t, least, most = (-part / (1 - part + q * part) for part in (t, least, most))
        value = x + (-1 if inverse else 1) * u * np.tanh(s)[:, None]
        jacobian = np.eye(len(w)) + t[:, None, None] * np.outer(u, w)
        moved = np.maximum(np.abs(most - t), np.abs(least - t)) + 1e-14 * np.abs(t)
        return LocalMap(value, jacobian, moved * np.linalg.norm(u) * np.linalg.norm(w))

    def _numbers(self, target: np.ndarray, q: float) -> np.ndarray:
        target = tf.constant(target, tf.float64)
        return tanh_push.root(target, tf.constant(q, tf.float64), tf.zeros_like(target)).x.numpy()
