"""A composition in balls: the Jacobian so far, how far that can be off, and where the centre can have gone."""

from __future__ import annotations

import math

import numpy as np

from inntf.core.local_maps import LocalMap
from inntf.numerics.norms.batched_norms import norms_from_above, spectral_norms

_PRODUCTS_UP_TO = 128  # dimensions
_EPS = float(np.finfo(np.float64).eps)


class BallPath:
    r"""The composition up to some block, for a batch of balls.

    Its true Jacobian is $V_n = (J_n + \Delta_n) V_{n-1}$ with $\|\Delta_n\| \le e_n$, the known one $M_n = J_n M_{n-1}$, so

    $$ \|V_n - M_n\| \le \sum_i \| J_n \cdots J_{i+1} \| \, e_i \, \|V_{i-1}\| . $$

    With `start`, columns of the identity, these are Jacobians by some entries of the first input: balls lie in their subspace.

    Attributes:
        astray: how far the computed centre can be from the true image of the first one, `(n,)`.
    """

    def __init__(self, n: int, size: int, start: np.ndarray | None = None):
        self._size, self._keep = size, size <= _PRODUCTS_UP_TO
        self._matrix = (np.eye(size) if start is None else start)[None]
        self._sources: list[tuple[np.ndarray, np.ndarray]] = []  # the product behind a block (or its norm), and e_i |V_{i-1}|
        self._product, self._rounding, self.astray = np.ones(n), np.zeros(n), np.zeros(n)
        self._slope: tuple[np.ndarray, np.ndarray] | None = None

    def slope(self) -> tuple[np.ndarray, np.ndarray]:
        """A bound of the slope anywhere in the ball, and the slope at its centre, `(n,)` each."""
        if self._slope is None:
            norm = spectral_norms(self._matrix) + np.zeros_like(self.astray)
            away = sum((self._norm(behind) * share for behind, share in self._sources), self._rounding)
            self._slope = _known(np.minimum(_known(norm + away), self._product)), norm
        return self._slope

    def add(self, found: LocalMap, taken: np.ndarray, returned: np.ndarray) -> None:
        """One more block: its Jacobian, how far that can be off, and the largest entries that it takes and returns."""
        jacobian, deviation = found.jacobian, found.deviation
        own = spectral_norms(jacobian)
        slope = np.minimum(_known(own + deviation), found.bound)
        frobenius = [np.linalg.norm(matrix, axis=(1, 2)) for matrix in (jacobian, self._matrix)]
        before = self.slope()[0] if deviation.any() else None
        step = jacobian if self._keep else own
        self._sources = [(step @ behind if self._keep else step * behind, share) for behind, share in self._sources]
        if before is not None:
            first = np.eye(jacobian.shape[1])[None] if self._keep else np.ones(1)
            self._sources.append((first, _known(deviation * before)))
        self._rounding = _known(own * self._rounding + (self._size + 2) * _EPS * frobenius[0] * frobenius[1])
        self._product = _known(self._product * slope) * (1 + 4 * _EPS)
        # What it takes is lost to rounding in its last digits, as if it had been another, and so is what it returns.
        before, after = (64 * _EPS * (1 + largest) * math.sqrt(self._size) for largest in (taken, returned))
        self.astray = _known(slope * (self.astray + before) + found.error) + after
        self._matrix, self._slope = jacobian @ self._matrix, None

    def _norm(self, behind: np.ndarray) -> np.ndarray:
        return norms_from_above(behind) if self._keep else behind


def _known(bound: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(bound), np.inf, bound)
