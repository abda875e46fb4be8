"""Tails drawn in along the radius: an outlier is one rare event, however many entries it is seen in."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.radial import vector_length
from inntf.blocks.soft_tails import drawn_in, drawn_out
from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import broadcast_box, is_finite
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.upper_bounds import upper_reciprocal

_ROUNDED = 1e-13  # of slopes in float64


@keras.saving.register_keras_serializable("inntf")
class RadialTails(Block):
    r"""The identity on the ball of radius `bound`; outside, lengths grow ever less, down to a slope of `slope`.

    With $b$ = `bound`, $w$ = `width`, $c$ = `slope`, $r = \|x\|$ and $t = r - b > 0$:

    $$ z = \frac{s(r)}{r} x, \quad s(r) = b + c\,t + (1 - c) \frac{w\,t}{w + t}, \quad
       \mathrm{log\_det} = \log s'(r) + (D - 1) \log \frac{s(r)}{r} $$

    Before a standard normal base it makes tails like $r^{-D - 1}$.  `SoftTails` does so entry by entry, and where the blocks
    before it spread an outlier over all `D` entries, all of them are improbable; here the length alone is, once.

    Args:
        bound: radius of the ball that stays as it is; under a normal base some more than $\sqrt D$.
        width: how far lengths get beyond it, but for the slope.
        slope: of lengths far out, above 0, at most 1.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a bound or a width that is not positive, or a slope out of range.

    Source: inntf.

    Example:
        >>> z, log_det = RadialTails(5.0, slope=0.1).forward_and_log_det(tf.constant([[3.0, 4.0], [300.0, 400.0]]))
        >>> [[round(float(entry), 2) for entry in row] for row in z]
        [[3.0, 4.0], [34.31, 45.75]]
    """

    allowed_event_ndims = (1,)
    uses_condition = False

    def __init__(self, bound: float = 5.0, width: float = 3.0, slope: float = 1e-3, **kwargs: Any):
        super().__init__(**kwargs)
        if not (bound > 0 and width > 0 and 0 < slope <= 1):
            received = f"bound={bound}, width={width}, slope={slope}"
            expected = "a positive bound and width, and a slope above 0, at most 1"
            raise ValueError(explain(self.name, received=received, expected=expected, remedy="For instance 5, 3 and 1e-3."))
        self.bound, self.width, self.slope = float(bound), float(width), float(slope)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Drawn in."""
        r = _length(x)
        t = tf.nn.relu(r - self.bound)
        moved, log_slope = drawn_in(t, self.width, self.slope)
        share = self._share(self.bound + moved, r, t)
        return x * share[:, None], log_slope + (x.shape[-1] - 1) * tf.math.log(share)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Stretched out: of a quadratic equation the root that does not cancel."""
        r = _length(z)
        s = tf.nn.relu(r - self.bound)
        t, log_slope = drawn_out(s, self.width, self.slope)
        share = self._share(self.bound + t, r, s)
        return z * share[:, None], -log_slope + (z.shape[-1] - 1) * tf.math.log(share)

    @staticmethod
    def _share(wanted: tf.Tensor, r: tf.Tensor, outside: tf.Tensor) -> tf.Tensor:
        return tf.where(outside > 0, wanted / tf.where(outside > 0, r, tf.ones_like(r)), tf.ones_like(r))

    # ---- what is certain ----------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """1 and `1 / slope`; on a box the slopes at the least and the largest length in it."""
        if domain is None or not is_finite(domain):
            return LipschitzBounds(1.0, upper_reciprocal(self.slope), "global")
        low, high = broadcast_box(domain, self.event_shape, self.name)
        near = float(np.linalg.norm(np.maximum(0.0, np.maximum(low, -high))))
        far = float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high))))
        across, _ = self._slopes_at(np.float64(near))
        _, along = self._slopes_at(np.float64(far))
        return LipschitzBounds(float(across) * (1 + _ROUNDED), upper_reciprocal(float(along) * (1 - _ROUNDED)), "local")

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        r"""As in `Block`: both slopes fall with the length, and the direction turns by an angle of sine `radius / length`."""
        way = self.inverse_and_log_det if inverse else self.forward_and_log_det
        value = way(tf.constant(x, tf.float64))[0].numpy()
        length = np.linalg.norm(x, axis=1)
        near, far = np.maximum(length - radius, 0.0), length + radius

        def slopes(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if not inverse:
                return self._slopes_at(at)
            beyond = np.maximum(at - self.bound, 0.0)
            t = drawn_out(tf.constant(beyond), self.width, self.slope)[0].numpy()
            across, along = self._slopes_at(np.where(beyond > 0, self.bound + t, at))
            return 1 / across, 1 / along

        (across, along), *ends = slopes(length), slopes(near), slopes(far)
        moved_across, moved_along = (np.max([np.abs(end[i] - own) for end in ends], 0) for i, own in enumerate((across, along)))
        unit = x / np.maximum(length, np.finfo(np.float64).tiny)[:, None]
        turned = (along - across)[:, None, None] * unit[:, :, None] * unit[:, None, :]
        jacobian = across[:, None, None] * np.eye(x.shape[1]) + turned
        sine = np.minimum(radius / np.maximum(length, np.finfo(np.float64).tiny), 1.0)
        deviation = 2 * moved_across + moved_along + np.abs(along - across) * sine
        return LocalMap(value, jacobian, deviation + _ROUNDED * (along + across))

    def _slopes_at(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Across the radius and along it."""
        t = np.maximum(r - self.bound, 0.0)
        rest = self.width / (self.width + t)
        moved = self.slope * t + (1 - self.slope) * self.width * (1 - rest)
        with np.errstate(invalid="ignore"):
            across = np.where(t > 0, (self.bound + moved) / np.where(t > 0, r, 1.0), 1.0)
        return np.where(np.isinf(r), self.slope, across), self.slope + (1 - self.slope) * np.square(rest)


def _length(x: tf.Tensor) -> tf.Tensor:
    # In units of the largest entry, for squares leave the range of floats; these are constants to the gradient.
    unit = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(x), -1, keepdims=True), 1.0))
    return unit[:, 0] * vector_length(x / unit)
