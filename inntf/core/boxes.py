"""Axis-aligned boxes `(low, high)`, the domains that local bounds are asked for."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from inntf.core.shapes import Shape, known_sizes

Box = tuple[Any, Any]
EVERYWHERE: Box = (-np.inf, np.inf)
NO_FINITE_BOX = "no finite box is known for its inputs"


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


def finite_box(low: Any, high: Any) -> Box:
    """The box, or all of space where no number holds an end of it (overflow, or weights that are NaN).

    A box that the library itself computes is never an error: what cannot be held has no bound.

    Source: inntf.

    Example:
        >>> finite_box(0.0, np.nan)
        (-inf, inf)
    """
    return (low, high) if np.all(np.isfinite(low)) and np.all(np.isfinite(high)) else EVERYWHERE


def is_finite(box: Box) -> bool:
    """Whether both ends are numbers.

    Source: inntf.

    Example:
        >>> is_finite((0.0, 1.0)), is_finite(EVERYWHERE)
        (True, False)
    """
    return all(np.all(np.isfinite(end)) for end in check_box(box))


def broadcast_box(box: Box, shape: Shape | None, owner: str = "domain") -> tuple[np.ndarray, np.ndarray]:
    """Both ends as arrays of the shape of an event.

    Raises:
        ValueError: unless it is a box whose ends broadcast to the shape.

    Source: inntf.

    Example:
        >>> broadcast_box((0.0, [1.0, 2.0]), (2,))[0].tolist()
        [0.0, 0.0]
    """
    ends, sizes = check_box(box), known_sizes(shape)
    try:
        low, high = (np.broadcast_to(end, sizes) for end in ends)
    except ValueError as error:
        raise ValueError(
            f"{owner}: received a domain with ends of shapes {ends[0].shape} and {ends[1].shape}, expected what broadcasts "
            f"to one event of shape {sizes}. Pass two numbers, or an array of that shape each."
        ) from error
    return low, high


def centre_and_radius(box: Box, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Middle of each entry, a number of `dtype`, and how far the ends are from it, without overflow.

    Source: inntf.

    Example:
        >>> centre_and_radius((np.array([-1.0]), np.array([3.0])))[1].tolist()
        [2.0]
        >>> [part.tolist() for part in centre_and_radius((np.array([1e8]), np.array([1e8 + 2])), "float32")]
        [[100000000.0], [2.0]]
    """
    low, high = check_box(box)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = (low / 2 + high / 2).astype(dtype).astype(np.float64)
        return centre, np.maximum(high - centre, centre - low)


def around(centre: np.ndarray, radius: Any, dtype: str) -> Box:
    """The box `centre +- radius`, with room for the rounding of what is computed in `dtype`, at the centre and at the ends.

    Source: inntf.

    Example:
        >>> around(np.zeros(1), 1.0, "float64")[1].round(9).tolist()
        [1.0]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        radius = radius + 64 * float(ml_dtypes.finfo(dtype).eps) * (np.abs(centre) + radius)
        return finite_box(centre - radius, centre + radius)


def check_box(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Both ends as float64 arrays.

    Raises:
        ValueError: unless it is a pair with `low <= high` everywhere, none of them NaN.

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
