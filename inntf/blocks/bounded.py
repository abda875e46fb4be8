"""The map from where a quantity lives, an interval or a half-line, to the real line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import ml_dtypes
import numpy as np
import scipy.special
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import NO_FINITE_BOX, Box, check_box, finite_box, is_finite
from inntf.core.domain import in_range
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap, entrywise_map
from inntf.core.shapes import sum_event

_ROOT = math.sqrt(2 * math.pi)


@keras.saving.register_keras_serializable("inntf")
class Bounded(Block):
    r"""Entry by entry from `(low, high)` to the real line; no `z` leads out of the bounds, so nothing is ever clipped.

        both bounds:  z = Phi^-1((x - low) / (high - low))    the normal quantile: uniform entries become standard normal
        low alone:    z = log(x - low)
        high alone:   z = -log(high - x)
        neither:      z = x

    An `x` at a finite bound counts as one a rounding inside; one beyond it is an error (under XLA, which drops errors, NaN).

    Args:
        low, high: bounds, for all entries or one for each of the last axis; infinite where there is none.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: unless `low < high` everywhere, or for an `x` out of bounds (`tf.errors.InvalidArgumentError` where a graph
            runs).

    Source: change of variables; the quantile: Abramowitz & Stegun (1964), 26.2.

    Example:
        >>> z, log_det = Bounded([-1.0, 0.0], [1.0, float("inf")]).forward_and_log_det(tf.constant([[0.0, 1.0]]))
        >>> z.numpy().round(4).tolist(), round(float(log_det[0]), 4)
        ([[0.0, 0.0]], 0.2258)
    """

    uses_condition = False

    def __init__(self, low: float | Sequence[float] = -math.inf, high: float | Sequence[float] = math.inf, **kwargs: Any):
        super().__init__(**kwargs)
        try:
            lows, highs = np.broadcast_arrays(np.asarray(low, np.float64), np.asarray(high, np.float64))
            fits = (
                lows.ndim <= 1 and bool(np.all(lows < highs)) and not (np.any(lows == math.inf) or np.any(highs == -math.inf))
            )
        except (ValueError, TypeError):
            fits = False
        if not fits:
            expected = "low < high for all entries, or for each of the last axis"
            remedy = "Leave one out, or make it infinite, where there is no bound."
            raise ValueError(explain(self.name, received=f"low={low!r}, high={high!r}", expected=expected, remedy=remedy))
        self.low, self.high = lows, highs

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """To the real line."""
        kinds, low, high, width = self._parts(x.dtype)
        # Bounds differ by entry: checked is the distance from them, in units of the interval, where there is one.
        under = tf.where(np.isfinite(self.low), x - low, tf.ones_like(x)) / width
        over = tf.where(np.isfinite(self.high), high - x, tf.ones_like(x)) / width
        remedy = f"Distances from the bounds must not be negative: low={self.low.tolist()}, high={self.high.tolist()}."
        nearest = in_range(self, tf.minimum(under, over), 0.0, 1.0, remedy)
        checked = tf.where(tf.math.is_nan(nearest), nearest, tf.zeros_like(x))
        under, over = (tf.maximum(part, _least(end, width)) for part, end in ((under, low), (over, high)))
        lower = under < over
        half = tf.minimum(tf.where(lower, under, over), 0.5)  # 1 - share would lose the digits near the upper bound
        quantile = tf.math.ndtri(half)
        choices = [tf.where(lower, quantile, -quantile), tf.math.log(under), -tf.math.log(over), x]
        z = _select(kinds, choices) + checked
        return z, sum_event(self._log_slope(z), z)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Back within the bounds."""
        kinds, low, high, width = self._parts(z.dtype)
        below = z < 0
        tail = 0.5 * tf.math.erfc(tf.where(below, -z, z) / math.sqrt(2.0))  # not |z|: its derivative is 0 at 0
        inner = tf.where(below, low + width * tail, high - width * tail)
        on_low = tf.where(kinds == 1, z, tf.zeros_like(z))
        on_high = tf.where(kinds == 2, z, tf.zeros_like(z))
        x = _select(kinds, [inner, low + tf.exp(on_low), high - tf.exp(-on_high), z])
        return x, sum_event(-self._log_slope(z), z)

    def _parts(self, dtype: tf.DType) -> tuple[np.ndarray, tf.Tensor, tf.Tensor, tf.Tensor]:
        bounded = np.isfinite(self.low), np.isfinite(self.high)
        kinds = np.select([bounded[0] & bounded[1], bounded[0], bounded[1]], [0, 1, 2], 3)
        low, high = np.where(bounded[0], self.low, 0.0), np.where(bounded[1], self.high, 0.0)
        width = np.where(kinds == 0, high - low, 1.0)
        return kinds, *(tf.constant(a, dtype) for a in (low, high, width))

    def _log_slope(self, z: tf.Tensor) -> tf.Tensor:
        # log dz/dx, as a function of z.
        kinds, _, _, width = self._parts(z.dtype)
        return _select(kinds, [0.5 * tf.square(z) + math.log(_ROOT) - tf.math.log(width), -z, z, tf.zeros_like(z)])

    # ---- bounds ---------------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact on a box `(low, high)` within the bounds; without one the forward slope has none next to a finite bound."""
        kinds = self._parts(tf.float64)[0]
        if domain is None or not is_finite(domain):
            forward = 1.0 if np.all(kinds == 3) else math.inf
            steepest = np.select([kinds == 0, kinds == 3], [(self.high - self.low) / _ROOT, 1.0], math.inf)
            reason = "" if forward == 1.0 else f"{self.name} is steep at its bounds; pass a domain within them"
            if domain is not None and reason:
                reason = f"{self.name}: {NO_FINITE_BOX}"
            return LipschitzBounds(forward, float(steepest.max()), "global", reason)
        low, high = check_box(domain)
        ends = np.maximum(self._slope(low), self._slope(high))
        flattest = self._slope(self._flattest(low, high))
        reason = f"{self.name} is not bounded up to the ends of that domain" if np.isinf(ends).any() else ""
        return LipschitzBounds(float(ends.max()), float((1.0 / flattest).max()), "local", reason)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the slope is smallest at one point and monotone on either side of it."""
        reach = radius.reshape(-1, *[1] * (x.ndim - 1))
        if inverse:
            value = self.inverse_and_log_det(tf.constant(x, tf.float64))[0].numpy()
            slope: Callable[[np.ndarray], np.ndarray] = self._inverse_slope
            inner = np.clip(0.0, x - reach, x + reach)  # for a half-line one of the ends is as far
        else:
            value = self.forward_and_log_det(tf.constant(x, tf.float64))[0].numpy()
            slope, inner = self._slope, self._flattest(x - reach, x + reach)
        all_slopes = [slope(x - reach), slope(x + reach), slope(inner)]
        return entrywise_map(value, np.min(all_slopes, 0), np.max(all_slopes, 0))

    def image_box(self, domain: Box | None) -> Box | None:
        """The images of the ends, all of space where one of them has none."""
        if domain is None:
            return None
        return finite_box(*(self._value(end) for end in check_box(domain)))

    def _flattest(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        kinds = self._parts(tf.float64)[0]
        with np.errstate(invalid="ignore"):
            middle = np.select([kinds == 0, kinds == 1, kinds == 2], [(self.low + self.high) / 2, math.inf, -math.inf], 0.0)
        return np.clip(middle, low, high)

    def _value(self, x: np.ndarray) -> np.ndarray:
        kinds = self._parts(tf.float64)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            under, over = (x - self.low) / (self.high - self.low), (self.high - x) / (self.high - self.low)
            quantile = np.where(under < over, scipy.special.ndtri(under), -scipy.special.ndtri(over))
            choices = [quantile, np.log(x - self.low), -np.log(self.high - x)]
            return np.select([kinds == 0, kinds == 1, kinds == 2], choices, x)

    def _slope(self, x: np.ndarray) -> np.ndarray:
        kinds = self._parts(tf.float64)[0]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            at_interval = _ROOT * np.exp(0.5 * self._value(x) ** 2) / (self.high - self.low)
            slopes = [at_interval, 1.0 / (x - self.low), 1.0 / (self.high - x)]
            found = np.select([kinds == 0, kinds == 1, kinds == 2], slopes, 1.0)
        inside = (x > self.low) & (x < self.high)
        return np.where(inside & np.isfinite(found), found, math.inf)

    def _inverse_slope(self, z: np.ndarray) -> np.ndarray:
        kinds = self._parts(tf.float64)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            at_interval = (self.high - self.low) * np.exp(-0.5 * z**2) / _ROOT
            return np.select([kinds == 0, kinds == 1, kinds == 2], [at_interval, np.exp(z), np.exp(-z)], 1.0) + 0.0 * z


def _select(kinds: np.ndarray, choices: list[tf.Tensor]) -> tf.Tensor:
    out = choices[3]
    for kind in (2, 1, 0):
        if np.any(kinds == kind):
            out = tf.where(kinds == kind, choices[kind], out)
    return out


def _least(bound: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    # What is at a bound counts as so far inside: a part of the distance to the next number, which comes back as the bound.
    info = ml_dtypes.finfo(bound.dtype.as_numpy_dtype)
    return tf.maximum(tf.abs(bound) / width * (float(info.eps) / 4), tf.constant(info.tiny, bound.dtype))
