"""Two sets of samples, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.core.errors import explain


def checked_sets(function: str, names: tuple[str, str], first: Any, second: Any, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays `(n, dim)` and `(m, dim)`.

    Raises:
        ValueError: for other shapes, fewer samples than `least`, or values that are not finite.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < least:
        received = f"{names[0]} of shape {first.shape} and {names[1]} of shape {second.shape}"
        expected = f"(n, dim) and (m, dim), {least} rows or more each"
        raise ValueError(explain(function, received=received, expected=expected))
    for name, values in zip(names, (first, second), strict=True):
        if not np.isfinite(values).all():
            received = f"{int((~np.isfinite(values)).sum())} numbers in {name} that are NaN or infinite"
            raise ValueError(explain(function, received=received, expected="finite numbers"))
    return first, second
