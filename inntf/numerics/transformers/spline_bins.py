"""First and second derivatives of one bin of a rational-quadratic spline, by its input and its parameters, on intervals."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from inntf.numerics.intervals import Interval, added, multiplied, negated, reciprocal


@dataclasses.dataclass(frozen=True)
class BinOnIntervals:
    r"""$v = y_k + h S(\xi, a, b)$ with $\xi = (u - x_k) / w$, $a = d_k w / h$, $b = d_{k+1} w / h$; `(n,)` intervals.

    $S = \xi (\xi + a \zeta) / Q$ with $Q = \xi^2 + \zeta^2 + (a + b) \xi \zeta$ and $\zeta = 1 - \xi$.  The shares
    $\alpha = a \xi \zeta / Q$ and $\beta = b \xi \zeta / Q$ give its derivatives by $\log a$ and $\log b$:
    $\alpha (1 - S)$ and $-\beta S$.

    Attributes:
        width, height, start, end: `w`, `h`, `a`, `b`.
        xi, zeta: within [0, 1].
    """

    width: Interval
    height: Interval
    start: Interval
    end: Interval
    xi: Interval
    zeta: Interval

    def derivatives(self) -> tuple[list[Interval], dict[tuple[int, int], Interval]]:
        r"""By $t = u - x_k$, $\log w$, $\log h$, $\log d_k$, $\log d_{k+1}$, in this order: first ones and second ones.

        Second ones are told once a pair, the smaller index first.
        """
        xi, s = self.xi, self._s
        slope, curve = self._slope, self._curve
        (by_a, by_b), (slope_a, slope_b) = self._by_ends, self._slope_by_ends
        aa, ab, bb = self._by_end_pairs
        # Width and height move both ends' a and b alike.
        both, slope_both = added(by_a, by_b), added(slope_a, slope_b)
        both_a, both_b = added(aa, ab), added(ab, bb)
        both_both = added(both_a, both_b)
        flat = multiplied(self.height, reciprocal(self.width))
        xi_slope, xi_curve = multiplied(xi, slope), multiplied(xi, curve)
        first = [
            multiplied(flat, slope),
            self._high(_less(both, xi_slope)),
            self._high(_less(s, both)),
            self._high(by_a),
            self._high(by_b),
        ]
        squared = multiplied(xi, added(xi_curve, negated(_twice(slope_both))))
        second = {
            (0, 0): multiplied(multiplied(flat, reciprocal(self.width)), curve),
            (0, 1): multiplied(flat, _less(_less(slope_both, slope), xi_curve)),
            (0, 2): multiplied(flat, _less(slope, slope_both)),
            (0, 3): multiplied(flat, slope_a),
            (0, 4): multiplied(flat, slope_b),
            (1, 1): self._high(added(added(both_both, xi_slope), squared)),
            (1, 2): self._high(_less(_less(both, xi_slope), _less(both_both, multiplied(xi, slope_both)))),
            (1, 3): self._high(_less(both_a, multiplied(xi, slope_a))),
            (1, 4): self._high(_less(both_b, multiplied(xi, slope_b))),
            (2, 2): self._high(added(_less(s, _twice(both)), both_both)),
            (2, 3): self._high(_less(by_a, both_a)),
            (2, 4): self._high(_less(by_b, both_b)),
            (3, 3): self._high(aa),
            (3, 4): self._high(ab),
            (4, 4): self._high(bb),
        }
        return first, second

    def _high(self, a: Interval) -> Interval:
        return multiplied(self.height, a)

    @functools.cached_property
    def _mixed(self) -> Interval:
        """`xi zeta`, of both factors together."""
        ends = [a * b for a, b in zip(self.xi, self.zeta[::-1], strict=True)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        return low, np.where((self.xi[0] <= 0.5) & (self.xi[1] >= 0.5), 0.25, high)

    @functools.cached_property
    def _q(self) -> Interval:
        """`1 + (a + b - 2) xi zeta`: at least a half, linear in each."""
        low, high = added(self.start, self.end)
        return tuple(
            pick(*(1.0 + (ends - 2.0) * mixed for mixed in self._mixed))
            for pick, ends in ((np.minimum, low), (np.maximum, high))
        )

    @functools.cached_property
    def _per_q(self) -> Interval:
        return reciprocal(self._q)

    def _over_q(self, a: Interval) -> Interval:
        return multiplied(a, self._per_q)

    @functools.cached_property
    def _squares(self) -> tuple[Interval, Interval]:
        return _squared(self.xi), _squared(self.zeta)

    @functools.cached_property
    def _shares(self) -> tuple[Interval, Interval]:
        """Those of both ends, `alpha` and `beta`."""
        start, end = (_unit(self._over_q(multiplied(d, self._mixed))) for d in (self.start, self.end))
        return start, end

    @functools.cached_property
    def _s(self) -> Interval:
        return _unit(added(self._over_q(self._squares[0]), self._shares[0]))

    @functools.cached_property
    def _rest(self) -> Interval:
        """`1 - S`."""
        return _unit(added(self._over_q(self._squares[1]), self._shares[1]))

    @functools.cached_property
    def _slope_parts(self) -> tuple[Interval, Interval]:
        """`a zeta^2 / Q^2` and `b xi^2 / Q^2`."""
        xi2, zeta2 = self._squares
        start, end = (self._over_q(self._over_q(multiplied(d, square))) for d, square in ((self.start, zeta2), (self.end, xi2)))
        return start, end

    @functools.cached_property
    def _slope(self) -> Interval:
        """`dS/dxi = (a zeta^2 + 2 xi zeta + b xi^2) / Q^2`."""
        left, right = self._slope_parts
        return added(added(left, right), _twice(self._over_q(self._over_q(self._mixed))))

    @functools.cached_property
    def _curve(self) -> Interval:
        """`d^2 S / dxi^2`."""
        tilt = _less(self.zeta, self.xi)
        top = _twice(added(added(tilt, negated(multiplied(self.start, self.zeta))), multiplied(self.end, self.xi)))
        ends = tuple(end - 2.0 for end in added(self.start, self.end))
        turn = _twice(multiplied(self._slope, self._over_q(multiplied(tilt, ends))))
        return _less(self._over_q(self._over_q(top)), turn)

    @functools.cached_property
    def _by_ends(self) -> tuple[Interval, Interval]:
        alpha, beta = self._shares
        return multiplied(alpha, self._rest), negated(multiplied(beta, self._s))

    @functools.cached_property
    def _slope_by_ends(self) -> tuple[Interval, Interval]:
        pairs = zip(self._slope_parts, self._shares, strict=True)
        start, end = (_less(part, _twice(multiplied(share, self._slope))) for part, share in pairs)
        return start, end

    @functools.cached_property
    def _by_end_pairs(self) -> tuple[Interval, Interval, Interval]:
        alpha, beta = self._shares
        by_a, by_b = self._by_ends
        mixed = multiplied(multiplied(alpha, beta), _less(self._s, self._rest))
        return multiplied(by_a, _turned(alpha)), mixed, multiplied(by_b, _turned(beta))


def position_in_bin(t: Interval, rest: Interval, start: Interval, end: Interval) -> tuple[Interval, Interval]:
    r"""$\xi$ and $\zeta$ where $S(\xi, a, b) = t$; it rises with `t` and `b` and falls with `a`.

    Args:
        t: height within the bin, in [0, 1].
        rest: `1 - t`.
        start: `a`.
        end: `b`.

    Source: the root of Durkan et al., "Neural Spline Flows" (2019), eqs 6-8, as in `spline_inverse`.

    Example:
        >>> half, one = (np.array([0.5]),) * 2, (np.array([1.0]),) * 2
        >>> float(position_in_bin(half, half, one, one)[0][0][0])
        0.5
    """
    low = _root(t[0], rest[1], start[1], end[0])
    high = _root(t[1], rest[0], start[0], end[1])
    return _unit((low[0], high[0])), _unit((high[1], low[1]))


def _root(t: np.ndarray, rest: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q = start * rest - end * t
    product = 4.0 * t * rest
    larger = np.hypot(q, np.sqrt(product)) + np.abs(q)
    p = np.where(q >= 0, larger, product / np.where(larger > 0, larger, 1.0))
    total = p + 2.0 * t
    return 2.0 * t / total, p / total


def _squared(a: Interval) -> Interval:
    """Of numbers that are not negative."""
    return a[0] ** 2, a[1] ** 2


def _unit(a: Interval) -> Interval:
    return tuple(np.clip(end, 0.0, 1.0) for end in a)


def _twice(a: Interval) -> Interval:
    return 2.0 * a[0], 2.0 * a[1]


def _less(a: Interval, b: Interval) -> Interval:
    return a[0] - b[1], a[1] - b[0]


def _turned(share: Interval) -> Interval:
    """`1 - 2 share`."""
    return 1.0 - 2.0 * share[1], 1.0 - 2.0 * share[0]
