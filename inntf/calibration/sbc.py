"""Simulation-based calibration: ranks of the true parameters among posterior samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.calibration.pools import checked_pools, parameter_names, pool_ranks
from inntf.calibration.rank_test import RankTest, rank_test


def sbc_ranks(samples: Any, truth: Any, *, seed: int = 0) -> np.ndarray:
    r"""How many posterior samples are below the true parameter: uniform on `0, ..., n_samples` if the posterior is right.

    Ties, as between counts, are broken at random, which keeps the ranks uniform.

    Args:
        samples: of the posterior, `(n_simulations, n_samples, dim)`.
        truth: parameters that the simulations were made with, `(n_simulations, dim)`.
        seed: of ties.

    Returns:
        `(n_simulations, dim)`, integers.

    Raises:
        ValueError: for other shapes, fewer than two simulations, or values that are not finite.

    Source: Talts et al., "Validating Bayesian inference algorithms with simulation-based calibration" (2018), theorem 1.

    Example:
        >>> sbc_ranks([[[1.0], [2.0], [3.0]], [[1.0], [2.0], [3.0]]], [[2.5], [0.0]]).tolist()
        [[2], [0]]
    """
    return pool_ranks(checked_pools("sbc_ranks", samples, truth), np.random.default_rng(seed))[:, 0].copy()


def sbc_test(samples: Any, truth: Any, *, seed: int = 0, draws: int = 1999, level: float = 0.95) -> RankTest:
    r"""Simulation-based calibration with one p-value: is each parameter's rank uniform?

    The statistic is the largest Anderson-Darling distance over the parameters; its p-value is exact for any numbers of
    simulations and samples, dependent and integer parameters too.  The band holds the distribution functions of all parameters
    at once.  Each simulation needs samples from random numbers of its own: the same latents for all would not do.

    Args:
        samples: of the posterior, `(n_simulations, n_samples, dim)`.
        truth: parameters that the simulations were made with, `(n_simulations, dim)`.
        seed: of ties and of the null distribution.
        draws: of the null distribution; the smallest p-value is `1 / (1 + draws)`.
        level: of the band.

    Returns:
        A `RankTest` with a curve for each parameter: a hump above the diagonal on the left and below on the right is a
        posterior too narrow, above everywhere one whose samples are too large.

    Raises:
        ValueError: for other shapes, fewer than two simulations, values that are not finite, or `draws` below 19.

    Source: Talts et al. (2018); Saeilynoja, Buerkner and Vehtari, "Graphical test for discrete uniformity" (2022), for the
        band; Westfall and Young, "Resampling-based multiple testing" (1993), for the correction.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth, samples = rng.normal(size=(300, 2)), rng.normal(size=(300, 99, 2))
        >>> sbc_test(samples, truth).p_value > 0.05, sbc_test(1.4 * samples, truth).p_value < 0.01
        (True, True)
    """
    pools = checked_pools("sbc_test", samples, truth)
    return rank_test("sbc_test", pools, parameter_names(pools), seed, draws, level)
