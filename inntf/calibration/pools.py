"""The true parameters of a simulation among the samples of its posterior, and their ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.core.errors import explain


def checked_pools(function: str, samples: Any, truth: Any) -> np.ndarray:
    """Truth and samples in one array, `(n_simulations, 1 + n_samples, dim)`, the truth first.

    Raises:
        ValueError: for other shapes, fewer than two simulations, or values that are not finite.
    """
    samples, truth = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    if samples.ndim != 3 or truth.ndim != 2 or samples.shape[::2] != truth.shape or len(truth) < 2 or 0 in samples.shape:
        received = f"samples of shape {samples.shape} and true parameters of shape {truth.shape}"
        expected = "(n_simulations, n_samples, dim) and (n_simulations, dim), two simulations or more"
        raise ValueError(explain(function, received=received, expected=expected))
    for name, values in (("samples", samples), ("true parameters", truth)):
        if not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise ValueError(explain(function, received=f"{count} {name} that are NaN or infinite", expected="finite numbers"))
    return np.concatenate([truth[:, None], samples], 1)


def parameter_names(pools: np.ndarray) -> list[str]:
    """`x1`, `x2`, ..."""
    return [f"x{i + 1}" for i in range(pools.shape[-1])]


def pool_ranks(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rank of each member of a pool, from 0, by its score; ties at random.

    Args:
        scores: `(n_simulations, members, curves)`.
        rng: for ties.

    Returns:
        int32, the same shape; along the members each rank once.
    """
    order = np.argsort(rng.random(scores.shape[:2]), 1)[:, :, None]  # a random order first: the stable sort keeps it in ties
    by_score = np.argsort(np.take_along_axis(scores, order, 1), 1, kind="stable")
    ranks = np.empty(scores.shape, np.int32)
    members = np.arange(scores.shape[1], dtype=np.int32)[None, :, None]
    np.put_along_axis(ranks, np.take_along_axis(np.broadcast_to(order, scores.shape), by_score, 1), members, 1)
    return ranks
