"""Pure functions, tensor in, tensor out, in folders by subject: transformers, log-determinants, solvers, norms, Jacobians.

What is not in `__all__` are the parts that these are made of; they can be imported from here, too.
"""

from inntf.numerics.bidiagonalization import Extremes as Extremes
from inntf.numerics.bidiagonalization import bidiagonalize as bidiagonalize
from inntf.numerics.extreme_singular_values import JacobianExtremes as JacobianExtremes
from inntf.numerics.extreme_singular_values import exact_extremes as exact_extremes
from inntf.numerics.extreme_singular_values import lanczos_extremes as lanczos_extremes
from inntf.numerics.full_spectrum import all_singular_values as all_singular_values
from inntf.numerics.full_spectrum import log_abs_det as log_abs_det
from inntf.numerics.full_spectrum import singular_triplets as singular_triplets
from inntf.numerics.grids import check_in_range as check_in_range
from inntf.numerics.grids import check_on_grid as check_on_grid
from inntf.numerics.grids import grid_limit as grid_limit
from inntf.numerics.grids import in_range as in_range
from inntf.numerics.grids import on_grid as on_grid
from inntf.numerics.grids import round_to_grid as round_to_grid
from inntf.numerics.grids import snap_to_grid
from inntf.numerics.jacobian import Linearization as Linearization
from inntf.numerics.jacobian import batch_jacobian, jvp, vjp
from inntf.numerics.kernels import X_SIDE_KERNEL, Z_SIDE_KERNEL, Gaussian, InverseMultiquadric, InverseQuadratic
from inntf.numerics.log_dets import ExactLogDet, Geometric, LogDetEstimator, Poisson, PowerSeries, RussianRoulette
from inntf.numerics.log_dets import log_det_interval as log_det_interval
from inntf.numerics.log_dets import truncation_bound as truncation_bound
from inntf.numerics.mmd import mmd_squared
from inntf.numerics.mmd_permutations import MmdTest, mmd_test
from inntf.numerics.norms.conv_norms import circular_conv_norm as circular_conv_norm
from inntf.numerics.norms.conv_norms import conv_norm_bound
from inntf.numerics.norms.gram_bounds import conv_gram_bound as conv_gram_bound
from inntf.numerics.norms.gram_bounds import gram_bound as gram_bound
from inntf.numerics.norms.induced_norms import induced_norm as induced_norm
from inntf.numerics.norms.induced_norms import induced_norm_bound
from inntf.numerics.norms.induced_norms import induced_power_iteration as induced_power_iteration
from inntf.numerics.norms.induced_norms import learned_order as learned_order
from inntf.numerics.norms.induced_norms import norm_quotient as norm_quotient
from inntf.numerics.norms.power_iteration import conv_power_iteration as conv_power_iteration
from inntf.numerics.norms.power_iteration import dense_power_iteration as dense_power_iteration
from inntf.numerics.norms.power_iteration import power_iteration as power_iteration
from inntf.numerics.norms.power_iteration import reshaped_kernel_norm as reshaped_kernel_norm
from inntf.numerics.norms.power_iteration import spectral_norm
from inntf.numerics.solvers.fixed_point import FixedPoint, solve_fixed_point
from inntf.numerics.solvers.implicit import contraction_inverse
from inntf.numerics.solvers.ode import OdeSolution, solve_ode
from inntf.numerics.transformers import (
    AffineTransform,
    CircularSplineTransform,
    ShiftTransform,
    SinhArcsinhTransform,
    SplineTransform,
    Transformer,
)
from inntf.numerics.transformers.scales import ExpScale, ReciprocalScale, Scale, SigmoidScale, SoftplusScale
from inntf.numerics.transformers.splines import spline_forward as spline_forward
from inntf.numerics.transformers.splines import spline_inverse as spline_inverse
from inntf.numerics.transformers.splines import spline_slope_bounds as spline_slope_bounds

__all__ = [
    "X_SIDE_KERNEL",
    "Z_SIDE_KERNEL",
    "AffineTransform",
    "CircularSplineTransform",
    "ExactLogDet",
    "ExpScale",
    "FixedPoint",
    "Gaussian",
    "Geometric",
    "InverseMultiquadric",
    "InverseQuadratic",
    "LogDetEstimator",
    "MmdTest",
    "OdeSolution",
    "Poisson",
    "PowerSeries",
    "ReciprocalScale",
    "RussianRoulette",
    "Scale",
    "ShiftTransform",
    "SigmoidScale",
    "SinhArcsinhTransform",
    "SoftplusScale",
    "SplineTransform",
    "Transformer",
    "batch_jacobian",
    "contraction_inverse",
    "conv_norm_bound",
    "induced_norm_bound",
    "jvp",
    "mmd_squared",
    "mmd_test",
    "snap_to_grid",
    "solve_fixed_point",
    "solve_ode",
    "spectral_norm",
    "vjp",
]
