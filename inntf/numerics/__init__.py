"""Pure functions, tensor in, tensor out: scales, splines, norms, solvers, estimators."""

from inntf.numerics.bidiagonalization import Extremes, bidiagonalize
from inntf.numerics.extreme_singular_values import JacobianExtremes, exact_extremes, lanczos_extremes
from inntf.numerics.full_spectrum import all_singular_values, log_abs_det, singular_triplets
from inntf.numerics.grids import check_in_range, check_on_grid, grid_limit, in_range, on_grid, round_to_grid, snap_to_grid
from inntf.numerics.jacobian import Linearization, batch_jacobian, jvp, vjp
from inntf.numerics.log_dets import (
    ExactLogDet,
    Geometric,
    LogDetEstimator,
    Poisson,
    PowerSeries,
    RussianRoulette,
    log_det_interval,
    truncation_bound,
)
from inntf.numerics.norms.conv_norms import circular_conv_norm, conv_norm_bound
from inntf.numerics.norms.gram_bounds import conv_gram_bound, gram_bound
from inntf.numerics.norms.induced_norms import (
    induced_norm,
    induced_norm_bound,
    induced_power_iteration,
    learned_order,
    norm_quotient,
)
from inntf.numerics.norms.power_iteration import (
    conv_power_iteration,
    dense_power_iteration,
    power_iteration,
    reshaped_kernel_norm,
    spectral_norm,
)
from inntf.numerics.solvers.fixed_point import FixedPoint, solve_fixed_point
from inntf.numerics.solvers.implicit import contraction_inverse
from inntf.numerics.solvers.ode import OdeSolution, solve_ode
from inntf.numerics.transformers import AffineTransform, ShiftTransform, SplineTransform, Transformer
from inntf.numerics.transformers.scales import ExpScale, Scale, SigmoidScale, SoftplusScale
from inntf.numerics.transformers.splines import spline_forward, spline_inverse, spline_slope_bounds

__all__ = [
    "AffineTransform",
    "ExactLogDet",
    "ExpScale",
    "Extremes",
    "FixedPoint",
    "Geometric",
    "JacobianExtremes",
    "Linearization",
    "LogDetEstimator",
    "OdeSolution",
    "Poisson",
    "PowerSeries",
    "RussianRoulette",
    "Scale",
    "ShiftTransform",
    "SigmoidScale",
    "SoftplusScale",
    "SplineTransform",
    "Transformer",
    "all_singular_values",
    "batch_jacobian",
    "bidiagonalize",
    "check_in_range",
    "check_on_grid",
    "circular_conv_norm",
    "contraction_inverse",
    "conv_gram_bound",
    "conv_norm_bound",
    "conv_power_iteration",
    "dense_power_iteration",
    "exact_extremes",
    "gram_bound",
    "grid_limit",
    "in_range",
    "induced_norm",
    "induced_norm_bound",
    "induced_power_iteration",
    "jvp",
    "lanczos_extremes",
    "learned_order",
    "log_abs_det",
    "log_det_interval",
    "norm_quotient",
    "on_grid",
    "power_iteration",
    "reshaped_kernel_norm",
    "round_to_grid",
    "singular_triplets",
    "snap_to_grid",
    "solve_fixed_point",
    "solve_ode",
    "spectral_norm",
    "spline_forward",
    "spline_inverse",
    "spline_slope_bounds",
    "truncation_bound",
    "vjp",
]
