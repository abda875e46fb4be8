"""A rational-quadratic spline on a box of values and raw parameters: its derivatives in every piece that the box reaches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from inntf.numerics.intervals import Interval, added, multiplied, negated, reciprocal
from inntf.numerics.transformers.spline_bins import BinOnIntervals, position_in_bin
from inntf.numerics.transformers.spline_sides import Side, SideInBin, knot_columns, knot_derivatives

ROUNDED = 1e-13  # of positions, over the half-width of the square
SLACK = 1e-11  # of derivatives


@dataclasses.dataclass(frozen=True)
class SplineBox:
    """Values and raw parameters, `(n, 1 + P)` intervals; of the inverse map the values are those that it takes."""

    ends: Interval
    num_bins: int
    bound: float
    inverse: bool
    tails: str = "identity"

    def middle(self) -> SplineBox:
        """The middle of each box."""
        middle = (self.ends[0] + self.ends[1]) / 2
        return dataclasses.replace(self, ends=(middle, middle))

    def half(self) -> np.ndarray:
        """Half-widths, rounding of the positions counted in."""
        middle = self.middle().ends[0]
        half = np.maximum(self.ends[1] - middle, middle - self.ends[0]) * (1 + SLACK)
        half[:, 0] += 2 * ROUNDED * self.bound  # as far outside of a piece as one is taken there
        return half

    def at_middle(self) -> Interval:
        """The first derivatives there: in one of the pieces that meet, for they agree."""
        found = np.zeros(self.ends[0].shape), np.zeros(self.ends[0].shape)
        for rows, (first, _) in self.middle().pieces():
            for end, value in zip(found, first, strict=True):
                end[rows] = value
        return found

    def pieces(self) -> Iterator[tuple[np.ndarray, tuple[Interval, Interval]]]:
        """The rows whose box reaches a piece of the spline, and first and second derivatives there."""
        (low, high), k = self.ends, self.num_bins
        tolerance = 2 * ROUNDED * self.bound
        if self.tails in ("identity", "free"):
            for side, end in ((0, low[:, 0] < tolerance - self.bound), (1, high[:, 0] > self.bound - tolerance)):
                outside = np.flatnonzero(end)
                if len(outside):
                    yield outside, self._beyond(outside, side)
        across, up = (Side.of((low[:, s], high[:, s]), self.bound) for s in (slice(1, k + 1), slice(k + 1, 2 * k + 1)))
        knots = (up if self.inverse else across).knots
        reached = (high[:, :1] >= knots[0][:, :-1] - tolerance) & (low[:, :1] <= knots[1][:, 1:] + tolerance)
        first, count = reached.argmax(1), reached.sum(1)  # knots are in order, so the bins follow each other
        for i in range(count.max(initial=0)):
            rows = np.flatnonzero(count > i)
            yield rows, self._of_bins(rows, first[rows] + i, across, up)

    def _beyond(self, rows: np.ndarray, side: int) -> tuple[Interval, Interval]:
        """On the straight line of one side, `v = end + d (u - end)`."""
        low, high = (end[rows] for end in self.ends)
        first, second = ((np.zeros(shape), np.zeros(shape)) for shape in (low.shape, (*low.shape, low.shape[1])))
        if self.tails == "identity":
            for end in first:
                end[:, 0] = 1.0
            return first, second
        column = int(knot_columns(self.num_bins, self.tails)[side * self.num_bins])
        d, log_first, log_second = (
            (a[:, 0], b[:, 0]) for a, b in knot_derivatives((low[:, column : column + 1], high[:, column : column + 1]), "free")
        )
        edge, clip = (2 * side - 1) * self.bound, (np.minimum, np.maximum)[side]
        t = clip(low[:, 0] - edge, 0.0), clip(high[:, 0] - edge, 0.0)
        t = multiplied(t, reciprocal(d)) if self.inverse else t
        by_raw = multiplied(d, log_first)
        bent = multiplied(d, added(log_second, multiplied(log_first, log_first)))
        by_column, curve = multiplied(by_raw, t), multiplied(bent, t)
        for i in (0, 1):
            first[i][:, 0], first[i][:, column] = d[i], by_column[i]
            second[i][:, 0, column] = second[i][:, column, 0] = by_raw[i]
            second[i][:, column, column] = curve[i]
            first[i][:] += (2 * i - 1) * SLACK * np.abs(first[i])
        return _of_inverse(first, second) if self.inverse else (first, second)

    def _of_bins(self, rows: np.ndarray, bins: np.ndarray, across: Side, up: Side) -> tuple[Interval, Interval]:
        (low, high), k, number = self.ends, self.num_bins, np.arange(len(rows))
        value = low[rows, 0], high[rows, 0]
        inner = knot_derivatives((low[rows, 2 * k + 1 :], high[rows, 2 * k + 1 :]), self.tails)
        left, right = (
            [(part[0][number, bins + i], part[1][number, bins + i]) for part in inner] for i in (0, 1)
        )  # derivative at the knot, and how its logarithm moves
        x, y = (_chosen(side, rows).at(bins) for side in (across, up))
        ratio = multiplied(x.length, reciprocal(y.length))
        start, end = multiplied(left[0], ratio), multiplied(right[0], ratio)
        if self.inverse:
            xi, zeta = position_in_bin(*y.within(value), start, end)
        else:
            xi, zeta = x.within(value)
        local = BinOnIntervals(x.length, y.length, start, end, xi, zeta)
        first, second = _by_raw(local, x, y, left[1:], right[1:], knot_columns(k, self.tails), low.shape[1])
        margin = SLACK * self.bound * (1 + np.abs(first[1][:, :1]))
        margin = np.concatenate([SLACK * np.abs(first[1][:, :1]), np.broadcast_to(margin, first[0][:, 1:].shape)], 1)
        first = first[0] - margin, first[1] + margin
        first[0][:, 0] = np.maximum(first[0][:, 0], 0.0)
        return _of_inverse(first, second) if self.inverse else (first, second)


def _by_raw(
    local: BinOnIntervals,
    x: SideInBin,
    y: SideInBin,
    left: list[Interval],
    right: list[Interval],
    columns: np.ndarray,
    size: int,
) -> tuple[Interval, Interval]:
    """Gradient `(n, 1 + P)` and second derivatives `(n, 1 + P, 1 + P)` by value and raw parameters."""
    by_local, pairs = local.derivatives()
    n, k = x.side.share[0].shape
    widths, heights = slice(1, k + 1), slice(k + 1, 2 * k + 1)
    rows, bins = np.arange(n), x.bins

    def placed(where: slice, part: Interval) -> Interval:
        out = np.zeros([n, size]), np.zeros([n, size])
        for end, value in zip(out, part, strict=True):
            end[:, where] = value
        return out

    def at_knot(knot: np.ndarray, part: Interval) -> Interval:
        # A knot without a raw number has the column -1, one past the end.
        out = np.zeros([n, size + 1]), np.zeros([n, size + 1])
        for end, value in zip(out, part, strict=True):
            end[rows, columns[knot]] = value
        return out[0][:, :size], out[1][:, :size]

    moved = placed(widths, negated(x.start_slopes()))
    for end in moved:
        end[:, 0] = 1.0
    moves = [moved, placed(widths, x.log_length_slopes()), placed(heights, y.log_length_slopes())]
    moves += [at_knot(bins, left[0]), at_knot(bins + 1, right[0])]
    gradient = placed(heights, y.start_slopes())
    matrix = np.zeros([n, size, size]), np.zeros([n, size, size])
    for a in range(5):
        gradient = added(gradient, multiplied(_column(by_local[a]), moves[a]))
        other = np.zeros([n, size]), np.zeros([n, size])
        for b in range(5):
            other = added(other, multiplied(_column(pairs[min(a, b), max(a, b)]), moves[b]))
        matrix = added(matrix, multiplied(_outer(moves[a]), tuple(end[:, None, :] for end in other)))
    by_start, by_width, by_height = (_block(part) for part in by_local[:3])
    bent = negated(multiplied(by_start, x.start_curvatures())), y.start_curvatures()
    more = multiplied(by_width, x.log_length_curvatures()), multiplied(by_height, y.log_length_curvatures())
    for where, parts in zip((widths, heights), zip(bent, more, strict=True), strict=True):
        for end, value in zip(matrix, added(*parts), strict=True):
            end[:, where, where] += value
    for a, knot, part in ((3, bins, left[1]), (4, bins + 1, right[1])):
        bent = at_knot(knot, multiplied(by_local[a], part))
        for end, value in zip(matrix, bent, strict=True):
            np.einsum("nii->ni", end)[:] += value
    return gradient, matrix


def _of_inverse(first: Interval, second: Interval) -> tuple[Interval, Interval]:
    r"""$f(x(z, r), r) = z$ differentiated twice: $x_z = G = 1 / f_x$, $x_k = -G f_k$, and so on."""
    g = reciprocal(tuple(end[:, :1] for end in first))
    others = negated(multiplied(g, tuple(end[:, 1:] for end in first)))
    moves = tuple(np.concatenate(pair, 1) for pair in zip(g, others, strict=True))
    own = tuple(end[:, :1, 0] for end in second)
    cross, rest = tuple(end[:, 0].copy() for end in second), tuple(end.copy() for end in second)
    for vector, matrix in zip(cross, rest, strict=True):
        vector[:, 0] = 0.0
        matrix[:, 0, :] = matrix[:, :, 0] = 0.0
    mixed = multiplied(_outer(added(cross, multiplied(own, tuple(end / 2 for end in moves)))), _row(moves))
    turned = tuple(np.swapaxes(end, 1, 2) for end in mixed)
    total = added(rest, added(mixed, turned))
    return moves, negated(multiplied(_outer(g), total))


def _chosen(side: Side, rows: np.ndarray) -> Side:
    share, before = ((part[0][rows], part[1][rows]) for part in (side.share, side.before))
    return Side(share, before, side.bound)


def _column(a: Interval) -> Interval:
    return tuple(end[:, None] for end in a)


def _block(a: Interval) -> Interval:
    return tuple(end[:, None, None] for end in a)


def _outer(a: Interval) -> Interval:
    return tuple(end[:, :, None] for end in a)


def _row(a: Interval) -> Interval:
    return tuple(end[:, None, :] for end in a)
