"""Arithmetic of intervals, entry by entry: `(low, high)` holds every value that the operands can give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Interval = tuple[np.ndarray, np.ndarray]


def around(middle: np.ndarray, reach: np.ndarray) -> Interval:
    """`middle +- reach`.

    Source: inntf.

    Example:
        >>> around(np.array([1.0]), np.array([0.5]))
        (array([0.5]), array([1.5]))
    """
    return middle - reach, middle + reach


def added(a: Interval, b: Interval) -> Interval:
    """`a + b`.

    Source: Moore, Kearfott, Cloud, "Introduction to Interval Analysis" (2009), section 2.2.

    Example:
        >>> added((0.0, 1.0), (2.0, 3.0))
        (2.0, 4.0)
    """
    return a[0] + b[0], a[1] + b[1]


def negated(a: Interval) -> Interval:
    """`-a`.

    Source: Moore, Kearfott, Cloud (2009), section 2.2.

    Example:
        >>> negated((0.0, 1.0))
        (-1.0, -0.0)
    """
    return -a[1], -a[0]


def multiplied(a: Interval, b: Interval) -> Interval:
    """`a * b`.

    Source: Moore, Kearfott, Cloud (2009), section 2.2.

    Example:
        >>> [float(end) for end in multiplied((-1.0, 2.0), (3.0, 4.0))]
        [-4.0, 8.0]
    """
    products = [a[i] * b[j] for i in (0, 1) for j in (0, 1)]
    return tuple(end(np.stack([np.asarray(p, np.float64) for p in products]), axis=0) for end in (np.min, np.max))


def reciprocal(a: Interval) -> Interval:
    """`1 / a` of an interval of positive numbers; infinite where it reaches zero.

    Source: Moore, Kearfott, Cloud (2009), section 2.2.

    Example:
        >>> reciprocal((0.5, 2.0))
        (0.5, 2.0)
    """
    with np.errstate(divide="ignore"):
        return 1 / a[1], 1 / a[0]


def middle_and_half(a: Interval) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half width, the latter rounded up.

    Source: inntf.

    Example:
        >>> middle, half = middle_and_half((np.array([1.0]), np.array([3.0])))
        >>> float(middle[0]), round(float(half[0]), 9)
        (2.0, 1.0)
    """
    eps = 4 * np.finfo(np.float64).eps
    return (a[0] + a[1]) / 2, (a[1] - a[0]) / 2 + eps * np.maximum(np.abs(a[0]), np.abs(a[1]))


def monotone_ranges(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], peak: float, low: np.ndarray, high: np.ndarray
) -> tuple[Interval, Interval]:
    """Ranges on `[low, high]` of a monotone function and of its slope, which is monotone on either side of `peak`.

    Args:
        function: of an array; value and slope.
        peak: where the slope turns; infinite if it never does.
        low: lower ends, an array of any shape.
        high: upper ends, of the same shape.

    Source: calculus.

    Example:
        >>> value, slope = monotone_ranges(lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2), 0.0, np.array([-1.0]), np.array([1.0]))
        >>> slope[1].tolist()
        [1.0]
    """
    values, slopes = zip(function(low), function(high), strict=True)
    top = function(np.float64(peak))[1] if np.isfinite(peak) else np.nan
    reached = [*slopes, np.where((low <= peak) & (peak <= high), top, slopes[0])]
    return (np.minimum(*values), np.maximum(*values)), (np.min(reached, 0), np.max(reached, 0))


def logistic(x: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-x))`, without overflow.

    Source: the definition.

    Example:
        >>> logistic(np.array([0.0, -1000.0])).tolist()
        [0.5, 0.0]
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)
