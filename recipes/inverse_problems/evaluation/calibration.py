"""Is a sampler calibrated? Ranks, coverage, random reference points, on simulations it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.calibration import RankTest, expected_coverage, misspecification, sbc_test, tarp
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems.problem import Problem, simulate

_SEED = 6_000_001
TESTS = ("sbc", "coverage", "tarp")


def calibration(problem: Problem, posterior: Posterior, simulations: int, samples: int, seed: int) -> dict[str, RankTest]:
    """The three tests, each with curves, bands and one p-value.

    Coverage is that of central intervals: with observations free of noise a posterior is a surface, and regions of highest
    density of any model with a density are thicker than it.

    Args:
        problem: what simulates.
        posterior: what is tested.
        simulations: number of fresh pairs.
        samples: of each posterior.
        seed: of everything drawn.
    """
    x, y = (t.numpy() for t in simulate(problem, simulations, _SEED + seed))
    drawn = posterior.sample(y, samples, seed)
    return {
        "sbc": sbc_test(drawn, x, seed=seed),
        "coverage": expected_coverage(drawn, x, seed=seed),
        "tarp": tarp(drawn, x, seed=seed),
    }


def familiar(problem: Problem, y: np.ndarray, simulations: int = 10_000) -> dict[str, Any]:
    """Whether the observations look like simulations at all: share flagged at 1 %, and the p-value of all together."""
    simulated = simulate(problem, simulations, _SEED - 1)[1].numpy()
    found = misspecification(y, simulated)
    return {"flagged": float(np.mean(found.flags)), "p_value": float(found.p_value)}


def p_values(tests: dict[str, RankTest]) -> dict[str, float]:
    """A number for each test."""
    return {f"{name}_p": float(test.p_value) for name, test in tests.items()}


def curves(tests: dict[str, RankTest]) -> dict[str, np.ndarray]:
    """What a figure of the tests needs, as arrays for a file."""
    keys = ("points", "ecdf", "lower", "upper")
    return {f"{name}_{key}": np.asarray(getattr(test, key)) for name, test in tests.items() for key in keys}


def one_observation(problem: Problem) -> np.ndarray:
    """One fresh observation, `(1, dim y)`."""
    return simulate(problem, 1, _SEED + 10**6)[1].numpy()
