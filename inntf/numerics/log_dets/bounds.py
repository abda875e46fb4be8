"""What is certain about the log-determinant of a residual block, from its Lipschitz constant alone."""

from __future__ import annotations

import math


def truncation_bound(lipschitz: float, terms: int, dim: int) -> float:
    r"""The most by which `terms` terms of the power series can miss $\log\det(I + J)$, without noise.

    $d\,\big(-\ln(1 - L) - \sum_{k=1}^{n} L^k / k\big)$, summed as its tail $d \sum_{k>n} L^k / k$ so that nothing cancels.

    Args:
        lipschitz: L, a Lipschitz constant of the residual branch; at least 0 and below 1.
        terms: n, terms taken; 0 bounds the log-determinant itself.
        dim: d, size of one event.

    Returns:
        The bound, in nats.

    Raises:
        ValueError: on arguments outside these ranges.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), theorem 3.

    Example:
        >>> round(truncation_bound(0.5, 1, dim=1), 4)  # ln 2 - 1/2
        0.1931
    """
    _check("truncation_bound", lipschitz, dim)
    if terms < 0:
        raise ValueError(f"truncation_bound: received terms={terms}, expected 0 or more. Pass how many terms are summed.")
    if lipschitz == 0:
        return 0.0
    if terms * (1 - lipschitz) < 1:  # the closed form loses nothing here, and the tail would be long
        return dim * (-math.log1p(-lipschitz) - sum(lipschitz**k / k for k in range(1, terms + 1)))
    total, k, power = 0.0, terms + 1, lipschitz ** (terms + 1)
    while power > 1e-17 * max(total, 1e-300) and power > 0:
        total += power / k
        k, power = k + 1, power * lipschitz
    return dim * total


def log_det_interval(lipschitz: float, dim: int) -> tuple[float, float]:
    r"""Where $\log\det(I + J)$ of a block must lie: $[\,d \ln(1 - L),\; d \ln(1 + L)\,]$.

    Every singular value of $I + J$ is in $[1 - L, 1 + L]$.  For a chain of blocks add the ends.

    Args:
        lipschitz: L, a Lipschitz constant of the residual branch; at least 0 and below 1.
        dim: d, size of one event.

    Returns:
        `(low, high)`, in nats.

    Raises:
        ValueError: on arguments outside these ranges.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), lemma 6.

    Example:
        >>> [round(end, 4) for end in log_det_interval(0.5, dim=2)]
        [-1.3863, 0.8109]
    """
    _check("log_det_interval", lipschitz, dim)
    return dim * math.log1p(-lipschitz), dim * math.log1p(lipschitz)


def _check(name: str, lipschitz: float, dim: int) -> None:
    if not 0 <= lipschitz < 1:
        raise ValueError(
            f"{name}: received lipschitz={lipschitz}, expected 0 <= lipschitz < 1. Make the residual branch a contraction."
        )
    if dim < 1:
        raise ValueError(f"{name}: received dim={dim}, expected at least 1. Pass the size of one event.")
