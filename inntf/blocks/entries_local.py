"""Entries that a transformer moves with parameters from a network, in balls: the derivatives at the centres and elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from inntf.nets.local_network import LocalNetwork
from inntf.numerics.intervals import Interval, around, middle_and_half
from inntf.numerics.norms.batched_norms import norms_from_above, spectral_norms
from inntf.numerics.transformers.transformer import SecondDerivatives, Transformer

_SLACK = 1e-12  # of values and parameters, for the rounding of their evaluation
_LARGEST = 1e100  # deviation that is told; what is beyond overflows soon


@dataclasses.dataclass(frozen=True)
class LocalEntries:
    r"""`v_i = T(u_i; p_i(x))`: its Jacobian is about `diag(own)` and $\sum_k \mathrm{diag}(\mathrm{by\_raw}_k) C_k$.

    Attributes:
        own: `(n, m)`.
        by_raw: `(n, m)` for each parameter.
        deviation: how far that can be off in the ball, `(n,)`, infinite where nothing is known.
    """

    own: np.ndarray
    by_raw: Sequence[np.ndarray]
    deviation: np.ndarray


def entries_in_balls(
    transformer: Transformer,
    u: np.ndarray,
    net: LocalNetwork,
    raw: Sequence[np.ndarray],
    radius: np.ndarray,
    inverse: bool,
    *,
    shared: bool = False,
) -> LocalEntries:
    r"""What a transformer and the network of its parameters do in balls.

    With ranges of the derivatives of `T` on the box that `u` and the parameters `p` stay in; and, where `T` declares second
    derivatives `H`, from $\nabla T(y) - \nabla T(c) = \bar H U (y - c)$ with the Jacobian `U` of $(u_i, p_i)$: the row of entry
    `i` moves by at most $r \| U^\top H U \|$, of which only what varies is bounded by absolute values.

    Args:
        transformer: `T`.
        u: `(n, m)`, centres; of the values that `T` returns if `inverse`.
        net: of the parameters; those of entry `i` do not depend on `u_i`.
        raw: for each parameter its outputs in `net`, `(m,)`.
        radius: `(n,)`.
        inverse: of the inverse of `T`.
        shared: whether the network reads entries that are moved, too.

    Source: inntf.
    """
    reach = net.reach(radius)
    slack = _SLACK * (1 + np.abs(u))
    boxes = around(u, radius[:, None] + slack), [around(net.value[:, k], reach[:, k]) for k in raw]
    known, own, by_raw = _finite(*transformer.derivative_ranges(*boxes, inverse))
    with np.errstate(over="ignore", invalid="ignore"):
        (own_middle, own_half), by_raw = middle_and_half(own), [middle_and_half(part) for part in by_raw]
        middles, halves = zip(*by_raw, strict=True)
        moved = _by_network(middles, net, raw) + _by_ranges(halves, net, raw)
        moved = moved + own_half.max(1) if shared else np.hypot(moved, own_half.max(1))
    known &= moved < _LARGEST
    own_middle, *shown = (np.where(known[:, None], part, 0.0) for part in (own_middle, *middles))
    first = LocalEntries(own_middle, shown, np.where(known, moved, np.inf))
    if not radius.any() and known.all():
        return first
    flat = np.ravel(boxes[0][0]), np.ravel(boxes[0][1])
    second = transformer.second_derivatives(flat, [(np.ravel(low), np.ravel(high)) for low, high in boxes[1]], inverse)
    if second is None:
        return first
    rounding = np.stack([slack, *(_SLACK * (1 + np.abs(net.value[:, k])) for k in raw)], 2)
    other = _by_curvature(second, rounding, net, raw, radius)
    better = (other.deviation < first.deviation) | ~known  # without a range the derivatives at the centre are still told
    return LocalEntries(
        np.where(better[:, None], other.own, first.own),
        [np.where(better[:, None], a, b) for a, b in zip(other.by_raw, first.by_raw, strict=True)],
        np.where(better, other.deviation, first.deviation),
    )


def _finite(own: Interval, by_raw: Sequence[Interval]) -> tuple[np.ndarray, Interval, list[Interval]]:
    """Which samples are known, and their ranges; zeros for the others."""
    known = np.all([np.isfinite(end).all(1) for pair in (own, *by_raw) for end in pair], 0)
    own, *by_raw = (tuple(np.where(known[:, None], end, 0.0) for end in pair) for pair in (own, *by_raw))
    return known, own, by_raw


def _by_network(middles: Sequence[np.ndarray], net: LocalNetwork, raw: Sequence[np.ndarray]) -> np.ndarray:
    """The network's Jacobian moves: all of it, or row by row."""
    whole = np.sqrt(sum(m**2 for m in middles).max(1)) * net.deviation
    rows = sum(np.abs(m) * net.row_deviation[:, k] for m, k in zip(middles, raw, strict=True))
    return np.minimum(whole, np.linalg.norm(rows, axis=1))


def _by_ranges(halves: Sequence[np.ndarray], net: LocalNetwork, raw: Sequence[np.ndarray]) -> np.ndarray:
    r"""A bound of $\|\sum_k H_k V_k\|$ for diagonal $|H_k| \le$ `halves[k]`: row by row, or $\|[H_1, H_2, \dots]\| \|V\|$."""
    if max(half.max(initial=0.0) for half in halves) == 0:
        return np.zeros(len(net.value))
    rows = np.linalg.norm(net.jacobian, axis=2) + net.row_deviation
    by_rows = np.linalg.norm(sum(half * rows[:, k] for half, k in zip(halves, raw, strict=True)), axis=1)
    whole = norms_from_above(net.jacobian) + net.deviation
    return np.minimum(by_rows, np.sqrt(sum(half**2 for half in halves).max(1)) * whole)


def _by_curvature(
    second: SecondDerivatives, rounding: np.ndarray, net: LocalNetwork, raw: Sequence[np.ndarray], radius: np.ndarray
) -> LocalEntries:
    gradient, pieces = second
    n, m, size = rounding.shape
    middle, half = middle_and_half(gradient)
    known = np.isfinite(middle).all(1) & np.isfinite(half).all(1)
    middle, half = np.where(known[:, None], middle, 0.0), np.where(known[:, None], half, np.inf)
    root = _roots(net.jacobian[:, np.stack(raw, 1)].reshape(n * m, size - 1, -1))
    length = np.linalg.norm(root, axis=2)
    more = np.concatenate([np.zeros([n, m, 1]), net.row_deviation[:, np.stack(raw, 1)]], 2).reshape(n * m, size)
    rounding, reach = rounding.reshape(n * m, size), np.repeat(radius, m)
    by_row, by_parameter = np.zeros(n * m), np.zeros(n * m)  # how far row i moves, and the derivatives of T in l2
    with np.errstate(all="ignore"):
        for at, (low, high) in pieces:
            centre, spread = middle_and_half((low, high))
            largest = np.abs(centre) + spread
            known[at] &= np.isfinite(largest).all((1, 2))
            norms, d, r = length[at], more[at], reach[at]
            turned = centre @ root[at]
            inner = spectral_norms(np.swapaxes(root[at], 1, 2) @ turned)
            lost = _times(largest, d)
            stray = _times(largest, rounding[at])
            row = inner + (norms * _times(spread, norms)).sum(1) + ((2 * norms + d) * lost).sum(1)
            by_row[at] = np.maximum(by_row[at], r * row + (stray * (norms + d)).sum(1))
            parameter = spectral_norms(turned) + np.linalg.norm(_times(spread, norms) + lost, axis=1)
            by_parameter[at] = np.maximum(by_parameter[at], r * parameter + np.linalg.norm(stray, axis=1))
        by_row += (half * (length + more)).sum(1)
        by_parameter += np.linalg.norm(half, axis=1)
        whole = np.hypot(1.0, norms_from_above(net.jacobian) + net.deviation)
        rows, parameters = by_row.reshape(n, m), by_parameter.reshape(n, m)
        moved = np.minimum(np.linalg.norm(rows, axis=1), parameters.max(1) * whole) * (1 + 1e-9)
    own, *by_raw = np.moveaxis(middle.reshape(n, m, size), 2, 0)
    deviation = _by_network(by_raw, net, raw) + moved
    sound = known.reshape(n, m).all(1) & np.isfinite(deviation)
    return LocalEntries(own, by_raw, np.where(sound, deviation, np.inf))


def _roots(rows: np.ndarray) -> np.ndarray:
    r"""`L` with $L L^\top \ge U U^\top$ for `U` with a unit row, and below it `rows` in other directions, `(N, P, in)`."""
    n, p, _ = rows.shape
    gram = np.zeros([n, p + 1, p + 1])
    gram[:, 0, 0] = 1.0
    gram[:, 1:, 1:] = rows @ np.swapaxes(rows, 1, 2)
    whole = np.isfinite(gram).all((1, 2))
    gram = np.where(whole[:, None, None], gram, 0.0)
    gram += 1e-13 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(p + 1)
    values, vectors = np.linalg.eigh(gram)
    return vectors * np.where(whole[:, None], np.sqrt(np.maximum(values, 0.0)), np.inf)[:, None, :]


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices @ vectors[:, :, None])[:, :, 0]
