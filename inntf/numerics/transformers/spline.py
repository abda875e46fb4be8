"""The rational-quadratic spline as a transformer."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.intervals import Interval
from inntf.numerics.transformers.spline_ranges import spline_derivative_ranges, spline_second_derivatives
from inntf.numerics.transformers.splines import spline_forward, spline_inverse, spline_slope_bounds
from inntf.numerics.transformers.transformer import SecondDerivatives, Transformer


@keras.saving.register_keras_serializable("inntf")
class SplineTransform(Transformer):
    """`v = spline(u; raw)`, a monotone rational-quadratic spline on `[-bound, bound]`, the identity outside.

    Its slopes have a bound only where the knots' slopes have one, and its dependence on the knots has none that is useful: for
    all inputs nothing is certified, in balls round data its derivatives are known to first order (`spline_derivative_ranges`).

    Args:
        num_bins: number of bins; `raw` holds as many widths, as many heights and one slope less.
        bound: half-width of the interval.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (3 num_bins - 1,)`.

    Raises:
        ValueError: for fewer than two bins or a bound that is not positive.

    Source: Durkan et al., "Neural Spline Flows" (2019), eqs 4-8.

    Example:
        >>> v, log_derivative = SplineTransform(4).forward(tf.constant([0.5]), tf.zeros([1, 11]))
        >>> bool(abs(v[0] - 0.5) < 1e-6)
        True
    """

    def __init__(self, num_bins: int = 8, bound: float = 3.0):
        if num_bins < 2 or not bound > 0:
            raise ValueError(
                explain(
                    type(self).__name__,
                    received=f"num_bins={num_bins}, bound={bound}",
                    expected="at least 2 bins and a positive bound",
                    remedy="8 bins on [-3, 3] are usual for standardized data.",
                )
            )
        self.num_bins, self.bound = int(num_bins), float(bound)
        self.parameters = 3 * self.num_bins - 1

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Through the spline."""
        return spline_forward(u, raw, num_bins=self.num_bins, bound=self.bound)

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Back through the spline."""
        return spline_inverse(v, raw, num_bins=self.num_bins, bound=self.bound)

    def slopes(self, magnitude: float) -> tuple[float, float]:
        """Those of `spline_slope_bounds`."""
        return spline_slope_bounds(num_bins=self.num_bins)

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """Those of `spline_derivative_ranges`."""
        return spline_derivative_ranges(entries, raw, num_bins=self.num_bins, bound=self.bound, inverse=inverse)

    def second_derivatives(self, entries: Interval, raw: Sequence[Interval], inverse: bool = False) -> SecondDerivatives:
        """Those of `spline_second_derivatives`."""
        return spline_second_derivatives(entries, raw, num_bins=self.num_bins, bound=self.bound, inverse=inverse)
