"""The knots of a rational-quadratic spline whose raw parameters lie in a box, and what they are in one of its bins."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from inntf.numerics.intervals import Interval, added, logistic, multiplied, negated, reciprocal

SMALLEST = 1e-3  # of bin widths and heights (shares of the square's side), and of derivatives at knots, as in `splines`


@dataclasses.dataclass(frozen=True)
class Side:
    """The bins of one axis; `(n, K)` intervals, for `K` bins.

    Attributes:
        share: of each bin, before it is kept from zero: a softmax.
        before: of all bins before it, `(n, K + 1)`.
        bound: half-width of the square.
    """

    share: Interval
    before: Interval
    bound: float

    @classmethod
    def of(cls, raw: Interval, bound: float) -> Side:
        """A softmax rises with its own entry and falls with the others: its range is exact."""
        low, high = (np.exp(end - raw[1].max(1, keepdims=True)) for end in raw)
        others = 1.0 - np.eye(low.shape[1])
        share = _part(low, high @ others), _part(high, low @ others, 1.0)
        left, right = zip(*(_sums(end) for end in (low, high)), strict=True)
        before = [_part(left[0], right[1]), _part(left[1], right[0], 1.0)]
        for end in before:
            end[:, 0], end[:, -1] = 0.0, 1.0
        return cls(share, tuple(before), bound)

    @functools.cached_property
    def room(self) -> float:
        """Length per share."""
        return 2.0 * self.bound * (1.0 - self.share[0].shape[1] * SMALLEST)

    @functools.cached_property
    def knots(self) -> Interval:
        """`(n, K + 1)`."""
        start = 2.0 * self.bound * SMALLEST * np.arange(self.before[0].shape[1]) - self.bound
        return tuple(start + self.room * end for end in self.before)

    def at(self, bins: np.ndarray) -> SideInBin:
        """Of the bins `(n,)`."""
        rows = np.arange(len(bins))
        before = tuple(end[rows, bins] for end in self.before)
        low, high = (tuple(end[rows, bins + i] for end in self.knots) for i in (0, 1))
        return SideInBin(self, bins, before, (low, high), tuple(end[rows, bins] for end in self.share))


@dataclasses.dataclass(frozen=True)
class SideInBin:
    """Start `x_k` and length `w` of one bin a row, and how they move with the raw numbers `r`, `(n, K)`."""

    side: Side
    bins: np.ndarray
    before: Interval
    knots: tuple[Interval, Interval]
    own: Interval

    @functools.cached_property
    def length(self) -> Interval:
        """`w`, `(n,)`."""
        return tuple(2.0 * self.side.bound * SMALLEST + self.side.room * end for end in self.own)

    def within(self, value: Interval) -> tuple[Interval, Interval]:
        """`(value - x_k) / w` and `(x_k+1 - value) / w` of the values that lie in the bin."""
        (left_low, left_high), (right_low, right_high) = self.knots
        short, long = self.length
        inner = [np.maximum(gap, 0.0) / long for gap in (value[0] - left_high, right_low - value[1])]
        outer = [np.maximum(gap, 0.0) / short for gap in (value[1] - left_low, right_high - value[0])]
        xi = np.maximum(inner[0], 1.0 - outer[1]), np.minimum(outer[0], 1.0 - inner[1])
        zeta = np.maximum(inner[1], 1.0 - outer[0]), np.minimum(outer[1], 1.0 - inner[0])
        return _unit(xi), _unit(zeta)

    @functools.cached_property
    def _away(self) -> Interval:
        # [j < k] - sum of the shares before k
        earlier = np.arange(self.side.share[0].shape[1]) < self.bins[:, None]
        return earlier - self.before[1][:, None], earlier - self.before[0][:, None]

    @functools.cached_property
    def _off(self) -> Interval:
        # [j = k] - share of j
        own = np.arange(self.side.share[0].shape[1]) == self.bins[:, None]
        return own - self.side.share[1], own - self.side.share[0]

    @functools.cached_property
    def _gain(self) -> Interval:
        # of the share in the length, which rises with the share
        room, least = self.side.room, 2.0 * self.side.bound * SMALLEST
        return tuple((room * end / (least + room * end))[:, None] for end in self.own)

    def start_slopes(self) -> Interval:
        """`d x_k / dr_j = room share_j ([j < k] - before)`."""
        return _scaled(self.side.room, multiplied(self.side.share, self._away))

    def log_length_slopes(self) -> Interval:
        """`d log w / dr_j = gain ([j = k] - share_j)`."""
        return multiplied(self._gain, self._off)

    def start_curvatures(self) -> Interval:
        """`d^2 x_k / dr_j dr_l`, `(n, K, K)`."""
        share, away = self.side.share, self._away
        both = added(_columns(away), _rows(away))
        mixed = multiplied(multiplied(_columns(share), _rows(share)), both)
        diagonal = _diagonal(multiplied(share, away))
        return _scaled(self.side.room, added(diagonal, negated(mixed)))

    def log_length_curvatures(self) -> Interval:
        """`d^2 log w / dr_j dr_l`."""
        share, gain = self.side.share, tuple(end[:, None] for end in self._gain)
        rest = 1.0 - gain[1], 1.0 - gain[0]
        first = multiplied(multiplied(gain, rest), multiplied(_columns(self._off), _rows(self._off)))
        second = added(_diagonal(share), negated(multiplied(_columns(share), _rows(share))))
        return added(first, negated(multiplied(gain, second)))


def knot_columns(num_bins: int, tails: str) -> np.ndarray:
    """Where the raw number of each knot's slope stands behind the value, widths and heights, `(K + 1,)`; -1 for none.

    Source: as in `inner_knots`.
    """
    knots, first = np.arange(num_bins + 1), 2 * num_bins + 1
    if tails == "identity":
        return np.where((knots == 0) | (knots == num_bins), -1, first - 1 + knots)
    return first + (knots % num_bins if tails == "circular" else knots)


def knot_derivatives(raw: Interval, tails: str) -> tuple[Interval, Interval, Interval]:
    """Of the raw numbers of slopes, `(n, R)`: `d`, `d log d / dr` and `d^2 log d / dr^2` at all knots, `(n, K + 1)`.

    At the outer two they are 1, 0 and 0 with the tails `"identity"`, and equal with `"circular"`.

    Source: as in `splines`: `d = m + softplus(r + log(exp(1 - m) - 1))`.
    """
    moved = tuple(end + math.log(math.expm1(1.0 - SMALLEST)) for end in raw)
    d = tuple(SMALLEST + np.logaddexp(0.0, end) for end in moved)
    rise, fall = tuple(logistic(end) for end in moved), (logistic(-moved[1]), logistic(-moved[0]))
    first = multiplied(rise, reciprocal(d))
    second = multiplied(first, added(fall, negated(first)))
    if tails == "identity":
        return _with_outer(d, 1.0), _with_outer(first, 0.0), _with_outer(second, 0.0)
    if tails == "circular":
        return _round_again(d), _round_again(first), _round_again(second)
    return d, first, second


def _with_outer(inner: Interval, edge: float) -> Interval:
    low, high = (np.pad(end, [(0, 0), (1, 1)], constant_values=edge) for end in inner)
    return low, high


def _round_again(inner: Interval) -> Interval:
    low, high = (np.concatenate([end, end[:, :1]], 1) for end in inner)
    return low, high


def _part(a: np.ndarray, b: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """`a / (a + b)`, `otherwise` where both vanish."""
    whole = a + b
    return np.where(whole > 0, a / np.where(whole > 0, whole, 1.0), otherwise)


def _sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of those before each place, and of the others: both without a difference."""
    zero = np.zeros([len(values), 1])
    before = np.concatenate([zero, np.cumsum(values, 1)], 1)
    return before, np.concatenate([np.cumsum(values[:, ::-1], 1)[:, ::-1], zero], 1)


def _unit(a: Interval) -> Interval:
    low, high = np.clip(a[0] - 1e-13, 0.0, 1.0), np.clip(a[1] + 1e-13, 0.0, 1.0)
    return np.minimum(low, high), np.maximum(low, high)


def _scaled(factor: float, a: Interval) -> Interval:
    return factor * a[0], factor * a[1]


def _columns(a: Interval) -> Interval:
    return tuple(end[:, :, None] for end in a)


def _rows(a: Interval) -> Interval:
    return tuple(end[:, None, :] for end in a)


def _diagonal(a: Interval) -> Interval:
    return tuple(end[:, :, None] * np.eye(end.shape[1]) for end in a)
