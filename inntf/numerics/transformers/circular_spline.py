"""The rational-quadratic spline on the circle as a transformer: angles to angles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.intervals import Interval, added, negated
from inntf.numerics.transformers.spline_knots import parameters_of
from inntf.numerics.transformers.spline_ranges import spline_derivative_ranges, spline_second_derivatives
from inntf.numerics.transformers.splines import spline_forward, spline_inverse
from inntf.numerics.transformers.transformer import SecondDerivatives, Transformer


@keras.saving.register_keras_serializable("inntf")
class CircularSplineTransform(Transformer):
    """`v = spline(u; raw) + shift` on the circle `[-bound, bound)` whose ends are one point; the slope is the same at both.

    The spline takes the circle once round and keeps its seam, the learned shift turns it.  The map and its slope are continuous
    on the circle, at the seam too.  Values outside are those of the circle that they stand for.

    The network of the parameters should not see the seam either: `inntf.nets.MLP(angles=True)`, `MaskedMLP(angles=True)` for
    autoregressive blocks, or `AngleFeatures` before one of your own.

    Nothing is certified for all inputs.  In balls round data the derivatives are known (`spline_derivative_ranges`) where
    neither the values nor their images can cross the seam, at which numbers, unlike angles, jump.

    Args:
        num_bins: number of bins; `raw` holds as many widths, heights and slopes, and the shift.
        bound: half of the circle's length; `pi` for radians, 180 for degrees.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (3 num_bins + 1,)`.

    Raises:
        ValueError: for fewer than two bins or a bound that is not positive.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), section 2.1.1 (circular splines) and eq. 5 (phase
    translation).

    Example:
        >>> turn = tf.concat([tf.zeros([1, 12]), [[1.0]]], 1)
        >>> v, _ = CircularSplineTransform(4).forward(tf.constant([3.0]), turn)
        >>> round(float(v[0]), 4)  # 4 - 2 pi
        -2.2832
    """

    def __init__(self, num_bins: int = 8, bound: float = math.pi):
        if num_bins < 2 or not bound > 0:
            raise ValueError(
                explain(
                    type(self).__name__,
                    received=f"num_bins={num_bins}, bound={bound}",
                    expected="at least 2 bins and a positive bound",
                    remedy="8 bins on [-pi, pi) are usual for angles.",
                )
            )
        self.num_bins, self.bound = int(num_bins), float(bound)
        self.parameters = parameters_of(self.num_bins, "circular") + 1

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Through the spline, then round by the shift."""
        v, log_derivative = spline_forward(self._wrap(u), raw[..., :-1], **self._settings)
        return self._wrap(v + tf.cast(raw[..., -1], v.dtype)), log_derivative

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Back by the shift, then through the spline."""
        u, log_derivative = spline_inverse(self._wrap(v - tf.cast(raw[..., -1], v.dtype)), raw[..., :-1], **self._settings)
        return self._wrap(u), log_derivative

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """Those of the spline, and by the shift 1 (or less that by `v`, if inverse); infinite where the seam may be crossed."""
        shape = np.shape(entries[0])
        inner, known = self._on_the_circle(entries, raw, inverse)
        own, others = spline_derivative_ranges(inner, raw[:-1], inverse=inverse, **self._settings)
        one = np.ones(shape)
        others = [*others, negated(own) if inverse else (one, one)]
        return tuple(np.where(known, end, wide) for end, wide in zip(own, (-np.inf, np.inf), strict=True)), others

    def second_derivatives(self, entries: Interval, raw: Sequence[Interval], inverse: bool = False) -> SecondDerivatives:
        """Those of the spline, turned; unknown where the seam may be crossed."""
        inner, known = self._on_the_circle(entries, raw, inverse)
        inner = tuple(np.where(known, end, np.nan) for end in inner)
        (low, high), pieces = spline_second_derivatives(inner, raw[:-1], inverse=inverse, **self._settings)
        one = np.ones([len(low), 1])
        last = (-high[:, :1], -low[:, :1]) if inverse else (one, one)
        return tuple(np.concatenate(pair, 1) for pair in zip((low, high), last, strict=True)), _turned(pieces, inverse)

    def _on_the_circle(self, entries: Interval, raw: Sequence[Interval], inverse: bool) -> tuple[Interval, np.ndarray]:
        """What goes into the spline, moved to where it is defined, and whether neither it nor its image can cross the seam."""
        inner = added(entries, negated(raw[-1])) if inverse else entries
        with np.errstate(invalid="ignore"):
            turns = 2 * self.bound * np.floor(((inner[0] + inner[1]) / 2 + self.bound) / (2 * self.bound))
            inner = inner[0] - turns, inner[1] - turns
            known = (inner[0] >= -self.bound) & (inner[1] <= self.bound)
        return inner, known if inverse else known & self._image_within(inner, raw)

    def _image_within(self, inner: Interval, raw: Sequence[Interval]) -> np.ndarray:
        own, others = spline_derivative_ranges(inner, raw[:-1], **self._settings)
        boxes = [inner, *raw[:-1]]
        with np.errstate(invalid="ignore"):
            middle = [tf.constant((low + high) / 2, tf.float64) for low, high in boxes]
            value = spline_forward(middle[0], tf.stack(middle[1:], -1), **self._settings)[0].numpy()
            steep = [np.maximum(np.abs(low), np.abs(high)) for low, high in (own, *others)]
            reach = sum(s * (high - low) / 2 for s, (low, high) in zip(steep, boxes, strict=True)) + 1e-12 * self.bound
            image = added((value - reach, value + reach), raw[-1])
            turns = [np.floor((end + self.bound) / (2 * self.bound)) for end in image]
            return turns[0] == turns[1]

    @property
    def _settings(self) -> dict[str, Any]:
        return {"num_bins": self.num_bins, "bound": self.bound, "tails": "circular"}

    def _wrap(self, value: tf.Tensor) -> tf.Tensor:
        kind, around = value.dtype.as_numpy_dtype, 2.0 * self.bound
        turned = value - around * tf.floor((value + self.bound) / around)
        last = np.nextafter(kind(self.bound), kind(0.0))
        return tf.clip_by_value(turned, -self.bound, last)  # by a rounding at most


def _turned(pieces: Any, inverse: bool) -> Iterator[tuple[np.ndarray, Interval]]:
    """Second derivatives with the shift as a last parameter: of the inverse it counts as less than `v`."""
    for rows, (low, high) in pieces:
        if inverse:
            low, high = (np.concatenate([end, -other[:, :, :1]], 2) for end, other in ((low, high), (high, low)))
            low, high = (np.concatenate([end, -other[:, :1]], 1) for end, other in ((low, high), (high, low)))
        else:
            low, high = (np.pad(end, [(0, 0), (0, 1), (0, 1)]) for end in (low, high))
        yield rows, (low, high)
