"""What maps of each entry by itself have in common: bounds, boxes and balls from the range of one slope."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import EVERYWHERE, NO_FINITE_BOX, Box, check_box, finite_box, is_finite
from inntf.core.domain import in_range
from inntf.core.local_maps import LocalMap, entrywise_map
from inntf.core.upper_bounds import upper_reciprocal
from inntf.numerics.entry_maps import EntryMap


class Entrywise(Block):
    """A monotone map of each entry by itself; a subclass gives the two directions and its `EntryMap`."""

    uses_condition = False

    def entry_map(self) -> EntryMap:
        """The map of one number in float64, with its slope."""
        raise NotImplementedError(f"{type(self).__name__} does not define entry_map.")

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact, from the smallest and largest slope: on a box `(low, high)`, or wherever the map is defined."""
        return entrywise_bounds(self.entry_map(), domain, self.name)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the exact range of slopes in each ball."""
        return entrywise_in_balls(self.entry_map(), x, radius, inverse)

    def image_box(self, domain: Box | None) -> Box | None:
        """The images of the ends, all of space where one of them is infinite."""
        return None if domain is None else finite_box(*self.entry_map().image(*check_box(domain)))

    def _inside(self, value: tf.Tensor, low: float, high: float, remedy: str) -> tf.Tensor:
        """An error for values beyond an open range; at an end they count as one a rounding inside."""
        checked = in_range(self, value, low, high, remedy)
        info = ml_dtypes.finfo(value.dtype.as_numpy_dtype)
        low = float(info.tiny) if low == 0 else low * (1 - float(info.eps) / 2)
        high = float(info.max) if math.isinf(high) else high * (1 - float(info.eps) / 2)
        return tf.where(tf.math.is_nan(checked), checked, tf.clip_by_value(value, low, high))


def entrywise_bounds(entry: EntryMap, domain: tuple[Any, Any] | None, name: str) -> LipschitzBounds:
    """The largest slope, and one over the smallest.

    Source: the mean value theorem.

    Example:
        >>> from inntf.numerics.entry_maps import EXP
        >>> entrywise_bounds(EXP, (0.0, 1.0), "exp").inverse
        1.0
    """
    finite = domain is not None and is_finite(domain)
    low, high = check_box(EVERYWHERE if domain is None or not finite else domain)
    least, most = entry.slopes(low, high)
    forward = max(float(np.max(most)), float(np.finfo(np.float64).tiny))
    inverse = upper_reciprocal(float(np.min(least)))
    reason = ""
    if not math.isfinite(forward + inverse):
        where = "on that domain" if finite else NO_FINITE_BOX if domain is not None else "everywhere; pass a domain"
        reason = f"{name}: {where}" if where is NO_FINITE_BOX else f"{name} has slopes without a bound {where}"
    return LipschitzBounds(forward, inverse, "local" if finite else "global", reason)


def entrywise_in_balls(entry: EntryMap, x: np.ndarray, radius: np.ndarray, inverse: bool) -> LocalMap:
    """The map, or its inverse, in l2 balls: in each ball an entry moves by at most the radius.

    Source: inntf.

    Example:
        >>> from inntf.numerics.entry_maps import EXP
        >>> entrywise_in_balls(EXP, np.zeros([1, 2]), np.zeros(1), False).jacobian[0].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    entry = entry.inverted() if inverse else entry
    reach = radius.reshape(-1, *[1] * (x.ndim - 1))
    with np.errstate(all="ignore"):
        value = entry.value(x)
        # A ball that leaves the domain is one in which nothing is known.
        beyond = (x - reach < entry.low) | (x + reach > entry.high)
    low, high = entry.slopes(x - reach, x + reach)
    high = np.where(beyond, math.inf, high)
    return entrywise_map(value, low, high) if entry.rising else entrywise_map(value, -high, -low)
