"""The largest radius at which something still holds, by bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inntf.core.errors import explain

_DECADES = 9.0


def largest_radius(holds: Callable[[np.ndarray], np.ndarray], n: int, largest: float, steps: int) -> np.ndarray:
    """Radii `(n,)`, between `1e-9 largest` and `largest`, at which `holds` was seen to be true; 0 where it never was.

    Args:
        holds: of radii `(n,)`, whether it holds in each ball, `(n,)`; what holds in a ball should hold in smaller ones.
        n: how many balls.
        largest: no larger radius is tried.
        steps: halvings of the interval of the logarithm; the radii found are `10^(9 / 2^steps)` apart.

    Example:
        >>> largest_radius(lambda radius: radius < [0.5, 2.0], 2, 1.0, steps=12).round(2).tolist()
        [0.5, 1.0]
    """
    good, bad = np.full(n, -_DECADES), np.zeros(n)  # of log10(radius / largest)
    whole, none = holds(largest * 10.0**bad), ~holds(largest * 10.0**good)
    for _ in range(steps):
        middle = (good + bad) / 2
        fine = holds(largest * 10.0**middle)
        good, bad = np.where(fine, middle, good), np.where(fine, bad, middle)
    return np.where(none, 0.0, largest * 10.0 ** np.where(whole, 0.0, good))


def checked_factor(name: str, factor: float) -> None:
    """Refuse a factor by which a certificate may exceed what it bounds, if it leaves no room.

    Raises:
        ValueError: for a factor of at most 1.
    """
    if not factor > 1:
        raise ValueError(explain(name, received=f"factor={factor}", expected="a number above 1"))
