"""Tails drawn in by straight lines: the identity in the middle, bi-Lipschitz everywhere."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box, check_box, finite_box
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap, entrywise_map
from inntf.core.shapes import sum_event
from inntf.core.upper_bounds import upper_reciprocal


@keras.saving.register_keras_serializable("inntf")
class SoftTails(Block):
    r"""The identity on `[-bound, bound]`, entry by entry; outside the slope falls from 1 to `slope`, smoothly.

    With $b$ = `bound`, $c$ = `slope` and $t = |x| - b > 0$:

    $$ |z| = b + c\,t + (1 - c) \frac{b\,t}{b + t}, \qquad
       \mathrm{log\_det} = \sum_{|x| > b} \log\left(c + (1 - c) \frac{b^2}{(b + t)^2}\right) $$

    Values a hundred spreads away come near, as by `Asinh`, but both Lipschitz constants are known, 1 and `1 / slope`, and a
    chain of many has an inverse within float range.

    Args:
        bound: half-width of the interval that stays as it is.
        slope: of the straight lines far out, above 0, at most 1.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a bound that is not positive, or a slope out of range.

    Source: inntf.

    Example:
        >>> z, log_det = SoftTails(5.0, slope=0.1).forward_and_log_det(tf.constant([[3.0, 1005.0]]))
        >>> [round(float(value), 2) for value in z[0]], round(float(log_det[0]), 2)
        ([3.0, 109.48], -2.3)
    """

    uses_condition = False

    def __init__(self, bound: float = 5.0, slope: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        if not (bound > 0 and 0 < slope <= 1):
            received, expected = f"bound={bound}, slope={slope}", "a positive bound, and a slope above 0, at most 1"
            raise ValueError(explain(self.name, received=received, expected=expected, remedy="For instance 5 and 0.1."))
        self.bound, self.slope = float(bound), float(slope)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Drawn in."""
        b, c = self.bound, self.slope
        t = tf.nn.relu(tf.abs(x) - b)
        moved, log_slope = drawn_in(t, b, c)
        return tf.where(t > 0, tf.sign(x) * (b + moved), x), sum_event(log_slope, x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Stretched out: of a quadratic equation the root that does not cancel."""
        b, c = self.bound, self.slope
        s = tf.nn.relu(tf.abs(z) - b)
        t, log_slope = drawn_out(s, b, c)
        return tf.where(s > 0, tf.sign(z) * (b + t), z), sum_event(-log_slope, z)

    # ---- bounds -------------------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """1 and `1 / slope`; on a box the slope at its point nearest to zero, and at its farthest end."""
        if domain is None:
            return LipschitzBounds(1.0, upper_reciprocal(self.slope), "global")
        low, high = check_box(domain)
        steepest = self._slope_at(np.clip(0.0, low, high))
        flattest = np.minimum(self._slope_at(low), self._slope_at(high))
        return LipschitzBounds(float(np.max(steepest)), upper_reciprocal(float(np.min(flattest))), "local")

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the slope falls with the distance from zero (that of the inverse rises)."""
        reach = radius.reshape(-1, *[1] * (x.ndim - 1))
        way = self.inverse_and_log_det if inverse else self.forward_and_log_det
        value = way(tf.constant(x, tf.float64))[0].numpy()

        def slope(at: np.ndarray) -> np.ndarray:
            if not inverse:
                return self._slope_at(at)
            return 1.0 / self._slope_at(self.inverse_and_log_det(tf.constant(at, tf.float64))[0].numpy())

        every = [slope(x - reach), slope(x + reach), slope(np.clip(0.0, x - reach, x + reach))]
        return entrywise_map(value, np.min(every, 0), np.max(every, 0))

    def image_box(self, domain: Box | None) -> Box | None:
        """The images of the ends."""
        if domain is None:
            return None
        return finite_box(*(self._image(end) for end in check_box(domain)))

    def _image(self, x: np.ndarray) -> np.ndarray:
        t = np.maximum(np.abs(x) - self.bound, 0.0)
        far = self.bound + self.slope * t + (1 - self.slope) * self.bound * (1 - self.bound / (self.bound + t))
        return np.where(t > 0, np.sign(x) * far, x)

    def _slope_at(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return self.slope + (1 - self.slope) * np.square(self.bound / np.maximum(np.abs(x), self.bound))


def drawn_in(t: tf.Tensor, width: float, slope: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`slope t + (1 - slope) width t / (width + t)` of `t >= 0`, and the log of its derivative, which falls from 1 to `slope`.

    Args:
        t: distances beyond where tails begin.
        width: half of which the second term has reached at `t = width`.
        slope: of the line far out.

    Source: inntf.

    Example:
        >>> [round(float(part), 3) for part in drawn_in(tf.constant(2.0), 2.0, 0.1)]
        [1.1, -1.124]
    """
    rest = width / (width + t)
    # Nothing cancels, nor does infinity.
    return slope * t + (1 - slope) * width * (1 - rest), tf.math.log(slope + (1 - slope) * tf.square(rest))


def drawn_out(s: tf.Tensor, width: float, slope: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The inverse of `drawn_in`, and the log of the derivative of `drawn_in` there.

    Args:
        s: distances that were drawn in, from 0 on.
        width: as in `drawn_in`.
        slope: as in `drawn_in`.

    Source: the quadratic formula.

    Example:
        >>> [round(float(part), 3) for part in drawn_out(tf.constant(1.1), 2.0, 0.1)]
        [2.0, -1.124]
    """
    # slope t^2 + (width - s) t - width s = 0; in units of width + s, whose square may leave the range of floats.
    whole = width + s
    half = (s - width) / whole
    root = tf.sqrt(tf.square(half) + 4 * slope * (width / whole) * (s / whole))
    t = tf.where(half > 0, whole * (half + root) / (2 * slope), 2 * width * (s / whole) / tf.maximum(root - half, 1e-30))
    t = tf.where(tf.math.is_inf(s), s, t)
    return t, drawn_in(t, width, slope)[1]
