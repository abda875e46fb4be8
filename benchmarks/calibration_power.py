"""Do the diagnostics of `inntf.calibration` keep their level, and do they see what they are for?

    python -m benchmarks.calibration_power [--repetitions 500] [--dims 4] [--samples 100] [--pted]

500 simulations, each with a normal posterior of its own mean (correlation 0.7) and `samples` samples: right, 1.25x too wide,
1.25x too narrow, shifted by half a standard deviation in each parameter, 1.5x too wide.  The share of repetitions rejected at
5 %.  Beside them a right posterior of dependent parameters of which half are counts
(ties everywhere), and a KS test between two grids of 21 levels, which is how BayesFlow 2.0 makes a p-value of TARP's curve.
`--pted` adds that package's coverage test (all permutations of each simulation: slow).  Six minutes of one core.

The exit status is 1 where a test of ours misses 5 % +- 2 on a right posterior (with 500 repetitions or more).
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy

from inntf.calibration import energy_coverage, expected_coverage, sbc_test, tarp
from inntf.calibration.optional import optional_module

SIMULATIONS = 500
POSTERIORS = {
    "right": (1.0, 0.0),
    "1.25x wide": (1.25, 0.0),
    "1.25x narrow": (0.8, 0.0),
    "shifted 0.5 sd": (1.0, 0.5),
    "1.5x wide": (1.5, 0.0),
}
RIGHT = ("right", "right, counts")


class Case:
    """Simulations with their posteriors."""

    def __init__(self, posterior: str, dims: int, n_samples: int, rng: np.random.Generator):
        mean = rng.normal(size=(SIMULATIONS, 1, dims)) * 2
        mix = np.linalg.cholesky(0.3 * np.eye(dims) + 0.7)
        draws = rng.normal(size=(SIMULATIONS, 1 + n_samples, dims)) @ mix.T
        scale, shift = POSTERIORS.get(posterior, (1.0, 0.0))
        self.truth = (mean + draws[:, :1])[:, 0]
        self.samples = mean + shift + scale * draws[:, 1:]
        if posterior == "right, counts":
            counts = slice(0, (dims + 1) // 2)
            self.truth[:, counts], self.samples[..., counts] = (
                np.round(self.truth[:, counts]),
                np.round(self.samples[..., counts]),
            )
        self.log_probs = [
            -((np.linalg.solve(mix, (x - mean - shift)[..., None])[..., 0] / scale) ** 2).sum(-1) / 2
            for x in (self.samples, self.truth[:, None])
        ]


def two_grids(case: Case, rng: np.random.Generator) -> float:
    """One reference point for each simulation, and KS between the coverage at 21 levels and the levels themselves."""
    points = rng.uniform(case.truth.min(0), case.truth.max(0), case.truth.shape)
    to_truth = np.linalg.norm(case.truth - points, axis=1)
    credibility = (np.linalg.norm(case.samples - points[:, None], axis=2) < to_truth[:, None]).mean(1)
    levels = np.linspace(0, 1, 21)
    return scipy.stats.ks_2samp([(credibility <= level).mean() for level in levels], levels).pvalue


def by_pted(case: Case, seed: int) -> float:
    """The package's own p-value, every member of a pool in the place of the truth once."""
    pted = optional_module("calibration_power", "pted", "pted")
    samples = case.samples.swapaxes(0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no more permutations than samples
        return pted.pted_coverage_test(case.truth, samples, permutations=len(samples) + 1, warn_confidence=None, rng=seed)


def make_tests(draws: int, pted: bool) -> dict[str, Callable[[Case, int], float]]:
    """By title: p-values of a case, by a seed."""
    tests = {
        "`sbc_test`": lambda c, s: sbc_test(c.samples, c.truth, seed=s, draws=draws).p_value,
        "`expected_coverage`, intervals": lambda c, s: expected_coverage(c.samples, c.truth, seed=s, draws=draws).p_value,
        "`expected_coverage`, densities": lambda c, s: (
            expected_coverage(
                c.samples, c.truth, log_prob_samples=c.log_probs[0], log_prob_truth=c.log_probs[1][:, 0], seed=s, draws=draws
            ).p_value
        ),
        "`expected_coverage`, densities, `one_sided=False`": lambda c, s: (
            expected_coverage(
                c.samples,
                c.truth,
                log_prob_samples=c.log_probs[0],
                log_prob_truth=c.log_probs[1][:, 0],
                one_sided=False,
                seed=s,
                draws=draws,
            ).p_value
        ),
        "`tarp`": lambda c, s: tarp(c.samples, c.truth, seed=s, draws=draws).p_value,
        "`energy_coverage`": lambda c, s: energy_coverage(c.samples, c.truth, seed=s, draws=draws).p_value,
        "TARP, KS of two grids": lambda c, s: two_grids(c, np.random.default_rng([s, 2])),
    }
    if pted:
        tests["`pted_coverage_test`"] = by_pted
    return tests


def rejected(posterior: str, repetitions: int, dims: int, n_samples: int, tests: dict) -> dict[str, tuple[float, float]]:
    """Share of repetitions with a p-value of 5 % or less, and seconds of a test."""
    rejections, seconds = dict.fromkeys(tests, 0), dict.fromkeys(tests, 0.0)
    for repetition in range(repetitions):
        case = Case(posterior, dims, n_samples, np.random.default_rng([dims, repetition]))
        for name, test in tests.items():
            start = time.process_time()
            rejections[name] += test(case, repetition) <= 0.05
            seconds[name] += (time.process_time() - start) / repetitions
    return {name: (rejections[name] / repetitions, seconds[name]) for name in tests}


def main(arguments: list[str] | None = None) -> int:
    """The table; 1 where a level is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=500, help="of right posteriors; a fifth of them of wrong ones")
    parser.add_argument("--dims", type=int, default=4)
    parser.add_argument("--samples", type=int, default=100, help="of each posterior")
    parser.add_argument("--draws", type=int, default=199, help="of the null distributions")
    parser.add_argument("--pted", action="store_true")
    given = parser.parse_args(arguments)
    tests = make_tests(given.draws, given.pted)
    columns = {}
    for posterior in ("right", "right, counts", *list(POSTERIORS)[1:]):
        repetitions = given.repetitions if posterior in RIGHT else max(1, given.repetitions // 5)
        columns[posterior] = rejected(posterior, repetitions, given.dims, given.samples, tests)
        print(f"{posterior}: {repetitions} repetitions", file=sys.stderr, flush=True)
    print(f"| {SIMULATIONS} simulations x {given.samples} samples, {given.dims}-d | " + " | ".join(columns) + " | ms |")
    print("|---|" + "---|" * (len(columns) + 1))
    for name in tests:
        shares = " | ".join(f"{100 * column[name][0]:.1f} %" for column in columns.values())
        print(f"| {name} | {shares} | {1e3 * columns['right'][name][1]:.0f} |")
    ours = [name for name in tests if name not in ("TARP, KS of two grids", "`pted_coverage_test`")]
    levels = [columns[posterior][name][0] for posterior in RIGHT for name in ours]
    return int(given.repetitions >= 500 and not all(0.03 <= level <= 0.07 for level in levels))


if __name__ == "__main__":
    sys.exit(main())
