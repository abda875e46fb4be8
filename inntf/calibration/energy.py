"""Tests by energy distance and permutations: the package `pted`."""

from __future__ import annotations

from typing import Any

from inntf.calibration.optional import optional_module
from inntf.calibration.pools import checked_pools
from inntf.calibration.two_samples import checked_sets


def energy_two_sample(x: Any, y: Any, *, permutations: int = 999, seed: int = 0) -> float:
    r"""The p-value of "x and y are samples of one distribution" by $2 E\|x - y\| - E\|x - x'\| - E\|y - y'\|$.

    It has no kernel and no width to choose, and is invariant to rotations, not to the scales of entries.

    Args:
        x: `(n, dim)`.
        y: `(m, dim)`.
        permutations: of the pooled samples.
        seed: of the permutations.

    Returns:
        The p-value, one-sided.

    Raises:
        ImportError: without the package `pted`, which the extra `recipes` brings.
        ValueError: for other shapes, or values that are not finite.

    Source: Szekely and Rizzo, "Energy statistics" (2013); the package `pted` 2.0 (Stone, 2026).

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> energy_two_sample(x[:50], x[50:] + 1.0) < 0.01
        True
    """
    x, y = checked_sets("energy_two_sample", ("x", "y"), x, y, 2)
    pted = optional_module("energy_two_sample", "pted", "pted")
    return float(pted.pted(x, y, permutations=permutations, two_tailed=False, rng=seed))


def energy_coverage(samples: Any, truth: Any, *, permutations: int = 999, seed: int = 0) -> float:
    r"""The p-value of "the posteriors cover the true parameters": each truth as a sample of size one, all by Fisher's sum.

    Args:
        samples: of the posterior, `(n_simulations, n_samples, dim)`.
        truth: parameters that the simulations were made with, `(n_simulations, dim)`.
        permutations: for each simulation.
        seed: of the permutations.

    Returns:
        The p-value, two-sided: too wide and too narrow.

    Raises:
        ImportError: without the package `pted`, which the extra `recipes` brings.
        ValueError: for other shapes, fewer than two simulations, or values that are not finite.

    Source: the package `pted` 2.0 (Stone, 2026), `pted_coverage_test`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> energy_coverage(0.5 * rng.normal(size=(100, 50, 2)), rng.normal(size=(100, 2)), permutations=49) < 0.01
        True
    """
    pools = checked_pools("energy_coverage", samples, truth)
    pted = optional_module("energy_coverage", "pted", "pted")
    swapped = pools[:, 1:].swapaxes(0, 1)
    p_value = pted.pted_coverage_test(pools[:, 0], swapped, permutations=permutations, warn_confidence=None, rng=seed)
    return float(p_value)
