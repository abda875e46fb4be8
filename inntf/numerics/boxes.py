"""Axis-aligned boxes `(low, high)`, the domains that local bounds are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

Box = tuple[Any, Any]


def largest_magnitude(box: Box) -> float:
    """Largest absolute value of an entry in the box.

    Raises:
        ValueError: unless `low <= high` everywhere.

    Source: inntf.

    Example:
        >>> largest_magnitude((-3.0, 2.0))
        3.0
    """
    low, high = check_box(box)
    return float(np.maximum(np.abs(low), np.abs(high)).max())


def check_box(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Both ends as float64 arrays.

    Raises:
        ValueError: unless it is a pair with `low <= high` everywhere.

    Source: inntf.

    Example:
        >>> check_box((0, 1))[1].dtype
        dtype('float64')
    """
    try:
        low, high = (np.asarray(end, np.float64) for end in box)
    except (TypeError, ValueError) as error:
        raise ValueError(f"domain: received {box!r}, expected a pair (low, high). Pass numbers or arrays.") from error
    if not np.all(low <= high):
        raise ValueError(f"domain: received {box!r}, expected low <= high. Swap the ends.")
    return low, high
