"""The coupling in balls: its Jacobian at the centres, and how far it can be elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks.entries_local import entries_in_balls
from inntf.core.local_maps import LocalMap
from inntf.nets.conditioning import merge_condition
from inntf.nets.linear_maps import linear_maps
from inntf.nets.local_network import local_network


def coupling_in_balls(block: Any, x: np.ndarray, radius: np.ndarray, condition: Any, inverse: bool) -> LocalMap | str:
    r"""$[[I, 0], [A, S]]$ with $A = \sum_k \mathrm{diag}(\partial_k T) V_k$ and $S = \mathrm{diag}(\partial_u T)$.

    The derivatives of `T` and the Jacobian `V` of the conditioner,
    which gives the parameters `p`, vary in the ball within known ranges.

    Args:
        block: a `Coupling`, built, in float64.
        x: centres, `(n, *event)`; of `z` if `inverse`.
        radius: `(n,)`.
        condition: one for each centre, or `None`.
        inverse: of the inverse map.

    Returns:
        A `LocalMap`; or, in words, what is not known of the conditioner.

    Source: inntf.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> block = AdditiveCoupling(dtype="float64").ensure_built((4,))
        >>> coupling_in_balls(block, np.zeros([1, 4]), np.ones(1), None, False).deviation.tolist()[0] < 1e-9
        True
    """
    event, n = x.shape[1:], len(x)
    identity, entries = block.split.part(tf.constant(x, tf.float64))
    seen = merge_condition(block, block.split.view(identity), condition)
    maps, unknown = linear_maps(block.conditioner, tuple(seen.shape[1:]))
    if unknown:
        return unknown
    expected = block.conditioner(seen)
    places = _Places(block, event, seen, expected)
    net = local_network([*maps, *block.constraint_maps(places.raw)], seen.numpy().reshape(n, -1), radius)
    raw = block.constrain(block.split.parameters(expected))
    if not close_where_finite(net.value[:, np.concatenate(places.raw)], _by_parameter(block, raw, entries)):
        return f"{block.conditioner.name} computes something else than its layers in turn"
    found = entries_in_balls(block.transformer, entries.numpy().reshape(n, -1), net, places.raw, radius, inverse)
    if not np.isfinite(found.deviation).any():
        return f"{block.name}: the derivatives of {type(block.transformer).__name__} have no known range there"

    size = math.prod(event)
    jacobian = np.zeros([n, size, size])
    jacobian[:, places.identity, places.identity] = 1.0
    jacobian[:, places.entries, places.entries] = found.own
    shown = net.jacobian[:, :, places.columns]
    below = sum(m[:, :, None] * shown[:, k] for m, k in zip(found.by_raw, places.raw, strict=True))
    jacobian[:, places.entries[:, None], places.sources[None]] = below
    way = block.untransform if inverse else block.transform
    moved = way(entries, raw)[0]
    value = block.split.join(identity, moved).numpy()
    return LocalMap(value, jacobian, found.deviation)


def close_where_finite(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two evaluations of a network, `(n, out)`, agree at every sample where both are finite."""
    whole = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    return np.allclose(a[whole], b[whole], rtol=1e-6, atol=1e-9)


class _Places:
    """Where the parts of an event and the conditioner's inputs and outputs stand, as flat indices.

    Attributes:
        identity, entries: of the two parts in the event.
        sources, columns: entries of the event that the conditioner sees, and its inputs that show them.
        raw: the conditioner's outputs for each parameter, entry by entry.
    """

    def __init__(self, block: Any, event: tuple[int, ...], seen: tf.Tensor, out: tf.Tensor):
        numbered = tf.reshape(tf.range(1, math.prod(event) + 1, dtype=tf.float64), [1, *event])  # 0 stands for nothing
        identity, entries = block.split.part(numbered)
        self.identity, self.entries = (_flat(part) - 1 for part in (identity, entries))
        view = block.split.view(identity)
        shown = tf.concat([view, tf.zeros([1, *view.shape[1:-1], seen.shape[-1] - view.shape[-1]], tf.float64)], -1)
        self.columns = np.flatnonzero(_flat(shown))
        self.sources = _flat(shown)[self.columns] - 1
        outputs = tf.reshape(tf.range(math.prod(out.shape[1:]), dtype=tf.float64), [1, *out.shape[1:]])
        self.raw = [part[0].astype(np.int64) for part in _parameters(block, block.split.parameters(outputs), entries)]


def _parameters(block: Any, raw: tf.Tensor, entries: tf.Tensor) -> list[np.ndarray]:
    """Those of each kind, `(n, m)`."""
    raw = block.transformer.from_channels(raw, entries)
    parts = raw if isinstance(raw, tuple) else tf.unstack(raw, axis=-1)
    return [part.numpy().reshape(len(part), -1) for part in parts]


def _by_parameter(block: Any, raw: tf.Tensor, entries: tf.Tensor) -> np.ndarray:
    return np.concatenate(_parameters(block, raw, entries), 1)


def _flat(values: tf.Tensor) -> np.ndarray:
    return values.numpy().reshape(-1).astype(np.int64)
