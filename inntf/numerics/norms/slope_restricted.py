"""Lipschitz constants of networks whose activations act entry by entry with slopes in a known range: certified, closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inntf.numerics.norms.loewner_bounds import UNIT, Bounded, inverse_form, largest_eigenvalue, product, rounding, size
from inntf.numerics.norms.loop_transformed import loop_transformed_norm
from inntf.numerics.norms.power_iteration import spectral_norm
from inntf.numerics.norms.slope_multipliers import Stage, find_multipliers

_TUNED = 2e8  # floating-point operations that choosing multipliers may take, a few hundredths of a second
_LARGEST = 3e9  # that a bound may take at all
_EVALUATIONS = 10
_NARROWEST = 1e-8  # half range of slopes, relative: a narrower one is widened, which the bound does not feel


def slope_restricted_norm(kernels: Sequence[np.ndarray], slopes: Sequence[tuple[float, float]]) -> float:
    r"""Upper bound of $\sup \|W_L D_{L-1} \cdots D_1 W_1\|_2$ over diagonal $D_k$ with entries in the range of slopes.

    Let $K \succeq v v^\top$ for all pre-activations `v` of unit inputs.  With slopes in $m \pm r$ and any diagonal
    $T \succ r^2 K$ what the activation makes of them is bounded by

    $$P = T + m^2 (K^{-1} - r^2 T^{-1})^{-1} = T + m^2 K + m^2 r^2 K (T - r^2 K)^{-1} K,$$

    the next layer by $W P W^\top$, and the square of the constant by the largest eigenvalue of the last one.  This is the
    semidefinite condition of LipSDP, layer by layer as in ECLipsE; $T = r (r + m) \lambda_{\max}(K) I$ is ECLipsE-Fast.
    `find_multipliers` makes it smaller by a few steps.  The other bound tried is LipLT; the smaller one is returned.
    Matrices are computed in float64, and each one's rounding error is added to it; inverses are verified afterwards.

    Args:
        kernels: `(in, out)` each, as in Keras, in order of application.
        slopes: `(low, high)` of the activation after each layer but the last.

    Returns:
        The bound; infinity where it would take too long (hidden layers of more than some 500 neurons), where numbers leave
        the range of floats, or where an entry is not finite.

    Raises:
        nothing.

    Source: Fazlyab et al., "Efficient and accurate estimation of Lipschitz constants for deep neural networks" (2019),
        theorem 2; Xu and Sivaranjani, "ECLipsE" (2024); Fazlyab et al., "Certified robustness via dynamic margin
        maximization and improved Lipschitz regularization" (LipLT, 2023); the choice of T: inntf.

    Example:
        >>> absolute = [np.array([[1.0, -1.0]]), np.array([[1.0], [1.0]])]  # relu(x) + relu(-x)
        >>> round(slope_restricted_norm(absolute, [(0.0, 1.0)]), 6)
        1.0
    """
    weights, exponent = [np.asarray(kernel, np.float64).T for kernel in kernels], 0
    if not all(np.isfinite(w).all() for w in weights):
        return math.inf
    if len(weights) == 1:
        return spectral_norm(weights[0])
    weights = _alive(weights)
    if any(not np.any(w) for w in weights) or any(low == high == 0 for low, high in slopes):
        return 0.0
    for i, w in enumerate(weights):
        weights[i], e = _normalized(w)
        exponent += e
    ranges = [_middle_and_half(low, high) for low, high in slopes]
    middles, halves = [m for m, _, _ in ranges], [r for _, r, _ in ranges]
    exponent += sum(e for _, _, e in ranges)
    stages = [Stage(w, m, r) for w, m, r in zip(_narrow_end(weights)[1:], middles, halves, strict=True)]
    cost = _cost(weights[0].shape, [stage.weight.shape for stage in stages])
    found = math.inf
    if cost <= _LARGEST:
        multipliers = find_multipliers(weights[0], stages, min(_EVALUATIONS, int(_TUNED / cost)))
        found = _verified(weights[0], stages, multipliers) if multipliers else math.inf
        found = min(found, loop_transformed_norm(weights, middles, halves, found))
    try:
        return max(math.ldexp(found, exponent), np.finfo(np.float64).tiny)
    except OverflowError:
        return math.inf


def _alive(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Without neurons that see nothing or that nothing sees: their slopes do not matter."""
    weights = list(weights)
    for order in (range(len(weights) - 1), reversed(range(len(weights) - 1))):
        for k in order:
            kept = np.any(weights[k], axis=1) & np.any(weights[k + 1], axis=0)
            weights[k], weights[k + 1] = weights[k][kept], weights[k + 1][:, kept]
    return weights


def _normalized(w: np.ndarray) -> tuple[np.ndarray, int]:
    """With the largest entry between 1/2 and 1, and the power of two that was taken out, exactly."""
    e = int(np.frexp(np.abs(w).max())[1])
    return np.ldexp(w, -e), e


def _middle_and_half(low: float, high: float) -> tuple[float, float, int]:
    r"""$m \ge 0$ and $r > 0$ with the slopes, or their negatives, in $m \pm r$, scaled to about 1 by a power of two."""
    low, high = (-high, -low) if low + high < 0 else (low, high)
    e = int(math.frexp(high)[1])
    low, high = math.ldexp(low, -e), math.ldexp(high, -e)
    middle = (low + high) / 2
    return middle, max((high - low) / 2 * (1 + 4 * UNIT) + 2 * UNIT, _NARROWEST), e


def _narrow_end(weights: list[np.ndarray]) -> list[np.ndarray]:
    r"""With a last weight of no more rows than columns: `F` with $F^\top F \succeq W^\top W$, from a Cholesky factor."""
    last = weights[-1]
    rows, columns = last.shape
    if rows <= columns or len(weights) == 1:
        return weights
    gram = last.T @ last
    shift = 3 * rounding(rows + columns) * float(np.trace(gram))
    return [*weights[:-1], np.linalg.cholesky(gram + shift * np.eye(columns)).T]


def _cost(first: tuple[int, ...], following: Sequence[tuple[int, ...]]) -> float:
    """Operations of one evaluation."""
    total = 0.0
    for index, (out, n) in enumerate(following):
        thin = index == 0 and first[1] < n
        total += 2.0 * n * out**2 + (4.0 * n * first[1] * (out + first[1]) if thin else n**3 + 4 * n**2 * out + 2 * n * out**2)
    return total


def _verified(first: np.ndarray, stages: Sequence[Stage], multipliers: Sequence[np.ndarray]) -> float:
    """The bound with these multipliers, whatever rounding does; infinity where they are too small."""
    thin = first if first.shape[1] < first.shape[0] else None
    k = Bounded(np.zeros([0, 0]), 0.0) if thin is not None else product(first, first.T)
    for stage, t in zip(stages, multipliers, strict=True):
        root = np.exp2(np.round(np.log2(t) / 2))  # powers of two: scaling a neuron by them is exact
        if not np.isfinite(root).all() or not root.all():
            return math.inf
        stage = Stage(stage.weight * root, stage.middle, stage.half)
        if thin is not None:
            found = _through_thin(thin / root[:, None], t / root**2, stage)
        else:
            scale = np.outer(root, root)
            found = _through(Bounded(k.matrix / scale + k.slack * np.diag(root**-2.0), 0.0), t / root**2, stage)
        if found is None or not (np.isfinite(found.matrix).all() and math.isfinite(found.slack)):
            return math.inf
        k, thin = Bounded((found.matrix + found.matrix.T) / 2, found.slack * (1 + 8 * UNIT)), None
    return math.sqrt(largest_eigenvalue(k)) * (1 + 4 * UNIT)


def _through(k: Bounded, t: np.ndarray, stage: Stage) -> Bounded | None:
    """`W P W^T` of a full `K` (its slack already in the matrix)."""
    w, m2, r2 = stage.weight, stage.middle**2 * (1 + 4 * UNIT), stage.half**2 * (1 + 4 * UNIT)
    z = product(k.matrix, w.T)
    inner = Bounded(np.diag(t) - r2 * k.matrix, 4 * UNIT * (size(t) + r2 * size(k.matrix)))
    form = inverse_form(inner, z)
    if form is None:
        return None
    direct, linear = product(w * t, w.T), product(w, z.matrix)
    matrix = direct.matrix + m2 * (linear.matrix + r2 * form.matrix)
    slack = direct.slack + m2 * (linear.slack + size(w) * z.slack + r2 * form.slack)
    parts = size(direct.matrix) + m2 * (size(linear.matrix) + r2 * size(form.matrix))
    return Bounded(matrix, 1.01 * (slack + 8 * UNIT * parts))


def _through_thin(b: np.ndarray, t: np.ndarray, stage: Stage) -> Bounded | None:
    r"""The same of $K = B B^\top$ with few columns: $W T W^\top + m^2 W B (I - r^2 B^\top T^{-1} B)^{-1} B^\top W^\top$."""
    w, m2, r2 = stage.weight, stage.middle**2 * (1 + 4 * UNIT), stage.half**2 * (1 + 4 * UNIT)
    gram = product(b.T, b / t[:, None])
    n = b.shape[1]
    inner = np.eye(n) - r2 * (gram.matrix + gram.matrix.T) / 2
    form = inverse_form(Bounded(inner, 1.01 * r2 * gram.slack + 8 * UNIT * (n + r2 * size(gram.matrix))), product(b.T, w.T))
    if form is None:
        return None
    direct = product(w * t, w.T)
    slack = direct.slack + m2 * form.slack + 8 * UNIT * (size(direct.matrix) + m2 * size(form.matrix))
    return Bounded(direct.matrix + m2 * form.matrix, 1.01 * slack)
