"""Golub-Kahan-Lanczos bidiagonalization: extreme singular values from matrix products alone, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from inntf.core.arguments import Limit, typed

Product = Callable[[tf.Tensor], tf.Tensor]

_FEWEST = 5  # products before a residual is believed: from a start between two directions the first ones may look converged


class Extremes(NamedTuple):
    """What a bidiagonalization knows of the spectrum of each matrix of a batch; arrays in float64.

    Attributes:
        largest: `(batch,)`, the largest Ritz value: never above the largest singular value, up to rounding.
        left: `(batch, m)`, unit left vector belonging to `largest`.
        right: `(batch, n)`, unit right vector belonging to `largest`; `A right = largest * left`.
        residual: `(batch,)`, `|A^T left - largest * right|`: a singular value lies within it of `largest`.
        converged: `(batch,)`, whether the residual fell below `tolerance * largest`.
        smallest: `(batch,)`, the smallest Ritz value: never below the smallest singular value, up to rounding; equal to it
            once `iterations` has reached the dimension.
        iterations: how many products with `A` were taken.

    Source: G. Golub, W. Kahan, "Calculating the singular values and pseudo-inverse of a matrix" (1965).

    Example:
        >>> a = tf.linalg.diag(tf.constant([[3.0, 1.0]], tf.float64))
        >>> out = bidiagonalize(lambda v: tf.linalg.matvec(a, v), lambda u: tf.linalg.matvec(a, u), batch=1, size=2)
        >>> round(float(out.largest[0]), 6), np.abs(out.right[0]).round(6).tolist(), int(out.iterations)
        (3.0, [1.0, 0.0], 2)
    """

    largest: tf.Tensor
    left: tf.Tensor
    right: tf.Tensor
    residual: tf.Tensor
    converged: tf.Tensor
    smallest: tf.Tensor
    iterations: int


@typed
def bidiagonalize(
    product: Product,
    transposed: Product,
    batch: int,
    size: int,
    *,
    iterations: int = 100,
    tolerance: Limit = 1e-4,
    seed: int = 0,
    check_every: int = 1,
) -> Extremes:
    """Largest (and a bound on the smallest) singular value of a batch of matrices `A[b]`, known by their products.

    From a random unit vector, `A V = U B` and `A^T U = V B^T + beta v e^T` with orthonormal `U`, `V` and upper bidiagonal `B`;
    the singular values of the small `B` approach those of `A`, the largest first.  Both bases are reorthogonalized
    fully, twice, so no ghost copies appear and nothing converges to the wrong value by rounding.  Works eagerly.

    Args:
        product: `(batch, size) -> (batch, m)`, `A[b] v[b]`.
        transposed: `(batch, m) -> (batch, size)`, `A[b]^T u[b]`.
        batch: number of matrices.
        size: number of columns of each.
        iterations: at most that many products with `A`; `size` is always enough.
        tolerance: stop once every residual is below `tolerance` times its singular value.
        seed: of the starting vectors.
        check_every: steps between looks at `B`.

    Returns:
        `Extremes`.  A matrix whose products are not finite has NaN everywhere and `converged` false; it does not
        disturb the others.

    Raises:
        ValueError: if `iterations`, `size` or `tolerance` is not positive; RuntimeError: inside a `tf.function`.

    Source: G. Golub, W. Kahan, "Calculating the singular values and pseudo-inverse of a matrix" (1965); residuals as in
    J. Demmel, "Applied Numerical Linear Algebra" (1997), section 7.3.

    Example:
        >>> a = tf.constant([[[3.0, 0.0], [4.0, 5.0]]], tf.float64)
        >>> out = bidiagonalize(lambda v: tf.linalg.matvec(a, v), lambda u: tf.linalg.matvec(a, u, transpose_a=True), 1, 2)
        >>> round(float(out.largest[0]), 6), round(float(out.smallest[0]), 6)
        (6.708204, 2.236068)
    """
    if iterations < 1 or size < 1 or not tolerance > 0:
        raise ValueError(
            f"bidiagonalize: received iterations={iterations}, size={size}, tolerance={tolerance}, expected positive ones. "
            "Pass at least one iteration and a positive tolerance."
        )
    if not tf.executing_eagerly():
        raise RuntimeError("bidiagonalize: received a call inside a tf.function, expected an eager one. Call it outside.")
    steps = min(iterations, size)
    v = np.random.default_rng(seed).standard_normal((batch, size))
    v, _ = _normalized(v)
    u, alpha = _normalized(_numpy(product(tf.constant(v))))
    lefts, rights, alphas = _Basis(u), _Basis(v), [alpha]
    betas: list[np.ndarray] = []
    used = 1
    while True:
        v, beta = _normalized(rights.orthogonal(_numpy(transposed(tf.constant(u)))))
        if used == steps or used % check_every == 0 or used == 1:
            state = _solve(alphas, betas, beta, lefts, rights, tolerance)
            finished = (state.converged & (used >= _FEWEST)) | ~np.isfinite(state.largest)
            if used == steps or finished.all():
                return Extremes(*(tf.constant(part) for part in state[:-1]), used)  # type: ignore[call-arg]
        betas.append(beta)
        rights.append(v)
        u, alpha = _normalized(lefts.orthogonal(_numpy(product(tf.constant(v)))))
        alphas.append(alpha)
        lefts.append(u)
        used += 1


class _Basis:
    """Orthonormal vectors of each matrix, `(batch, used, size)`, in room that doubles."""

    def __init__(self, first: np.ndarray):
        self._room, self._used = np.empty((first.shape[0], 8, first.shape[1])), 0
        self.append(first)

    @property
    def vectors(self) -> np.ndarray:
        return self._room[:, : self._used]

    def append(self, vector: np.ndarray) -> None:
        if self._used == self._room.shape[1]:
            self._room = np.concatenate([self._room, np.empty_like(self._room)], 1)
        self._room[:, self._used] = vector
        self._used += 1

    def orthogonal(self, vector: np.ndarray) -> np.ndarray:
        """What is left of a vector; the three-term part (beta u or alpha v) goes with the rest."""
        with np.errstate(invalid="ignore", over="ignore"):
            for _ in range(2):
                vector = vector - self.combined(np.matmul(self.vectors, vector[..., None])[..., 0])
        return vector

    def combined(self, weights: np.ndarray) -> np.ndarray:
        """The sum of the vectors with weights `(batch, used)`."""
        return np.matmul(weights[:, None], self.vectors)[:, 0]


def _normalized(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Scaled first, so that a norm near the edge of the range neither overflows nor vanishes.
    scale = np.max(np.abs(vector), -1)
    safe = np.where(scale > 0, scale, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):  # non-finite products stay visible as NaN
        norm = safe * np.linalg.norm(vector / safe[:, None], axis=-1)
        # Divided twice, since the norm itself may overflow where the largest entry does not.
        unit = vector / safe[:, None] / np.where(scale > 0, norm / safe, 1.0)[:, None]
    return unit, np.where(scale == 0, 0.0, norm)


def _solve(
    alphas: list[np.ndarray],
    betas: list[np.ndarray],
    beta: np.ndarray,
    lefts: _Basis,
    rights: _Basis,
    tolerance: float,
) -> Extremes:
    diagonal, above = np.stack(alphas, -1), np.stack(betas, -1) if betas else np.zeros((len(beta), 0))
    used = diagonal.shape[-1]
    small = np.zeros((len(beta), used, used))
    index = np.arange(used)
    small[:, index, index] = diagonal
    small[:, index[:-1], index[1:]] = above
    finite = np.isfinite(small).all((-2, -1)) & np.isfinite(beta)
    p, values, q = np.linalg.svd(np.where(finite[:, None, None], small, 0.0))
    largest = np.where(finite, values[:, 0], np.nan)
    residual = np.where(finite, np.where(finite, beta, 0.0) * np.abs(p[:, -1, 0]), np.nan)
    # After an exact breakdown the basis vectors are zero; their zero Ritz values say nothing of the matrix.
    alive = 1 + (np.cumprod(above > 0, -1) if used > 1 else above).sum(-1).astype(int)
    smallest = np.where(finite, np.take_along_axis(values, (alive - 1)[:, None], 1)[:, 0], np.nan)
    left, right = lefts.combined(p[:, :, 0]), rights.combined(q[:, 0, :])
    converged = finite & (residual <= tolerance * np.where(finite, largest, 0.0))
    return Extremes(largest, left, right, residual, converged, smallest, used)


def _numpy(tensor: tf.Tensor) -> np.ndarray:
    return np.asarray(tensor).astype(np.float64)
