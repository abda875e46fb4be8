"""The sinh-arcsinh map as a transformer: smooth everywhere, skew and tails, with a closed inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.upper_bounds import upper_product
from inntf.numerics.intervals import Interval, added, monotone_ranges, multiplied, negated, reciprocal
from inntf.numerics.transformers.transformer import Transformer


@keras.saving.register_keras_serializable("inntf")
class SinhArcsinhTransform(Transformer):
    r"""`v = scale * sinh(tail * (asinh(u) + skew)) + shift`, smooth on the whole line.

    Of the four raw numbers `r` the first is the shift; scale, skew and tail are $e^{c\,t(r_1)}$, $a\,t(r_2)$, $e^{b\,t(r_3)}$
    with $t = \tanh$ and the largest values `c`, `a`, `b`.  The skew tilts one side against the other, a tail above (below) 1
    makes tails of `v` heavier (lighter) than those of `u`; the inverse is a map of the same kind.

    With `max_log_tail=0` (and three raw numbers) both tails are straight lines and the slopes bounded everywhere, by
    $e^{\pm(a + c)}$; otherwise `v` grows as a power of `u`, and they are bounded on boxes.

    Args:
        max_log_scale: `c`; 0 for none, and one raw number less.
        max_skew: `a`; 0 for none, likewise.
        max_log_tail: `b`; 0 for none, likewise.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (4,)`, less where some are 0.

    Raises:
        ValueError: for a negative number.

    Source: Jones and Pewsey, "Sinh-arcsinh distributions" (2009), eq. 1; the ranges and the bounds: inntf.

    Example:
        >>> transform = SinhArcsinhTransform()
        >>> v, log_derivative = transform.forward(tf.constant([0.5]), tf.constant([[1.0, 0.0, 0.0, 0.0]]))
        >>> round(float(v[0]), 6), round(float(log_derivative[0]), 6)
        (1.5, 0.0)
    """

    def __init__(self, max_log_scale: float = 2.0, max_skew: float = 1.0, max_log_tail: float = 0.5):
        self._limits = (float(max_log_scale), float(max_skew), float(max_log_tail))
        if min(self._limits) < 0:
            given = f"max_log_scale={max_log_scale}, max_skew={max_skew}, max_log_tail={max_log_tail}"
            expected, remedy = "numbers that are not negative", "0 leaves that parameter out."
            raise ValueError(explain(type(self).__name__, received=given, expected=expected, remedy=remedy))
        self.parameters = 1 + sum(limit > 0 for limit in self._limits)

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Skew and tail, then scale and shift."""
        shift, log_scale, skew, log_tail = self._read(raw)
        at = tf.asinh(u)
        turned = tf.exp(log_tail) * (at + skew)
        return tf.sinh(turned) * tf.exp(log_scale) + shift, log_scale + log_tail + _log_cosh(turned) - _log_cosh(at)

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Shift and scale, then tail and skew, undone."""
        shift, log_scale, skew, log_tail = self._read(raw)
        turned = tf.asinh((v - shift) * tf.exp(-log_scale))
        at = tf.exp(-log_tail) * turned - skew
        return tf.sinh(at), _log_cosh(at) - _log_cosh(turned) - log_tail - log_scale

    def slopes(self, magnitude: float) -> tuple[float, float]:
        r"""At the ends of the box, with all parameters at theirs.

        $\cosh(b (s + a)) / \cosh(s)$ at $s = \mathrm{asinh}(u)$ rises with `b` and $|s + a|$; for $b \ge 1$, skewed away
        from zero, it rises with `s`, for $b \le 1$, skewed to zero, it falls.
        """
        c, a, b = self._limits
        if math.isinf(magnitude):
            return (0.0, math.inf) if b else (math.exp(-a - c), math.exp(a + c))
        s, tail = math.asinh(magnitude), math.exp(b)
        # Exponents are subtracted before the exponential is taken: no overflow on the way.
        high = _exp(c + b + _log_cosh_of(tail * (s + a)) - _log_cosh_of(s))
        low = _exp(-c - b + _log_cosh_of(max(s - a, 0.0) / tail) - _log_cosh_of(s))
        return low * (1 - 1e-12), high * (1 + 1e-12)

    def sensitivity(self, magnitude: float) -> float:
        r"""$\sqrt{1 + e^{2c} ((c \sinh w)^2 + (a e^b \cosh w)^2 + (b w \cosh w)^2)}$ at the largest $w = e^b (s + a)$."""
        c, a, b = self._limits
        if math.isinf(magnitude):
            return math.inf if any(self._limits) else 1.0
        w = math.exp(b) * (math.asinh(magnitude) + a)
        grown = _exp(c + _log_cosh_of(w))  # no less than that of sinh
        parts = math.hypot(c, a * math.exp(b), b * w)
        return math.hypot(1.0, upper_product(grown, parts)) * (1 + 1e-12)

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """Of the closed forms, on intervals; every part is monotone, or has one turn, at zero."""
        shift, *others = self._on_intervals(raw)
        (scale, by_scale), (skew, by_skew), (tail, by_tail) = others
        one = np.ones(np.shape(entries[0]))
        with np.errstate(over="ignore", invalid="ignore"):
            if not inverse:
                at = tuple(np.arcsinh(end) for end in entries)
                w = multiplied(tail, added(at, skew))
                steep = multiplied(scale, _cosh(w))
                own = multiplied(multiplied(steep, tail), reciprocal(_cosh(at)))
                parts = [
                    multiplied(scale, tuple(np.sinh(end) for end in w)),
                    multiplied(steep, tail),
                    multiplied(scale, _w_cosh(w)),
                ]
                parts = [
                    (one, one),
                    *(multiplied(part, by) for part, by in zip(parts, (by_scale, by_skew, by_tail), strict=True)),
                ]
            else:
                moved = multiplied(added(entries, negated(shift)), reciprocal(scale))
                turned = tuple(np.arcsinh(end) for end in moved)
                over_tail = multiplied(turned, reciprocal(tail))
                at = added(over_tail, negated(skew))
                steep = _cosh(at)
                by_moved = multiplied(multiplied(steep, reciprocal(tail)), reciprocal(_cosh(turned)))
                own = multiplied(by_moved, reciprocal(scale))
                parts = [multiplied(by_moved, moved), steep, multiplied(over_tail, steep)]
                parts = [multiplied(part, by) for part, by in zip(parts, (by_scale, by_skew, by_tail), strict=True)]
                parts = [negated(part) for part in (own, *parts)]
        kept = [True, *(limit > 0 for limit in self._limits)]
        return own, [part for part, keep in zip(parts, kept, strict=True) if keep]

    def _read(self, raw: tf.Tensor) -> list[Any]:
        found, place = [raw[..., 0]], 1
        for limit in self._limits:
            found.append(limit * tf.tanh(raw[..., place]) if limit else tf.zeros([], raw.dtype))
            place += limit > 0
        return found

    def _on_intervals(self, raw: Sequence[Interval]) -> list[Any]:
        """Shift; scale, skew and tail, and the derivatives of log-scale, skew and log-tail by their raw numbers."""
        found, rest, none = [raw[0]], list(raw[1:]), np.zeros(np.shape(raw[0][0]))
        for limit, logarithmic in zip(self._limits, (True, False, True), strict=True):
            value = slope = (none, none)
            if limit:
                value, slope = monotone_ranges(_tanh_and_slope, 0.0, *rest.pop(0))
                value, slope = (tuple(limit * end for end in part) for part in (value, slope))
            found.append((tuple(np.exp(end) for end in value) if logarithmic else value, slope))
        return found


def _log_cosh(x: tf.Tensor) -> tf.Tensor:
    return x + tf.nn.softplus(-2.0 * x) - math.log(2.0)


def _log_cosh_of(x: float) -> float:
    return abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2.0)


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _tanh_and_slope(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.tanh(x), 1.0 / np.cosh(np.clip(x, -300, 300)) ** 2


def _cosh(x: Interval) -> Interval:
    return np.cosh(np.clip(0.0, *x)), np.cosh(np.maximum(np.abs(x[0]), np.abs(x[1])))


def _w_cosh(w: Interval) -> Interval:
    return tuple(end * np.cosh(end) for end in w)
