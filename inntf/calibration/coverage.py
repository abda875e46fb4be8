"""Expected coverage: how often credible regions hold the true parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.calibration.pools import checked_pools, parameter_names, pool_ranks
from inntf.calibration.rank_test import RankTest, rank_test
from inntf.core.errors import explain


def expected_coverage(
    samples: Any,
    truth: Any,
    *,
    log_prob_samples: Any = None,
    log_prob_truth: Any = None,
    one_sided: bool = True,
    seed: int = 0,
    draws: int = 1999,
    level: float = 0.95,
) -> RankTest:
    r"""Do regions of credibility $\alpha$ hold the true parameters in a share $\alpha$ of the simulations?

    With the model's log densities the regions are those of highest density, one curve: the truth is inside of the region of
    credibility $\alpha$ where at most a share $\alpha$ of the samples has a higher density.  Without them they are the central
    intervals of each parameter, a curve for each.  A curve above the diagonal is a posterior too wide, below it one too narrow
    or in the wrong place.

    A shift hardly changes how often such regions hold the truth: one of half a standard deviation is seen in 500 simulations
    with a probability of 0.5 to 0.85.  The one-sided intervals of each parameter, from minus infinity to a quantile, show it
    and are there unless `one_sided=False`.

    Args:
        samples: of the posterior, `(n_simulations, n_samples, dim)`.
        truth: parameters that the simulations were made with, `(n_simulations, dim)`.
        log_prob_samples: `log q(samples | y)`, `(n_simulations, n_samples)`, up to a constant per simulation.
        log_prob_truth: `log q(truth | y)`, `(n_simulations,)`, with the same constants; minus infinity where there is none.
        one_sided: whether one-sided intervals are tested as well.
        seed: of ties and of the null distribution.
        draws: of the null distribution; the smallest p-value is `1 / (1 + draws)`.
        level: of the band.

    Returns:
        A `RankTest` whose `ecdf` at `points` is the coverage at these credibilities; its p-value is exact as in `sbc_test`.

    Raises:
        ValueError: for other shapes, one kind of log densities alone, NaN among them, or `draws` below 19.

    Source: Hermans et al., "A trust crisis in simulation-based inference?" (2022), definition 2.1; Deistler, Goncalves and
        Macke, "Truncated proposals for scalable and hassle-free simulation-based inference" (2022), for the ranks of densities.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth, samples = rng.normal(size=(300, 2)), 1.5 * rng.normal(size=(300, 99, 2))
        >>> found = expected_coverage(samples, truth)
        >>> found.p_value < 0.01, found.labels[0], bool(found.ecdf[50, 0] > found.upper[50])
        (True, 'x1 central', True)
    """
    pools = checked_pools("expected_coverage", samples, truth)
    if (log_prob_samples is None) != (log_prob_truth is None):
        received = "log_prob_samples alone" if log_prob_truth is None else "log_prob_truth alone"
        raise ValueError(explain("expected_coverage", received=received, expected="both or none"))
    names = parameter_names(pools)
    if log_prob_samples is None:
        ranks = pool_ranks(pools, np.random.default_rng([seed, 1]))
        scores = np.abs(2.0 * ranks - (pools.shape[1] - 1))  # from the middle outwards
        labels = [f"{name} central" for name in names]
    else:
        scores = -_densities(log_prob_samples, log_prob_truth, pools.shape[:2])[..., None]
        labels = ["highest density"]
    if one_sided:
        scores, labels = np.concatenate([scores, pools], -1), labels + [f"{name} one-sided" for name in names]
    return rank_test("expected_coverage", scores, labels, seed, draws, level)


def _densities(of_samples: Any, of_truth: Any, shape: tuple[int, ...]) -> np.ndarray:
    of_samples, of_truth = np.asarray(of_samples, np.float64), np.asarray(of_truth, np.float64)
    number, members = shape
    if of_samples.shape != (number, members - 1) or of_truth.shape != (number,):
        received = f"log densities of shapes {of_samples.shape} and {of_truth.shape}"
        expected = f"({number}, {members - 1}) and ({number},), one for each sample and for each truth"
        raise ValueError(explain("expected_coverage", received=received, expected=expected))
    both = np.concatenate([of_truth[:, None], of_samples], 1)
    if np.isnan(both).any():
        received = f"{int(np.isnan(both).sum())} log densities that are NaN"
        raise ValueError(explain("expected_coverage", received=received, expected="numbers, or minus infinity"))
    return both
