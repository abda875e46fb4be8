"""TARP: coverage of balls around random points, in all parameters at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.calibration.pools import checked_pools
from inntf.calibration.rank_test import RankTest, rank_test
from inntf.core.errors import explain


def tarp(
    samples: Any,
    truth: Any,
    *,
    references: Any = None,
    n_references: int = 10,
    seed: int = 0,
    draws: int = 1999,
    level: float = 0.95,
) -> RankTest:
    r"""Tests of accuracy with random points: is the truth as far from them as the samples are?

    For a reference point $r$ the ball around it that reaches to the truth $\theta$ has the credibility
    $P(\|s - r\| < \|\theta - r\|)$ under the posterior, uniform if the posterior is right, whatever the distribution of $r$
    independent of the truth.  Distances are in standard deviations of each parameter.  By default there are several points,
    uniform in the box of all parameters, the same for all simulations: with one point for each simulation, drawn anew, a
    shift moves some credibilities up and as many down, and most of the power is lost.

    Args:
        samples: of the posterior, `(n_simulations, n_samples, dim)`.
        truth: parameters that the simulations were made with, `(n_simulations, dim)`.
        references: points of your own: `(n_references, dim)` for all simulations, or `(n_simulations, n_references, dim)`;
            they may depend on the observation, and must not depend on the truth otherwise.
        n_references: how many, where `references` is not given.
        seed: of reference points, ties and the null distribution.
        draws: of the null distribution; the smallest p-value is `1 / (1 + draws)`.
        level: of the band.

    Returns:
        A `RankTest` with a curve for each reference point, whose `ecdf` at `points` is the expected coverage; its p-value is
        exact as in `sbc_test`.

    Raises:
        ValueError: for other shapes, values that are not finite, or `draws` below 19.

    Source: Lemos et al., "Sampling-based accuracy testing of posterior estimators for general inference" (2023), algorithm 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth, samples = rng.normal(size=(300, 2)), rng.normal(size=(300, 99, 2))
        >>> tarp(samples, truth).p_value > 0.05, tarp(1.5 * samples, truth).p_value < 0.01
        (True, True)
    """
    pools = checked_pools("tarp", samples, truth)
    number, _, dim = pools.shape
    # Of truth and samples together: what knows which is the truth would spoil the level.
    deviation = pools.std((0, 1))
    deviation[deviation == 0] = 1
    if references is None:
        if n_references < 1:
            raise ValueError(explain("tarp", received=f"n_references={n_references}", expected="at least 1"))
        rng = np.random.default_rng([seed, 1])
        points = rng.uniform(pools.min((0, 1)), pools.max((0, 1)), (n_references, dim))
    else:
        points = np.asarray(references, np.float64)
        if points.shape[-1:] != (dim,) or points.ndim not in (2, 3) or (points.ndim == 3 and len(points) != number):
            received, expected = f"references of shape {points.shape}", f"(n, {dim}) or ({number}, n, {dim})"
            raise ValueError(explain("tarp", received=received, expected=expected))
        if not np.isfinite(points).all():
            raise ValueError(explain("tarp", received="references that are NaN or infinite", expected="finite numbers"))
    # About their centre: far from zero the squares would leave no digits of the distances.
    centre = pools.mean((0, 1))
    points = (np.broadcast_to(points, (number, *points.shape[-2:])) - centre) / deviation
    pools = (pools - centre) / deviation
    squares = (pools**2).sum(-1)[:, :, None] + (points**2).sum(-1)[:, None]
    scores = squares - 2 * pools @ np.swapaxes(points, 1, 2)
    labels = [f"reference {i + 1}" for i in range(points.shape[1])]
    return rank_test("tarp", scores, labels, seed, draws, level)
