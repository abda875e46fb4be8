"""Monotone maps of one number in float64, with their slopes: what bounds and certificates need to know of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import scipy.special

from inntf.numerics.intervals import Interval, logistic

Function = Callable[[np.ndarray], np.ndarray]
_ROOT = math.sqrt(2 * math.pi)


@dataclasses.dataclass(frozen=True)
class EntryMap:
    """`z = f(x)`, strictly monotone on `[low, high]`, with `|f'|` monotone between neighbouring turns.

    Attributes:
        value: f.
        back: its inverse.
        slope: `|f'|`, at infinite ends its limit.
        turns: where the slope turns or jumps.
        low, high: where the map is defined.
        rising: whether f grows.

    Source: calculus.

    Example:
        >>> [float(slope) for slope in EXP.slopes(0.0, np.log(2.0))]
        [1.0, 2.0]
    """

    value: Function
    back: Function
    slope: Function
    turns: tuple[float, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    rising: bool = True

    def slopes(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """The smallest and the largest slope between two ends, as far as the map is defined there."""
        low, high = np.clip(low, self.low, self.high), np.clip(high, self.low, self.high)
        with np.errstate(all="ignore"):
            seen = [self.slope(at) for at in (low, high, *(np.clip(turn, low, high) for turn in self.turns))]
        known = np.where(np.isnan(seen), math.inf, seen)
        return np.min(known, 0), np.max(known, 0)

    def image(self, low: np.ndarray, high: np.ndarray) -> Interval:
        """Ends of what lies between two ends, as far as the map is defined there."""
        with np.errstate(all="ignore"):
            ends = [self.value(np.clip(end, self.low, self.high)) for end in (low, high)]
        return np.minimum(*ends), np.maximum(*ends)

    def inverted(self) -> EntryMap:
        """The inverse as such a map."""
        low, high = self.image(np.float64(self.low), np.float64(self.high))

        def slope(z: np.ndarray) -> np.ndarray:
            return 1.0 / self.slope(np.clip(self.back(z), self.low, self.high))

        turns = tuple(float(self.value(np.float64(turn))) for turn in self.turns)
        return EntryMap(self.back, self.value, slope, turns, float(low), float(high), self.rising)


def softplus(softness: float) -> EntryMap:
    """`z = c log(1 + exp(x / c))`.

    Source: the definition.

    Example:
        >>> float(softplus(2.0).slope(np.float64(0.0)))
        0.5
    """
    return EntryMap(
        lambda x: softness * np.logaddexp(0.0, x / softness),
        lambda z: z + softness * np.log(-np.expm1(-z / softness)),
        lambda x: logistic(x / softness),
    )


def sigmoid(low: float, high: float) -> EntryMap:
    """`z = low + (high - low) / (1 + exp(-x))`.

    Source: the definition.

    Example:
        >>> float(sigmoid(0.0, 2.0).slope(np.float64(0.0)))
        0.5
    """
    width = high - low
    return EntryMap(
        lambda x: low + width * logistic(x),
        lambda z: scipy.special.logit((z - low) / width),
        lambda x: width * logistic(x) * logistic(-x),
        (0.0,),
    )


def power(exponent: float) -> EntryMap:
    """`z = x^p` of positive numbers, `p` not 0.

    Source: the definition.

    Example:
        >>> float(power(3.0).slope(np.float64(2.0)))
        12.0
    """
    return EntryMap(
        lambda x: x**exponent,
        lambda z: z ** (1 / exponent),
        lambda x: abs(exponent) * x ** (exponent - 1),
        low=0.0,
        rising=exponent > 0,
    )


def leaky(slope: float) -> EntryMap:
    """`z = x` where `x >= 0`, `slope x` where it is not.

    Source: the definition.

    Example:
        >>> [float(slope) for slope in leaky(0.1).slopes(-1.0, 1.0)]
        [0.1, 1.0]
    """
    return EntryMap(
        lambda x: np.where(x >= 0, x, slope * x),
        lambda z: np.where(z >= 0, z, z / slope),
        lambda x: np.where(x >= 0, 1.0, slope),
    )


def plus(entry: EntryMap, shift: float) -> EntryMap:
    """`z = f(x) + shift`.

    Source: the definition.

    Example:
        >>> float(plus(EXP, 1.0).value(np.float64(0.0)))
        2.0
    """
    return dataclasses.replace(entry, value=lambda x: entry.value(x) + shift, back=lambda z: entry.back(z - shift))


def _bell(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return (2 * small / (1 + small**2)) ** 2


EXP = EntryMap(np.exp, np.log, np.exp)
EXPM1 = EntryMap(np.expm1, np.log1p, np.exp)
TANH = EntryMap(np.tanh, np.arctanh, _bell, (0.0,))
SINH = EntryMap(np.sinh, np.arcsinh, np.cosh, (0.0,))
SOFTSIGN = EntryMap(
    lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))),
    lambda z: z / (1 - np.abs(z)),
    lambda x: 1 / (1 + np.abs(x)) ** 2,
    (0.0,),
)
NORMAL_CDF = EntryMap(scipy.special.ndtr, scipy.special.ndtri, lambda x: np.exp(-(x**2) / 2) / _ROOT, (0.0,))
