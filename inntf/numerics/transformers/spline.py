"""The rational-quadratic spline as a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.core.domain import in_range
from inntf.core.errors import explain
from inntf.numerics.intervals import Interval
from inntf.numerics.transformers.spline_knots import parameters_of
from inntf.numerics.transformers.spline_ranges import spline_derivative_ranges, spline_second_derivatives
from inntf.numerics.transformers.splines import spline_forward, spline_inverse, spline_slope_bounds
from inntf.numerics.transformers.transformer import SecondDerivatives, Transformer


@keras.saving.register_keras_serializable("inntf")
class SplineTransform(Transformer):
    """`v = spline(u; raw)`, a monotone rational-quadratic spline on `[-bound, bound]`, the identity outside by default.

    Its slopes have a bound only where the knots' slopes have one, and its dependence on the knots has none that is useful: for
    all inputs nothing is certified, in balls round data its derivatives are known to first order (`spline_derivative_ranges`).

    Args:
        num_bins: number of bins; `raw` holds as many widths, as many heights, and the slopes at knots that are free.
        bound: half-width of the interval.
        tails: `"identity"`: `v = u` outside, slope 1 at the ends; `"free"`: slopes at the ends are parameters, and outside the
            map goes on as a straight line of that slope, so that tails can be stretched; `"none"`: slopes at the ends are
            parameters, and the map is one of `[-bound, bound]` onto itself: values outside are refused.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (3 num_bins - 1,)`, or with other tails `S + (3 num_bins + 1,)`.

    Raises:
        ValueError: for fewer than two bins, a bound that is not positive, other tails; without tails for a value outside of
            the interval (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: Durkan et al., "Neural Spline Flows" (2019), eqs 4-8; the interval without tails: Müller et al., "Neural Importance
    Sampling" (2019), section 4.

    Example:
        >>> v, log_derivative = SplineTransform(4).forward(tf.constant([0.5]), tf.zeros([1, 11]))
        >>> bool(abs(v[0] - 0.5) < 1e-6)
        True
    """

    def __init__(self, num_bins: int = 8, bound: float = 3.0, tails: str = "identity"):
        if num_bins < 2 or not bound > 0:
            raise ValueError(
                explain(
                    type(self).__name__,
                    received=f"num_bins={num_bins}, bound={bound}",
                    expected="at least 2 bins and a positive bound",
                    remedy="8 bins on [-3, 3] are usual for standardized data.",
                )
            )
        if tails not in ("identity", "free", "none"):
            expected, remedy = "'identity', 'free' or 'none'", "CircularSplineTransform is for angles."
            raise ValueError(explain(type(self).__name__, received=f"tails={tails!r}", expected=expected, remedy=remedy))
        self.num_bins, self.bound, self.tails = int(num_bins), float(bound), tails
        self.parameters = parameters_of(self.num_bins, tails)

    @property
    def name(self) -> str:
        """For messages."""
        return type(self).__name__

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Through the spline."""
        return spline_forward(self._checked(u), raw, **self._settings)

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Back through the spline."""
        return spline_inverse(self._checked(v), raw, **self._settings)

    def slopes(self, magnitude: float) -> tuple[float, float]:
        """Those of `spline_slope_bounds`."""
        return spline_slope_bounds(num_bins=self.num_bins)

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """Those of `spline_derivative_ranges`."""
        return spline_derivative_ranges(entries, raw, inverse=inverse, **self._settings)

    def second_derivatives(self, entries: Interval, raw: Sequence[Interval], inverse: bool = False) -> SecondDerivatives:
        """Those of `spline_second_derivatives`."""
        return spline_second_derivatives(entries, raw, inverse=inverse, **self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"num_bins": self.num_bins, "bound": self.bound, "tails": self.tails}

    def _checked(self, value: tf.Tensor) -> tf.Tensor:
        if self.tails != "none":
            return value
        return in_range(self, value, -self.bound, self.bound, "Rescale data into the interval, or give the spline tails.")
