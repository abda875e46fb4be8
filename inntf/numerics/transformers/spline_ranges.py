"""Between which derivatives a rational-quadratic spline stays while its input and its raw parameters vary in a box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from inntf.numerics.intervals import Interval
from inntf.numerics.transformers.spline_pieces import SLACK, SplineBox

_AT_ONCE = 2**19  # numbers in the matrices of second derivatives that are held together


def spline_derivative_ranges(
    entries: Interval, raw: Sequence[Interval], *, num_bins: int, bound: float, inverse: bool = False, tails: str = "identity"
) -> tuple[Interval, list[Interval]]:
    r"""Ranges of `dv/du` and of each `dv/draw_k`, of `du/dv` and `du/draw_k` if inverse, for `u` and raw parameters in a box.

    The derivatives `g` are continuous, at the knots and at the edges of the square too, and smooth in each bin.  So from the
    middle `c` of the box

    $$ | g_j - g_j(c) | \le \sum_k \rho_k \max_{bins} | \partial_k g_j | , $$

    with half-widths $\rho$, the second derivatives on intervals in every bin that the box can reach: the width is right to
    first order in the size of the box.  In large boxes the range of `g` itself is narrower, and the two are intersected.

    Args:
        entries: `(low, high)` of `u` (of `v` if inverse), any shape `S`, float64.
        raw: the same for each of the parameters.
        num_bins: as in `spline_forward`.
        bound: as in `spline_forward`.
        inverse: of the inverse map, whose derivatives follow from those of the spline, where it takes `v`.
        tails: as in `spline_forward`.

    Returns:
        The first range, and a list of the others; infinite where an end is not finite, or lies where nothing is defined.

    Source: inntf; mean value forms: Moore, Kearfott, Cloud, "Introduction to Interval Analysis" (2009), section 6.3.

    Example:
        >>> point = (np.array([0.5]), np.array([0.5]))
        >>> own, _ = spline_derivative_ranges(point, [(np.zeros(1), np.zeros(1))] * 11, num_bins=4, bound=3.0)
        >>> round(float(own[0][0]), 6), round(float(own[1][0]), 6)
        (1.0, 1.0)
    """
    shape = np.shape(entries[0])
    found, boxes = _boxes(entries, raw, num_bins, bound, inverse, tails)
    with np.errstate(all="ignore"):
        for part, box in boxes:
            for end, value in zip(found, _ranges(box), strict=True):
                end[part] = value
    own, *others = ((found[0][:, k].reshape(shape), found[1][:, k].reshape(shape)) for k in range(found[0].shape[1]))
    return own, others


def spline_second_derivatives(
    entries: Interval, raw: Sequence[Interval], *, num_bins: int, bound: float, inverse: bool = False, tails: str = "identity"
) -> tuple[Interval, Iterator[tuple[np.ndarray, Interval]]]:
    """First derivatives at the middle of each box, and second ones in every piece of the spline that it reaches.

    Args:
        entries: as in `spline_derivative_ranges`; `n` numbers together.
        raw: as there.
        num_bins: as there.
        bound: as there.
        inverse: as there.
        tails: as there.

    Returns:
        `(n, 1 + P)`, by value and raw parameters; and, for each piece, the entries `(m,)` that reach it and
        `(m, 1 + P, 1 + P)`.
        What is not finite reaches none, and has infinite first derivatives.

    Source: inntf.

    Example:
        >>> point = (np.zeros(1), np.zeros(1))
        >>> _, pieces = spline_second_derivatives(point, [point] * 5, num_bins=2, bound=3.0)
        >>> [(rows.tolist(), second[0].shape) for rows, second in pieces]
        [([0], (1, 6, 6)), ([0], (1, 6, 6))]
    """
    found, boxes = _boxes(entries, raw, num_bins, bound, inverse, tails)
    with np.errstate(all="ignore"):
        for part, box in boxes:
            for end, value in zip(found, box.at_middle(), strict=True):
                end[part] = value
    return found, _second(boxes)


def _second(boxes: list[tuple[np.ndarray, SplineBox]]) -> Iterator[tuple[np.ndarray, Interval]]:
    for part, box in boxes:
        with np.errstate(all="ignore"):
            pieces = [(part[rows], second) for rows, (_, second) in box.pieces()]
        yield from pieces


def _boxes(
    entries: Interval, raw: Sequence[Interval], num_bins: int, bound: float, inverse: bool, tails: str
) -> tuple[Interval, list[tuple[np.ndarray, SplineBox]]]:
    """All of the line for every derivative; and the entries of which more can be said, some at a time."""
    low, high = (np.stack([np.ravel(part[i]) for part in (entries, *raw)], 1).astype(np.float64) for i in (0, 1))
    known = (np.isfinite(low) & np.isfinite(high)).all(1)
    if tails in ("none", "circular"):  # nothing is defined outside
        known &= (low[:, 0] >= -bound) & (high[:, 0] <= bound)
    rows = np.flatnonzero(known)
    step = max(1, _AT_ONCE // low.shape[1] ** 2)
    parts = [rows[i : i + step] for i in range(0, len(rows), step)]
    everything = np.full(low.shape, -np.inf), np.full(low.shape, np.inf)
    return everything, [(part, SplineBox((low[part], high[part]), num_bins, bound, inverse, tails)) for part in parts]


def _ranges(box: SplineBox) -> Interval:
    centre, half = box.at_middle(), box.half()
    steepest = np.zeros(half.shape)
    hull = np.full(half.shape, np.inf), np.full(half.shape, -np.inf)
    for rows, (first, second) in box.pieces():
        largest = np.maximum(np.abs(second[0]), np.abs(second[1]))
        steepest[rows] = np.maximum(steepest[rows], (largest @ half[rows][:, :, None])[:, :, 0])
        hull[0][rows], hull[1][rows] = np.minimum(hull[0][rows], first[0]), np.maximum(hull[1][rows], first[1])
    steepest *= 1 + SLACK
    near = np.nan_to_num(centre[0] - steepest, nan=-np.inf), np.nan_to_num(centre[1] + steepest, nan=np.inf)
    # Both hold; rounding may part them where they touch.
    ends = np.fmax(hull[0], near[0]), np.fmin(hull[1], near[1])
    return np.minimum(*ends), np.maximum(*ends)
