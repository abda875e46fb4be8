"""How far the Jacobian of a network can be from a known matrix in a ball: exact weights, and only slopes that can change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from inntf.nets.linear_map_kinds import IdentityMap, LinearMap
from inntf.nets.slope_ranges import slope_range
from inntf.numerics.norms.batched_norms import norms_from_above

_EXPLICIT_UP_TO = 2**23  # numbers in a matrix from a layer to an earlier one; beyond, products of norms
_SLACK = 1e-12  # of slopes and pre-activations, for the rounding of their evaluation


@dataclasses.dataclass(frozen=True)
class LocalNetwork:
    """For every point of the ball round centre `i` the Jacobian `V` of the network has `|V - jacobian_i|_2 <= deviation_i`.

    Attributes:
        value: `(n, out)`, of the network at the centres.
        jacobian: `(n, out, in)`.
        row_deviation: `(n, out)`, bounds of `|row of (V - jacobian)|_2`.
        deviation: `(n,)`.
    """

    value: np.ndarray
    jacobian: np.ndarray
    row_deviation: np.ndarray
    deviation: np.ndarray

    def reach(self, radius: np.ndarray) -> np.ndarray:
        """`(n, out)`: how far each output can move within the radius `(n,)`."""
        rows = np.linalg.norm(self.jacobian, axis=2) + self.row_deviation
        return rows * radius[:, None] * (1 + _SLACK) + _SLACK * (1 + np.abs(self.value))


def local_network(maps: Sequence[LinearMap], centre: np.ndarray, radius: np.ndarray) -> LocalNetwork:
    r"""Analyse `W_L a(... a(W_1 x + b_1) ...) + b_L` in balls.

    With pre-activations in $v_k \pm d_k$ the slopes of layer `l` are $D_l \pm H_l$ (diagonal), and the Jacobians of the
    pre-activations $V_l = W_l \Lambda_{l-1} V_{l-1}$ differ from $C_l = W_l D_{l-1} C_{l-1}$ by

    $$ V_l - C_l = \sum_{j < l} W_l D_{l-1} \cdots W_{j+1} (\Lambda_j - D_j) V_j , \quad
       \| W \cdots (\Lambda_j - D_j) V_j \| \le \| W \cdots H_j^{1/2} \| \, \| H_j^{1/2} V_j \| , $$

    row by row for the next $d$, and in the spectral norm for the result.  Where no slope can change, the Jacobian is exact.

    Args:
        maps: of `linear_maps`.
        centre: `(n, in)`, float64.
        radius: `(n,)`.

    Returns:
        `LocalNetwork`.

    Source: inntf; slopes that can change in a ball as in Jordan and Dimakis, "Exactly computing the local Lipschitz
    constant of ReLU networks" (2020).

    Example:
        >>> import keras
        >>> from inntf.nets.linear_maps import linear_maps
        >>> dense = keras.layers.Dense(2, kernel_initializer="ones"); dense.build((None, 2))
        >>> local_network(linear_maps(dense, (2,))[0], np.zeros([1, 2]), np.ones(1)).deviation.tolist()
        [0.0]
    """
    n, size = centre.shape
    maps = [*maps, IdentityMap(np.zeros(1), None)] if maps[-1].activation is not None else list(maps)
    columns = np.broadcast_to(np.eye(size), (n, size, size))  # C transposed: (n, in, neurons)
    value, known, still = centre, _Slopes([], [], []), not radius.any()
    for index, layer in enumerate(maps):
        value = layer.image(value) + layer.bias
        columns = layer.image(columns.reshape(n * size, -1)).reshape(n, size, -1)
        if still:  # one point each: nothing moves
            rows, whole = np.zeros(columns.shape[::2]), np.zeros(n)
        else:
            rows, whole = _deviation(maps[: index + 1], known, *columns.shape[::2])
        if index == len(maps) - 1:
            break
        if still:
            low, high = slope_range(layer.activation, value, value)
            value = layer.activate(value)
            columns = columns * ((low + high) / 2)[:, None, :]
            continue
        reach = (np.linalg.norm(columns, axis=1) + rows) * radius[:, None] * (1 + _SLACK) + _SLACK * (1 + np.abs(value))
        low, high = slope_range(layer.activation, value - reach, value + reach)
        half = (high - low) / 2 + _SLACK * np.maximum(np.abs(low), np.abs(high))
        root = np.sqrt(half)
        moved = np.minimum(root.max(1) * whole, np.sqrt(np.einsum("nk,nk->n", half, rows**2)))
        known.middles.append((low + high) / 2)
        known.roots.append(root)
        known.spreads.append(norms_from_above(columns * root[:, None, :]) + moved)
        value = layer.activate(value)
        columns = columns * known.middles[-1][:, None, :]
    return LocalNetwork(value, np.swapaxes(columns, 1, 2), rows, whole)


@dataclasses.dataclass(frozen=True)
class _Slopes:
    """Of the layers so far: middles `D` and roots of half widths `H^(1/2)`, `(n, neurons)`; `|H^(1/2) V|`, `(n,)`."""

    middles: list[np.ndarray]
    roots: list[np.ndarray]
    spreads: list[np.ndarray]


def _deviation(maps: Sequence[LinearMap], known: _Slopes, n: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the Jacobian of the last map's output: of its rows, `(n, out)`, and of all of it, `(n,)`."""
    if not known.roots:
        return np.zeros([n, out]), np.zeros(n)
    if out * known.roots[-1].shape[1] <= _EXPLICIT_UP_TO:
        return _explicit(maps, known, out)
    return _by_norms(maps, known)


def _explicit(maps: Sequence[LinearMap], known: _Slopes, out: int) -> tuple[np.ndarray, np.ndarray]:
    back = maps[-1].transposed(np.eye(out))[None]  # from the output to what each activation returns
    rows = whole = 0.0
    for j in reversed(range(len(known.roots))):
        scaled = back * known.roots[j][:, None, :]
        rows = rows + np.linalg.norm(scaled, axis=2) * known.spreads[j][:, None]
        whole = whole + norms_from_above(scaled) * known.spreads[j]
        if j:
            back = back * known.middles[j][:, None, :]
            back = maps[j].transposed(back.reshape(-1, back.shape[2])).reshape(len(back), out, -1)
    return rows, whole


def _by_norms(maps: Sequence[LinearMap], known: _Slopes) -> tuple[np.ndarray, np.ndarray]:
    last = maps[-1]
    rows = np.sqrt(last.squared(known.roots[-1] ** 2)) * known.spreads[-1][:, None]
    whole = last.norm * known.roots[-1].max(1) * known.spreads[-1]
    row = np.sqrt(last.squared(known.middles[-1] ** 2))
    factor = np.abs(known.middles[-1]).max(1)
    for j in reversed(range(len(known.roots) - 1)):
        step = maps[j + 1].norm * known.roots[j].max(1) * known.spreads[j]
        rows, whole = rows + row * step[:, None], whole + last.norm * factor * step
        grow = maps[j + 1].norm * np.abs(known.middles[j]).max(1)
        row, factor = row * grow[:, None], factor * grow
    return rows, np.minimum(whole, np.sqrt((rows**2).sum(1)))
