"""Products and inverses of symmetric matrices, bounded above in the order of semidefinite matrices, rounding included."""

from __future__ import annotations

import dataclasses

import numpy as np

UNIT = 2.0**-53  # rounding of one operation in float64, relative
_FLOORS = (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6)  # of the largest diagonal entry, tried in turn


@dataclasses.dataclass(frozen=True)
class Bounded:
    r"""A symmetric matrix from above, $A \preceq matrix + slack \, I$; a rectangular one to $\|A - matrix\|_F \le slack$."""

    matrix: np.ndarray
    slack: float


def rounding(terms: int) -> float:
    """Relative error of a sum of so many products, in any order (Higham's gamma, rounded up)."""
    return 1.1 * (terms + 2) * UNIT


def size(matrix: np.ndarray) -> float:
    """Frobenius norm, rounded up."""
    return float(np.linalg.norm(matrix)) * (1 + rounding(min(matrix.size, 2**40)))


def product(a: np.ndarray, b: np.ndarray) -> Bounded:
    """`a @ b`, and how far rounding may have moved it."""
    return Bounded(a @ b, rounding(a.shape[1]) * size(a) * size(b))


def is_positive(matrix: np.ndarray, margin: float) -> bool:
    r"""Whether a Cholesky factor proves that $matrix \succeq margin \, I$, whatever rounding did to the factor.

    A factor that is found is exact for a matrix within `gamma(n + 1) trace` of the one factored.

    Source: Rump, "Verification of positive definiteness" (2006), theorem 2.3.

    Example:
        >>> is_positive(np.eye(3), 0.999), is_positive(np.eye(3), 1.0)
        (True, False)
    """
    n = len(matrix)
    trace = float(np.trace(matrix))
    shifted = matrix - (margin + 2 * rounding(n + 1) * (abs(trace) + n * abs(margin))) * np.eye(n)
    try:
        return bool(np.isfinite(np.linalg.cholesky(shifted)).all())
    except np.linalg.LinAlgError:
        return False


def largest_eigenvalue(bounded: Bounded) -> float:
    """Upper bound of the largest eigenvalue of a semidefinite matrix, proved by a Cholesky factor.

    Source: as `is_positive`.

    Example:
        >>> round(largest_eigenvalue(Bounded(np.diag([1.0, 4.0]), 0.0)), 9)
        4.0
    """
    n = len(bounded.matrix)
    try:
        guess = max(float(np.linalg.eigvalsh(bounded.matrix)[-1]), 0.0)
    except np.linalg.LinAlgError:
        guess = float("nan")
    for margin in (8 * n * n * UNIT, 1e-9, 1e-6, 1e-3):
        top = guess * (1 + margin)
        if top > 0 and is_positive(top * np.eye(n) - bounded.matrix, 4 * UNIT * top):
            return top + bounded.slack
    return float(np.abs(np.diag(bounded.matrix)).sum()) * (1 + rounding(n)) + n * bounded.slack  # none exceeds the trace


def inverse_form(middle: Bounded, outer: Bounded) -> Bounded | None:
    r"""$Z^\top S^{-1} Z$ from above for a positive definite `S`; `None` where that is not proved.

    With any $Y$ and $R = Z - S Y$ it is $Z^\top Y + R^\top Y + R^\top S^{-1} R$: the solver need not be trusted.

    Args:
        middle: `S`, `(n, n)`, in which `slack` bounds the error both ways.
        outer: `Z`, `(n, k)`.

    Source: inntf.

    Example:
        >>> form = inverse_form(Bounded(np.diag([2.0, 4.0]), 0.0), Bounded(np.ones([2, 1]), 0.0))
        >>> round(float(form.matrix[0, 0]), 9), form.slack < 1e-12
        (0.75, True)
    """
    s, z = middle.matrix, outer.matrix
    floor = next((f for f in _FLOORS if is_positive(s, f * float(np.max(np.diag(s), initial=0.0)) + middle.slack)), 0.0)
    floor *= float(np.max(np.diag(s), initial=0.0))
    if floor <= 0:
        return None
    y = np.linalg.solve(s, z)
    length = size(y)
    left = size(z - s @ y) + outer.slack + middle.slack * length
    left += rounding(len(s)) * (size(s) * length + size(z))
    form = z.T @ y
    slack = length * (outer.slack + left) + left**2 / floor + rounding(len(s)) * length * size(z)
    return Bounded((form + form.T) / 2, 1.01 * slack)
