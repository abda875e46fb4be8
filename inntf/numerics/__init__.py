"""Pure functions, tensor in, tensor out: scales, splines, norms, solvers, estimators."""

from inntf.numerics.scales import ExpScale, Scale, SigmoidScale, SoftplusScale
from inntf.numerics.splines import spline_forward, spline_inverse, spline_slope_bounds

__all__ = [
    "ExpScale",
    "Scale",
    "SigmoidScale",
    "SoftplusScale",
    "spline_forward",
    "spline_inverse",
    "spline_slope_bounds",
]
