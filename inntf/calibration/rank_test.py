"""One test for all: are the ranks of true parameters among posterior samples uniform?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from inntf.calibration.ecdf_bands import rank_points, simultaneous_bands
from inntf.calibration.pools import pool_ranks
from inntf.core.errors import explain

_BLOCK = 2**22  # numbers of the null distribution at a time


@dataclasses.dataclass(frozen=True)
class RankTest:
    """Ranks of true parameters among posterior samples, and whether they are uniform.

    There is a curve for each parameter (simulation-based calibration), each kind of region (coverage) or each reference point
    (TARP).

    Attributes:
        p_value: of all curves together: the probability of a statistic as large if the posterior is right.
        statistic: the largest of `statistics`.
        labels: of the curves, such as `x1` for the first parameter.
        statistics: `(curves,)`, Anderson-Darling distances of the ranks from uniform ones.
        p_values: `(curves,)`, corrected for the number of curves: the smallest is `p_value`.
        ranks: `(n_simulations, curves)`, from 0 to `n_samples`.
        n_samples: of each posterior.
        points: `(points,)`, between 0 and 1: levels at which the curves are given.
        ecdf: `(points, curves)`, the share of simulations with a rank in the lowest `points`.
        lower, upper: `(points,)`, where all curves stay with probability `level` if the posterior is right.
        level: of the band.
    """

    p_value: float
    statistic: float
    labels: tuple[str, ...]
    statistics: np.ndarray
    p_values: np.ndarray
    ranks: np.ndarray
    n_samples: int
    points: np.ndarray
    ecdf: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float


def rank_test(function: str, scores: np.ndarray, labels: Sequence[str], seed: int, draws: int, level: float) -> RankTest:
    r"""Test whether the first member of each pool is one of the others.

    If the posterior is right, truth and samples of a simulation are exchangeable.  So any member may stand for the truth: the
    null distribution is that of the same statistic for members drawn at random, and
    $p = (1 + \#\{\text{drawn} \ge \text{given}\}) / (1 + \text{draws})$ is exact for any numbers of simulations and
    samples, whatever the dependence between the curves; their correction is that of Westfall and Young, by the largest.

    Args:
        function: name in errors.
        scores: `(n_simulations, 1 + n_samples, curves)`, the truth first; each made by a rule that does not tell which it is.
        labels: of the curves.
        seed: of ties and of the null distribution.
        draws: of the null distribution.
        level: of the band.

    Returns:
        A `RankTest`.
    """
    if draws < 19 or not 0 < level < 1:
        received, expected = f"draws={draws} and level={level}", "at least 19 draws and a level between 0 and 1"
        raise ValueError(explain(function, received=received, expected=expected))
    rng = np.random.default_rng(seed)
    ranks = pool_ranks(scores, rng)
    number, members, curves = ranks.shape
    points = rank_points(members)
    given, counts = anderson_darling(ranks[None, :, 0], members, points)
    null, null_counts = np.empty((draws, curves)), np.empty((draws, len(points), curves), int)
    each = max(1, _BLOCK // (max(members, number) * curves))
    for start in range(0, draws, each):
        part = slice(start, min(start + each, draws))
        chosen = rng.integers(members, size=(part.stop - start, number))
        null[part], null_counts[part] = anderson_darling(ranks[np.arange(number), chosen], members, points)
    largest = np.sort(null.max(1))
    at_least = draws - np.searchsorted(largest, given[0] - 1e-9, side="left")
    p_values = (1 + at_least) / (1 + draws)
    lower, upper = simultaneous_bands(null_counts, points, number, members, level) / number
    return RankTest(
        p_value=float(p_values.min()),
        statistic=float(given.max()),
        labels=tuple(labels),
        statistics=given[0],
        p_values=p_values,
        ranks=ranks[:, 0].copy(),
        n_samples=members - 1,
        points=points / members,
        ecdf=counts[0] / number,
        lower=lower,
        upper=upper,
        level=level,
    )


def anderson_darling(ranks: np.ndarray, members: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""$\frac{n}{M} \sum_k (F_n(k) - u_k)^2 / (u_k (1 - u_k))$ for ranks among `M` members, $u_k = (k + 1) / M$.

    It weighs the tails, where a posterior too wide or too narrow shows first, and has more power against those than
    Kolmogorov's largest difference.

    Args:
        ranks: `(draws, n, curves)` integers from 0 to `members - 1`.
        members: how many ranks there are.
        points: `(points,)`, numbers of ranks.

    Returns:
        The statistics, `(draws, curves)`, and how many ranks are below each point, `(draws, points, curves)`.

    Source: Choulakian, Lockhart and Stephens, "Cramer-von Mises statistics for discrete distributions" (1994).
    """
    draws, number, curves = ranks.shape
    offsets = (np.arange(draws)[:, None, None] * members) * curves + np.arange(curves)
    cells = np.bincount((offsets + ranks.astype(np.int64) * curves).ravel(), minlength=draws * members * curves)
    below = cells.reshape(draws, members, curves).cumsum(1)
    u = (np.arange(1, members) / members)[:, None]
    deviation = below[:, :-1] / number - u
    return number / members * (deviation**2 / (u * (1 - u))).sum(1), below[:, points - 1]
