"""Posteriors to compare with: of very many draws of the prior the ones whose observation is nearest (quantile ABC)."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from scipy.spatial import cKDTree
from tqdm import tqdm

from recipes.common import files
from recipes.inverse_problems.problems.problem import Problem, simulate

_CHUNK = 2_000_000
_SEED_OBSERVED, _SEED_POOL = 7_000_001, 8_000_001  # far from those of training data


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """Posteriors of several observations.

    Attributes:
        x: `(observations, dim x)`, what made them.
        y: `(observations, dim y)`.
        samples: `(observations, n, dim x)`, the nearest of the pool.
        radius: `(observations,)`, distance of the farthest of them from the observation, entries of y as they are.
        shown_y, shown: `(dim y,)` and `(n, dim x)`, one observation more, which figures show.
        pool: number of draws.
    """

    x: np.ndarray
    y: np.ndarray
    samples: np.ndarray
    radius: np.ndarray
    shown_y: np.ndarray
    shown: np.ndarray
    pool: int

    def summary(self) -> dict[str, float]:
        """What a table says of it."""
        return {
            "observations": len(self.y),
            "samples": self.samples.shape[1],
            "pool": self.pool,
            "radius_median": float(np.median(self.radius)),
            "radius_max": float(self.radius.max()),
        }


def ground_truth(
    problem: Problem, observations: int, n: int, pool: int, shown: np.ndarray, *, chunk: int = _CHUNK
) -> GroundTruth:
    """Draw observations by prior and forward process, and the nearest `n` of `pool` further draws for each.

    Args:
        problem: a deterministic one, or one whose noise is part of the draw.
        observations: how many.
        n: samples of each posterior.
        pool: draws of the prior; memory does not grow with it.
        shown: `(dim y,)`, one observation more.
        chunk: draws held at a time.

    Returns:
        The posteriors; the seeds are fixed, so that every run compares with the same.
    """
    x_true, y_true = (t.numpy() for t in simulate(problem, observations, _SEED_OBSERVED))
    targets = np.concatenate([y_true, np.asarray(shown, np.float32)[None]])
    nearest = np.full((len(targets), n), np.inf)
    samples = np.zeros((len(targets), n, problem.dim_x), np.float32)
    sizes = [min(chunk, pool - begin) for begin in range(0, pool, chunk)]
    for turn, size in enumerate(tqdm(sizes, desc=f"{problem.name}: ground truth", unit="chunk", mininterval=1.0)):
        x, y = (t.numpy() for t in simulate(problem, size, _SEED_POOL + turn))
        distance, index = cKDTree(y).query(targets, k=min(n, size))
        found = index.reshape(len(targets), -1)
        nearest, samples = _merged(nearest, samples, distance.reshape(len(targets), -1), x[found], n)
    return GroundTruth(x_true, y_true, samples[:-1], nearest[:-1, -1], targets[-1], samples[-1], pool)


def kept_ground_truth(
    path: pathlib.Path, problem: Problem, observations: int, n: int, pool: int, shown: np.ndarray
) -> GroundTruth:
    """The ground truth in a file, or one made now and kept there."""
    if path.exists():
        with np.load(path) as file:
            kept = GroundTruth(**{f.name: file[f.name] for f in dataclasses.fields(GroundTruth)})
        return dataclasses.replace(kept, pool=int(kept.pool))
    made = ground_truth(problem, observations, n, pool, shown)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(path) as beside:
        np.savez_compressed(beside, **{f.name: getattr(made, f.name) for f in dataclasses.fields(GroundTruth)})
    return made


def _merged(
    nearest: np.ndarray, samples: np.ndarray, distance: np.ndarray, x: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    distances = np.concatenate([nearest, distance], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :n]
    rows = np.take_along_axis(np.concatenate([samples, x], axis=1), order[..., None], axis=1)
    return np.take_along_axis(distances, order, axis=1), rows
