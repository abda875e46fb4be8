"""How far a sampler's posteriors are from the ground truth, and how far its samples land from what was observed."""

from __future__ import annotations

import dataclasses
import functools
import time

import numpy as np
import tensorflow as tf

from inntf.numerics import X_SIDE_KERNEL, InverseQuadratic, mmd_squared
from recipes.inverse_problems.evaluation.ground_truth import GroundTruth
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems.problem import Problem

_AT_ONCE = 20  # observations
SECOND_KERNEL = InverseQuadratic([0.05, 0.2, 0.9])


@dataclasses.dataclass(frozen=True)
class PosteriorErrors:
    """Numbers of each observation, `(observations,)`.

    Attributes:
        posterior: Err_post (eq. 10): unbiased squared MMD with the x-side kernel, in the units of x.
        posterior_second: the same with the kernel of the toy experiments, `sum_a a^2 / (a^2 + d^2)`.
        energy: energy distance, in the units of x.
        resimulation: Err_resim (eq. 11): mean squared distance of the samples' observations from the observed one.
        invalid: share of samples that have no observation; they are left out of `resimulation`.
    """

    posterior: np.ndarray
    posterior_second: np.ndarray
    energy: np.ndarray
    resimulation: np.ndarray
    invalid: np.ndarray

    def means(self) -> dict[str, float]:
        """What the table shows: means over observations, and the median of Err_post."""
        out = {f.name: float(np.mean(getattr(self, f.name))) for f in dataclasses.fields(self)}
        return {**out, "posterior_median": float(np.median(self.posterior))}


def posterior_errors(problem: Problem, samples: np.ndarray, truth: GroundTruth) -> PosteriorErrors:
    """Compare samples with the ground truth.

    Args:
        problem: whose forward process is run again.
        samples: `(observations, n, dim x)`.
        truth: the ground truth of the same observations.
    """
    found: list[list[np.ndarray]] = [[], [], []]
    for begin in range(0, len(samples), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        pair = tf.constant(samples[part]), tf.constant(truth.samples[part])
        for kept, distance in zip(found, _DISTANCES, strict=True):
            kept.append(distance(*pair).numpy())
    count, n, dim = samples.shape
    y = problem.forward(tf.constant(samples.reshape(-1, dim)), tf.constant([0, 1])).numpy().reshape(count, n, -1)
    squares = np.sum((y - truth.y[:, None]) ** 2, axis=-1)
    valid = np.isfinite(squares)
    sums = np.where(valid, squares, 0.0).sum(axis=1)
    mean = np.where(valid.any(axis=1), sums / np.maximum(valid.sum(axis=1), 1), np.inf)
    return PosteriorErrors(*map(np.concatenate, found), mean, 1.0 - valid.mean(axis=1))


def milliseconds(posterior: Posterior, y: np.ndarray, n: int, repeats: int = 15) -> float:
    """Wall time of `n` samples for one observation, the least of several calls after a first: other work only adds to it."""
    spent = []
    for seed in range(repeats + 1):
        start = time.perf_counter()
        posterior.sample(y[:1], n, seed)
        spent.append(time.perf_counter() - start)
    return 1000.0 * min(spent[1:])


def _minus_distance(squares: tf.Tensor) -> tf.Tensor:
    """The kernel whose squared MMD is the energy distance."""
    return -tf.sqrt(tf.maximum(squares, 1e-12))


_DISTANCES = [
    tf.function(functools.partial(mmd_squared, kernel=kernel, estimator="unbiased"), reduce_retracing=True, autograph=False)
    for kernel in (X_SIDE_KERNEL, SECOND_KERNEL, _minus_distance)
]
