"""Everything that is measured of a trained method, and the arrays that figures need."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.calibration import c2st
from recipes.inverse_problems.evaluation import calibration
from recipes.inverse_problems.evaluation.ground_truth import GroundTruth
from recipes.inverse_problems.evaluation.posterior_errors import milliseconds, posterior_errors
from recipes.inverse_problems.evaluation.stability import stability
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Count
from recipes.inverse_problems.settings import Config
from recipes.inverse_problems.training import Pairs

SHOWN = 500  # samples of the observation that figures show


def measure(
    problem: Problem, posterior: Posterior, truth: GroundTruth, held_out: Pairs, config: Config, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers for the table, and arrays for the figures.

    A model that was trained on noisy counts gives noisy counts: its own samples are the raw ones.  That of a conditional model,
    whose density is over the cells of counts, are rounded.  Both are measured of all; ranks are those of rounded samples among
    the whole counts that were simulated.

    Args:
        problem: the problem.
        posterior: of the trained method.
        truth: the ground truth.
        held_out: unseen pairs in the method's coordinates.
        config: settings.
        seed: of samples.
    """
    method = posterior.method
    drawn = whole = posterior.sample(truth.y, config.samples, seed, rounded=False)
    raw = errors = posterior_errors(problem, drawn, truth)
    if any(isinstance(s, Count) for s in problem.supports):
        whole = posterior.coordinates.rounded(tf.constant(drawn)).numpy()
        errors = posterior_errors(problem, whole, truth)
    numbers: dict[str, Any] = errors.means()
    numbers |= {f"{key}_raw": value for key, value in raw.means().items() if key in ("posterior", "resimulation", "invalid")}
    own = raw if method.supervised else errors
    numbers |= {"own_posterior": float(own.posterior.mean()), "own_resimulation": float(own.resimulation.mean())}
    numbers["c2st"] = told_apart(whole, truth, config.c2st_observations)
    tests = calibration.calibration(problem, posterior, config.calibration, config.calibration_samples, seed)
    numbers |= calibration.p_values(tests)
    numbers |= stability(method, held_out)
    numbers |= {
        "milliseconds": milliseconds(posterior, truth.y, config.samples),
        "weights": method.count_weights(),
        "dim_z": method.dim_z,
        "likelihood": method.likelihood,
        "supervised": method.supervised,
        "title": method.title,
    }
    arrays = {
        "posterior": own.posterior,
        "resimulation": own.resimulation,
        "samples": posterior.sample(shown(problem), SHOWN, seed, rounded=not method.supervised)[0],
        **calibration.curves(tests),
    }
    return numbers, arrays


def told_apart(samples: np.ndarray, truth: GroundTruth, count: int) -> float | None:
    """Mean C2ST accuracy over the first `count` observations; `None` for none, NaN where a sample is not finite.

    Args:
        samples: `(observations, n, dim x)`.
        truth: the ground truth of the same observations.
        count: how many of them.
    """
    if not count:
        return None
    if not np.isfinite(samples[:count]).all():
        return float("nan")
    return float(np.mean([c2st(t, s).accuracy for t, s in zip(truth.samples[:count], samples[:count], strict=True)]))


def shown(problem: Problem) -> np.ndarray:
    """The observation of the figures, `(1, dim y)`: the problem's, else one drawn."""
    if problem.shown is not None:
        return np.asarray([problem.shown], np.float32)
    return calibration.one_observation(problem)
