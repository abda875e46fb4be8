"""Estimators of `log|det(I + J)|`, the log-determinant of a residual block, and what is certain about it.

Each is a callable `estimator(function, x, seed) -> (function(x), log_det)`; see `LogDetEstimator`.
"""

from inntf.numerics.log_dets.base import LogDetEstimator
from inntf.numerics.log_dets.bounds import log_det_interval, truncation_bound
from inntf.numerics.log_dets.exact import ExactLogDet, log_abs_det_of_identity_plus
from inntf.numerics.log_dets.roulette import RussianRoulette
from inntf.numerics.log_dets.series import PowerSeries
from inntf.numerics.log_dets.stopping_times import Geometric, Poisson, StoppingTime

__all__ = [
    "ExactLogDet",
    "Geometric",
    "LogDetEstimator",
    "Poisson",
    "PowerSeries",
    "RussianRoulette",
    "StoppingTime",
    "log_abs_det_of_identity_plus",
    "log_det_interval",
    "truncation_bound",
]
