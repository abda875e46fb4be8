"""Bands that whole empirical distribution functions of ranks stay in with a given probability."""

from __future__ import annotations

import numpy as np
import scipy

POINTS = 100
"""At most, at which the functions are compared."""


def rank_points(members: int) -> np.ndarray:
    """Numbers of ranks, evenly spread: after each of them the functions are looked at; never all, where they are 1."""
    return np.unique(np.round(np.linspace(0, members, min(members, POINTS + 1) + 1)[1:-1]).astype(int))


def simultaneous_bands(null_counts: np.ndarray, points: np.ndarray, number: int, members: int, level: float) -> np.ndarray:
    r"""Bands of counts that hold all points of all curves at once with probability `level`.

    At each point the count is binomial, and the band leaves out what has a two-sided tail probability below one $\gamma$;
    that $\gamma$ is the one at which a share `level` of the null's curves is inside everywhere.

    Args:
        null_counts: `(draws, points, curves)`, numbers of ranks below each point, where all is calibrated.
        points: `(points,)`, numbers of ranks.
        number: of simulations.
        members: how many ranks there are.
        level: of all points and curves together.

    Returns:
        `(2, points)`, the lowest and the highest count inside.

    Source: Saeilynoja, Buerkner and Vehtari, "Graphical test for discrete uniformity and its applications in goodness-of-fit
        evaluation and multiple sample comparison" (2022), section 2.3, the adjustment by simulation.
    """
    counts = np.arange(number + 1)
    below = scipy.stats.binom.cdf(counts[None], number, points[:, None] / members)
    above = 1 - np.concatenate([np.zeros((len(points), 1)), below[:, :-1]], 1)
    tail = 2 * np.minimum(below, above)
    smallest = np.sort(tail[np.arange(len(points))[:, None], null_counts].min((1, 2)))
    gamma = smallest[int((1 - level) * len(smallest))]
    inside = tail >= gamma
    return np.stack([inside.argmax(1), number - inside[:, ::-1].argmax(1)])
