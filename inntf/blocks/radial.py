"""The radial flow: space drawn towards a point, or pushed away from it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import broadcast_box, is_finite
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape
from inntf.core.upper_bounds import upper_reciprocal
from inntf.core.weights import read

_TO_ONE = math.log(math.e - 1)  # softplus of it is 1


@keras.saving.register_keras_serializable("inntf")
class Radial(Block):
    r"""`z = c + (1 + (q - 1) t) (x - c)`, $t = \alpha/(\alpha + r)$, $r = \|x - c\|$, with $\alpha, q > 0$: always invertible.

    It scales by q at the centre and leaves alone what is far away; $\alpha$ is how far it reaches.  Along the radius the slope
    is $\lambda_r = 1 + (q - 1) t^2$, across it $\lambda_t = 1 + (q - 1) t$, so

        log_det = log(lambda_r) + (D - 1) log(lambda_t)

    **The inverse** is closed: with $\rho = \|z - c\|$ the radius is the positive root of
    $r^2 + (q \alpha - \rho) r - \alpha \rho = 0$, in the form that loses no digits.

    **Bounds** are exact on all of space, and on boxes up to the distances from the centre: the largest and smallest of the two
    slopes, which run from q to 1.

    At the start q is 1 and the block the identity.

    Args:
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`.

    Source: Rezende & Mohamed, "Variational Inference with Normalizing Flows" (2015), eq. 13 and 14 and appendix A.2, where
    $\beta = (q - 1) \alpha$; the closed inverse: the quadratic formula.

    Example:
        >>> block = Radial(); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5)
        True
    """

    allowed_event_ndims = (1,)
    uses_condition = False

    def build(self, input_shape: Shape) -> None:
        """Make the centre and two numbers."""
        self.centre = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="centre")
        self.log_reach = self.add_weight(shape=(), initializer="zeros", name="log_reach")
        self.raw_scale = self.add_weight(shape=(), initializer="zeros", name="raw_scale")

    def _of_weights(self, dtype: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """c, alpha, q."""
        c, reach, raw = (read(weight, dtype) for weight in (self.centre, self.log_reach, self.raw_scale))
        return c, tf.exp(reach), tf.math.softplus(raw + _TO_ONE)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale, by how far it is."""
        c, alpha, q = self._of_weights(x.dtype)
        across, log_det = _slopes(alpha / (alpha + vector_length(x - c)), q, x.shape[-1])
        return c + across[:, None] * (x - c), log_det

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The radius by the quadratic formula, then over the scale."""
        c, alpha, q = self._of_weights(z.dtype)
        rho = vector_length(z - c)
        b = q * alpha - rho
        root = tf.sqrt(tf.square(b) + 4 * alpha * rho)
        size = tf.where(b > 0, b, -b)  # not |b|: its derivative is 0 at 0
        r = tf.where(b > 0, 2 * alpha * rho / (size + root), (size + root) / 2)
        across, log_det = _slopes(alpha / (alpha + r), q, z.shape[-1])
        return c + (z - c) / across[:, None], -log_det

    # ---- what is certain ----------------------------------------------------------------------------------------

    def _wide(self) -> tuple[np.ndarray, float, float]:
        c, alpha, q = (np.asarray(part, np.float64) for part in self._of_weights(tf.float64))
        return c, float(alpha), float(q)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """The largest slope, and one over the smallest, between the distances that the box has from the centre."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        c, alpha, q = self._wide()
        near, far, scope = 0.0, math.inf, "global"
        if domain is not None and is_finite(domain):
            scope = "local"
            low, high = broadcast_box(domain, self.event_shape, self.name)
            near = float(np.linalg.norm(np.maximum(0.0, np.maximum(low - c, c - high))))
            far = float(np.linalg.norm(np.maximum(np.abs(low - c), np.abs(high - c))))
        least, most = (float(end) for end in _slope_range(near, far, alpha, q))
        return LipschitzBounds(most, upper_reciprocal(least), scope)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        r"""As in `Block`: the derivative of the Jacobian is a symmetric form of norm at most $2 \kappa / \sqrt{3 - 2t}$.

        Here $\kappa = |q - 1| \alpha/(\alpha + r)^2$ is that of $\lambda_t$; $\lambda_r$ has $2 t \kappa$.  Both fall with `r`.
        A step at an angle $\phi$ to the radius changes the form along itself by $2 t \kappa \cos^3 \phi + 3 \kappa \cos \phi
        \sin^2 \phi$; a symmetric form is largest there.  For the inverse it is at most the cube of its slope larger.
        """
        c, alpha, q = self._wide()
        way = self.inverse_and_log_det if inverse else self.forward_and_log_det
        value = way(tf.constant(x, tf.float64))[0].numpy()
        data = value if inverse else x
        away = data - c
        r = np.linalg.norm(away, axis=1)
        rho = np.linalg.norm(x - c, axis=1)
        near, far = np.maximum(rho - radius, 0.0), rho + radius
        if inverse:
            near, far = (_radius(end, alpha, q) for end in (near, far))
        least, _ = _slope_range(near, far, alpha, q)
        t = alpha / (alpha + near)
        change = 2 * abs(q - 1) * t**2 / alpha / np.sqrt(3 - 2 * t)
        if inverse:
            change = change / least**3
        unit = away / np.maximum(r, np.finfo(np.float64).tiny)[:, None]
        t = alpha / (alpha + r)
        along, across = 1 - t**2 + q * t**2, 1 - t + q * t
        if inverse:
            along, across = 1 / along, 1 / across
        turned = (along - across)[:, None, None] * unit[:, :, None] * unit[:, None, :]
        jacobian = across[:, None, None] * np.eye(x.shape[1]) + turned
        return LocalMap(value, jacobian, radius * change + 1e-13 * (along + across))


def vector_length(away: tf.Tensor) -> tf.Tensor:
    """Lengths of the rows, `(batch,)`, with a gradient of zero where they are zero.

    Args:
        away: `(batch, dim)`.

    Source: inntf.

    Example:
        >>> vector_length(tf.constant([[3.0, 4.0]])).numpy().tolist()
        [5.0]
    """
    squares = tf.reduce_sum(tf.square(away), -1)
    known = squares > 0
    return tf.where(known, tf.sqrt(tf.where(known, squares, tf.ones_like(squares))), tf.zeros_like(squares))


def _slopes(t: tf.Tensor, q: tf.Tensor, dim: int) -> tuple[tf.Tensor, tf.Tensor]:
    across, along = (1 - t) + q * t, (1 - t) * (1 + t) + q * tf.square(t)
    return across, tf.math.log(along) + (dim - 1) * tf.math.log(across)


def _slope_range(near: Any, far: Any, alpha: float, q: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest slope at radii between two; both slopes are monotone in the radius."""
    seen = []
    for r in (near, far):
        t = alpha / (alpha + np.asarray(r, np.float64))
        seen += [1 - t + q * t, 1 - t**2 + q * t**2]
    return np.min(seen, 0), np.max(seen, 0)


def _radius(rho: np.ndarray, alpha: float, q: float) -> np.ndarray:
    b = q * alpha - rho
    root = np.sqrt(b**2 + 4 * alpha * rho)
    return np.where(b > 0, 2 * alpha * rho / (np.abs(b) + root), (np.abs(b) + root) / 2)
