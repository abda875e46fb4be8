"""A masked network evaluated entry by entry, every unit once: the sequential direction of autoregressive blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from inntf.core.straight_line import is_straight_line
from inntf.nets.masks import blocks_of_units

Choose = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class MaskedNetwork(Protocol):
    """What this module asks of a masked network: `MaskedMLP` is one."""

    dim: int
    out_channels: int
    degrees: np.ndarray
    unit_degrees: list[np.ndarray]
    features: Any
    clip: Any
    direct: bool
    residual: bool
    activation: Callable[[tf.Tensor], tf.Tensor]
    masked_kernels: Callable[[], list[tf.Tensor]]
    masked_direct_kernel: Callable[[], tf.Tensor | None]
    masked_biases: Callable[[], list[tf.Tensor]]
    first_inputs: Callable[[Any], tf.Tensor]


def run_entry_by_entry(net: MaskedNetwork, choose: Choose, given: tf.Tensor, condition: Any) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Choose the entries in their order; see `MaskedMLP.entry_by_entry`.

    Once the entry of degree $k$ is known, the units of degree $k$ have all that they see.  They are computed, layer by layer,
    and what they contribute is added to the sums of the layers above: $d$ steps together cost the products of one
    evaluation, where evaluating the network at each step would cost $d$ of them.  The loop is differentiated as
    it stands, exactly and to any order: a sum needs no stored value, so memory too is about that of one evaluation.

    Source: inntf; the order of computation that the masks of Germain et al., "MADE" (2015), allow.
    """
    dim, channels, dtype = net.dim, net.out_channels, given.dtype
    batch = tf.shape(given)[0]
    order = np.argsort(net.degrees).astype(np.int32)  # the entry of each degree
    kernels = net.masked_kernels()
    blocks = [blocks_of_units(degrees, dim) for degrees in net.unit_degrees]
    # The rows of a kernel that belong to the units of one degree, (dim, n, outputs).
    pushes = [
        tf.gather(kernel, indices) * tf.constant(counts[..., None], dtype)
        for kernel, (indices, counts) in zip(kernels[1:], blocks, strict=True)
    ]
    first = [_delayed(_rows_of_entries(net, kernels[0]), order)]
    if net.direct:
        first.append(_delayed(_rows_of_entries(net, net.masked_direct_kernel()), order))
    if net.features is not None:
        first.append(_delayed(tf.constant(net.features.is_angle[:, None], dtype), order))
    arrays = [_array(rows) for rows in (*first, *pushes, tf.transpose(tf.gather(given, order, axis=1)))]
    firsts, rests, givens = arrays[: len(first)], arrays[len(first) : -1], arrays[-1]
    indices = [tf.constant(i) for i, _ in blocks]
    places = tf.constant(order)

    starts = [net.first_inputs(condition), *net.masked_biases()[1:]]
    sums = [tf.broadcast_to(start, [batch, start.shape[-1]]) for start in starts]

    def body(k: tf.Tensor, last: tf.Tensor, sums: list[tf.Tensor], entries: Any, extras: Any) -> tuple:
        sums = list(sums)
        last = last if net.clip is None else net.clip(last[:, None])[:, 0]
        angle = None if net.features is None else firsts[-1].read(k)
        sums[0] += _pushed(last[:, None], firsts[0].read(k), angle)
        if net.direct:
            sums[-1] += _pushed(last[:, None], firsts[1].read(k), angle)
        h = None
        for i, array in enumerate(rests):
            out = net.activation(tf.gather(sums[i], indices[i][k], axis=1))
            h = h + out if i and net.residual else out
            sums[i + 1] += h @ array.read(k)
        raw = tf.gather(tf.reshape(sums[-1], [batch, dim, channels]), places[k], axis=1)
        entry, extra = choose(givens.read(k), raw)
        entry, extra = tf.ensure_shape(entry, given.shape[:1]), tf.ensure_shape(tf.cast(extra, dtype), given.shape[:1])
        return k + 1, entry, sums, entries.write(k, entry), extras.write(k, extra)

    if is_straight_line():
        state: Any = (0, tf.zeros([batch], dtype), sums, _Rows([]), _Rows([]))
        for _ in range(dim):
            state = body(*state)
        *_, entries, extras = state
    else:
        empty = [tf.TensorArray(dtype, dim, element_shape=given.shape[:1]) for _ in range(2)]
        state = (tf.constant(0), tf.zeros([batch], dtype), sums, *empty)
        *_, entries, extras = tf.while_loop(lambda k, *_: k < dim, body, state, maximum_iterations=dim)
    back = net.degrees - 1
    return tuple(
        tf.ensure_shape(tf.gather(tf.transpose(array.stack()), back, axis=1), given.shape) for array in (entries, extras)
    )


def _rows_of_entries(net: MaskedNetwork, kernel: tf.Tensor) -> tf.Tensor:
    """The row of each entry, `(dim, out)`; with angles two side by side: for the cosine (or the entry itself), and the sine."""
    if net.features is None:
        return kernel
    with_none = tf.concat([kernel, tf.zeros_like(kernel[:1])], 0)
    return tf.concat([tf.gather(with_none, rows) for rows in net.features.rows_of_entries()], 1)


def _pushed(entry: tf.Tensor, rows: tf.Tensor, angle: tf.Tensor | None) -> tf.Tensor:
    """What an entry adds to the sums it is seen by; `angle`: whether it is one, 1 or 0."""
    if angle is None:
        return entry * rows
    own, sine = tf.split(rows, 2)
    return tf.where(angle > 0, tf.cos(entry), entry) * own + tf.sin(entry) * sine  # the sine's row is zero for the others


def _delayed(kernel: tf.Tensor, order: np.ndarray) -> tf.Tensor:
    """At step `k` the row of the entry of degree `k`, chosen in the step before; none at the first step."""
    return tf.concat([tf.zeros_like(kernel[:1]), tf.gather(kernel, order[:-1])], 0)


class _Rows:
    """A `tf.TensorArray` whose places are known where it is traced."""

    def __init__(self, rows: list[tf.Tensor]):
        self._rows = rows

    def read(self, k: int) -> tf.Tensor:
        return self._rows[k]

    def write(self, k: int, row: tf.Tensor) -> _Rows:
        return _Rows([*self._rows[:k], row])

    def stack(self) -> tf.Tensor:
        return tf.stack(self._rows)


def _array(rows: tf.Tensor) -> Any:
    if is_straight_line():
        return _Rows(tf.unstack(rows, rows.shape[0]))
    # An array, not a gather: the gradient of a read adds one row, that of a gather a whole matrix, in every step.
    return tf.TensorArray(rows.dtype, rows.shape[0], element_shape=rows.shape[1:], clear_after_read=False).unstack(rows)
