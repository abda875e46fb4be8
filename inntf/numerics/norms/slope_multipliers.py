r"""Diagonal multipliers that make the semidefinite bound of a network small; found by floating point, proved elsewhere.

The bound (see `slope_restricted`) holds for any positive multipliers, so nothing here needs to be exact.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from inntf.numerics.norms.loop_transformed import largest

_SETTLED = 0.003  # relative gain of a step, below which another one is not worth its time
_HALVINGS = 5


@dataclasses.dataclass(frozen=True)
class Stage:
    """An activation of slopes `middle + [-half, half]`, and the `weight`, (out, in), of the layer after it."""

    weight: np.ndarray
    middle: float
    half: float


@dataclasses.dataclass(frozen=True)
class _Pass:
    """One evaluation: multipliers, `X W^T` and `S^{-1} K W^T` of each stage, and the last matrix."""

    multipliers: list[np.ndarray]
    seen: list[np.ndarray]
    solved: list[np.ndarray | None]
    last: np.ndarray

    @functools.cached_property
    def value(self) -> float:
        """A smooth stand-in for the largest eigenvalue, the root of the trace of its 17th power."""
        scale = float(np.abs(self.last).max()) or 1.0
        unit = self.last / scale
        eighth = _eighth(unit)[0]
        return float(np.einsum("ij,ij->", eighth, unit @ eighth)) ** (1 / 17) * scale

    @functools.cached_property
    def worst(self) -> np.ndarray:
        """Outputs by which the stand-in grows: its gradient is `worst worst^T`, up to a factor."""
        power, scale = _eighth(self.last / (float(np.abs(self.last).max()) or 1.0))
        return power / scale

    @functools.cached_property
    def top(self) -> float:
        """The largest eigenvalue, about."""
        return largest(self.last)


def find_multipliers(first: np.ndarray, stages: Sequence[Stage], evaluations: int) -> list[np.ndarray]:
    r"""Multipliers $T_k$, one number a neuron.

    They start as ECLipsE-Fast's, $T = r (r + m) \lambda_{\max} I$, of the network as it is or with the weights of each
    neuron balanced, whichever is better.  The bound's derivative by $\log T_i$ is $a_i - b_i$ with $a_i = T_i g_i^2$ and
    $b_i = m^2 r^2 (X g)_i^2 / T_i$, where $X = (K^{-1} - r^2 T^{-1})^{-1}$ and $g$ are the worst directions of the
    outputs, taken back through the layers; each step moves $\log T_i$ along $(b_i - a_i) / (a_i + b_i)$, as far as that helps.

    Args:
        first: weight of the first layer, (out, in).
        stages: what follows.
        evaluations: of the bound, the most that are made after the start.

    Source: Xu and Sivaranjani, "ECLipsE" (2024), section 3.2, for the start; the iteration: inntf.

    Example:
        >>> stage = Stage(np.ones([1, 2]), 0.5, 0.5)
        >>> [t.round(3).tolist() for t in find_multipliers(np.eye(2), [stage], 0)]
        [[0.5, 0.5]]
    """
    balanced = [np.ones(len(first))] * len(stages)
    weights = [first, *(stage.weight for stage in stages)]
    for k in range(len(stages)):
        lengths = np.linalg.norm(weights[k], axis=1), np.linalg.norm(weights[k + 1], axis=0)
        into, out = (np.maximum(length, 1e-150) for length in lengths)
        balanced[k] = np.clip(np.sqrt(out / into), 2.0**-60, 2.0**60)
    scalings = [[np.ones(len(b)) for b in balanced], balanced] if evaluations else [balanced]
    starts = [_evaluate(first, stages, scales=scales) for scales in scalings]
    now = best = min((start for start in starts if start is not None), key=lambda found: found.top, default=None)
    if now is None or best is None:
        return []
    length = 1.0
    while evaluations > 0:
        better, length, tries = _step(first, stages, now, length)
        evaluations -= tries
        if better is None:
            break
        gain, now, length = now.value / better.value, better, min(1.5 * length, 3.0)
        best = min(best, now, key=lambda found: found.top)
        if gain < 1 + _SETTLED:
            break
    return best.multipliers


def _step(first: np.ndarray, stages: Sequence[Stage], now: _Pass, share: float) -> tuple[_Pass | None, float, int]:
    """A better pass, the length of the step to it, and how many were tried."""
    directions: list[np.ndarray] = []
    worst = now.worst
    for k in reversed(range(len(stages))):
        stage, t = stages[k], now.multipliers[k]
        g = stage.weight.T @ worst
        own = t * np.einsum("ik,ik->i", g, g)
        seen = now.seen[k] @ worst
        other = (stage.middle * stage.half) ** 2 * np.einsum("ik,ik->i", seen, seen) / t
        tiny = 1e-12 * float(max(own.max(), other.max())) or 1.0
        directions.insert(0, (other - own) / (other + own + tiny))  # of one sign with the descent, at most 1
        if k:
            back = g + stage.half**2 * (now.solved[k] @ worst)
            worst = back / (np.abs(back).max() or 1.0)
    for tries in range(1, _HALVINGS + 1):
        moved = [t * np.exp(share * d) for t, d in zip(now.multipliers, directions, strict=True)]
        found = _evaluate(first, stages, multipliers=moved)
        if found is not None and found.value < now.value:
            return found, share, tries
        share /= 2
    return None, share, _HALVINGS


def _evaluate(
    first: np.ndarray,
    stages: Sequence[Stage],
    multipliers: Sequence[np.ndarray] | None = None,
    scales: Sequence[np.ndarray] = (),
) -> _Pass | None:
    """The bound with these multipliers, or with those of ECLipsE-Fast after scaling; `None` where they are too small."""
    out = _Pass([], [], [], first)
    thin = first if first.shape[1] < first.shape[0] else None
    k = np.zeros([0, 0]) if thin is not None else first @ first.T
    for index, stage in enumerate(stages):
        w, m, r = stage.weight, stage.middle, stage.half
        if multipliers is None:
            rows = scales[index][:, None]
            scaled = k * rows * rows.T if thin is None else (thin * rows).T @ (thin * rows)
            t = r * (r + max(m, 0.01 * r)) * largest(scaled) / scales[index] ** 2
        else:
            t = multipliers[index]
        try:
            if thin is not None:
                inner = np.eye(thin.shape[1]) - r * r * thin.T @ (thin / t[:, None])
                np.linalg.cholesky(inner)
                seen, solved = thin @ np.linalg.solve(inner, (w @ thin).T), None
            else:
                s = np.diag(t) - r * r * k
                np.linalg.cholesky(s)
                z = k @ w.T
                solved = np.linalg.solve(s, z)
                seen = z + r * r * (k @ solved)
        except np.linalg.LinAlgError:
            return None
        k = (w * t) @ w.T + m * m * (w @ seen)
        k, thin = (k + k.T) / 2, None
        if not np.isfinite(k).all():
            return None
        out.multipliers.append(t)
        out.seen.append(seen)
        out.solved.append(solved)
    return dataclasses.replace(out, last=k)


def _eighth(k: np.ndarray) -> tuple[np.ndarray, float]:
    """The eighth power, and its largest entry."""
    for _ in range(3):
        k = k @ k
    return k, float(np.abs(k).max()) or 1.0
