"""Is a posterior right? Diagnostics of simulation-based inference, each with a p-value that is one."""

from inntf.calibration.c2st import C2st, c2st
from inntf.calibration.coverage import expected_coverage
from inntf.calibration.energy import energy_coverage, energy_two_sample
from inntf.calibration.misspecification import Misspecification, misspecification
from inntf.calibration.rank_test import RankTest
from inntf.calibration.sbc import sbc_ranks, sbc_test
from inntf.calibration.tarp import tarp

__all__ = [
    "C2st",
    "Misspecification",
    "RankTest",
    "c2st",
    "energy_coverage",
    "energy_two_sample",
    "expected_coverage",
    "misspecification",
    "sbc_ranks",
    "sbc_test",
    "tarp",
]
