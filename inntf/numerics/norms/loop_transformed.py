"""LipLT: a Lipschitz constant from the norms of products of layers, where activations are near a multiple of the identity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from inntf.numerics.norms.loewner_bounds import rounding, size
from inntf.numerics.norms.power_iteration import spectral_norm

_SMALL = 32  # rows up to which eigenvalues cost no more than the calls of an iteration


def loop_transformed_norm(
    weights: Sequence[np.ndarray], middles: Sequence[float], halves: Sequence[float], unless_above: float = math.inf
) -> float:
    r"""Upper bound of $\|W_L D_{L-1} \cdots D_1 W_1\|_2$ over matrices $D_k = m_k I + r_k C_k$ with $\|C_k\|_2 \le 1$.

    With $A_{kj} = W_k m_{k-1} W_{k-1} \cdots m_j W_j$ the Jacobians $V_k$ of the pre-activations obey

    $$ V_k = A_{k1} + \sum_{j<k} A_{k,j+1} r_j C_j V_j, \qquad
       \|V_k\| \le \|A_{k1}\| + \sum_{j<k} r_j \|A_{k,j+1}\| \|V_j\| . $$

    Rounding of the products is added to their norms.  Norms are first estimated from below, by power iteration: where that
    already shows the bound to be above another one, it is not computed.

    Args:
        weights: `(out, in)` each, in order of application, entries of about 1.
        middles: of the activations after all layers but the last.
        halves: half the ranges of their slopes.
        unless_above: a bound that is known.

    Returns:
        The bound; infinity where it would be above the other.

    Source: Fazlyab et al., "Certified robustness via dynamic margin maximization and improved Lipschitz regularization"
        (2023), theorem 1, for slopes in any range.

    Example:
        >>> round(loop_transformed_norm([np.eye(2), -np.eye(2)], [0.5], [0.5]), 6)
        1.0
    """
    if _bound(weights, middles, halves, _about) > unless_above:
        return math.inf
    return _bound(weights, middles, halves, spectral_norm)


def _bound(
    weights: Sequence[np.ndarray],
    middles: Sequence[float],
    halves: Sequence[float],
    norm: Callable[[np.ndarray], float],
) -> float:
    reach: list[float] = []
    norms = [norm(w) for w in weights]
    for k, w in enumerate(weights):
        path, error, total = w, 0.0, 0.0
        for j in reversed(range(k)):
            total += halves[j] * ((norms[k] if path is w else norm(path)) + error) * reach[j]
            error = 1.01 * middles[j] * (error * norms[j] + rounding(len(weights[j])) * size(path) * size(weights[j]))
            path = middles[j] * (path @ weights[j])
        reach.append((total + (norms[k] if path is w else norm(path)) + error) * (1 + rounding(2 * len(weights))))
    return reach[-1]


def _about(w: np.ndarray) -> float:
    """The norm, from below."""
    return 0.999999 * math.sqrt(largest(w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w, 8))


def largest(k: np.ndarray, iterations: int = 15) -> float:
    """The largest eigenvalue of a semidefinite matrix, about: of a large one by power iteration from the longest column.

    Source: von Mises.

    Example:
        >>> round(largest(np.diag([1.0, 3.0])), 6)
        3.0
    """
    if 0 < len(k) <= _SMALL:
        return max(float(np.linalg.eigvalsh(k)[-1]), 0.0)
    v = k[:, np.argmax(np.einsum("ij,ij->j", k, k))]
    for _ in range(iterations):
        v = v / (np.linalg.norm(v) or 1.0)
        v = k @ v
    return float(np.linalg.norm(v))
