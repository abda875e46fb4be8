"""The last secants of an iteration, one set per sample: orthonormal changes of the residual, and the moves that made them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_FULL_MEMORY, _MEMORY = 64, 10  # as many secants as dimensions up to the first, else the second
_SMALL = 512  # numbers of one sample's secants up to which samples lie side by side

Pair = tuple[tf.Tensor, tf.Tensor]


class Secants:
    """`slots` secants of values `(batch, size)`; moves and changes are tensors of one layout that only this class reads.

    Small ones are kept as `(slots, size, batch)`, so that a contraction is element-wise over samples: a matrix product for
    each sample costs five times as much there.  Large ones are kept as `(batch, slots, size)`.

    Args:
        slots: number of secants; 0 keeps none.
        batch: number of samples, a scalar tensor.
        known_batch: the same where it is known statically, else `None`.
        size: entries of a value; `None` where it is not known statically.
        entries: the same as a tensor.
        dtype: of the values.
    """

    def __init__(
        self, slots: int, batch: tf.Tensor, known_batch: int | None, size: int | None, entries: tf.Tensor, dtype: tf.DType
    ):
        self.slots, self._batch, self._known, self._size, self._entries = slots, batch, known_batch, size, entries
        self._dtype = dtype
        self._side_by_side = size is not None and slots * size <= _SMALL

    @staticmethod
    def count(memory: int | None, size: int | None) -> int:
        """How many to keep: `memory`, by default as many as dimensions up to 64 and 10 beyond, and never more than those."""
        if memory is None:
            memory = _MEMORY if size is None or size > _FULL_MEMORY else size
        return memory if size is None else min(memory, size)

    def none(self) -> tf.Tensor:
        """Moves or changes before the first secant."""
        if self._side_by_side:
            return tf.ensure_shape(tf.zeros([self.slots, self._size, self._batch], self._dtype), self._static)
        return tf.ensure_shape(tf.zeros([self._batch, self.slots, self._entries], self._dtype), self._static)

    def remembered(self, kept: Pair, move: tf.Tensor, change: tf.Tensor, slot: tf.Tensor, good: tf.Tensor) -> Pair:
        """Moves and changes with a new secant in place of the oldest, its change orthogonal to the others and of norm 1.

        Args:
            kept: moves and changes.
            move: of the new secant, `(batch, size)`.
            change: of the new secant, `(batch, size)`.
            slot: of the oldest.
            good: `(batch,)`; where it is false all are forgotten.
        """
        eps = float(np.finfo(self._dtype.as_numpy_dtype).eps)
        place = tf.one_hot(slot, self.slots, on_value=True, off_value=False, dtype=tf.bool)
        place = place[:, None, None] if self._side_by_side else place[None, :, None]
        moves, changes = (tf.where(place, tf.zeros_like(k), k) for k in kept)
        if self._side_by_side:
            move, change = tf.transpose(move), tf.transpose(change)
        axis = 0 if self._side_by_side else 1
        before = tf.norm(change, axis=axis, keepdims=True)
        for _ in range(2):  # Gram-Schmidt; twice is enough
            weights = self._products(changes, change)
            change -= self._combined(weights, changes)
            move -= self._combined(weights, moves)
        norm = tf.norm(change, axis=axis, keepdims=True)
        # What is left of a change that lay among the others is rounding: it would point anywhere.
        keep = norm > np.sqrt(eps) * before
        scale = tf.where(keep, 1 / tf.where(keep, norm, tf.ones_like(norm)), tf.zeros_like(norm))
        stay = good[None, None] if self._side_by_side else good[:, None, None]
        new = tf.expand_dims(move * scale, axis), tf.expand_dims(change * scale, axis)
        moves, changes = (
            tf.where(stay, tf.where(place, n, k), tf.zeros_like(k)) for n, k in zip(new, (moves, changes), strict=True)
        )
        return moves, changes

    def correction(self, kept: Pair, residual: tf.Tensor) -> tf.Tensor:
        """What Anderson's step has less than the plain one, `(batch, size)`: where the residual is smallest by the secants."""
        moves, changes = kept
        if self._side_by_side:
            residual = tf.transpose(residual)
            return tf.transpose(self._combined(self._products(changes, residual), moves + changes))
        return self._combined(self._products(changes, residual), moves + changes)

    @property
    def _static(self) -> list[int | None]:
        return [self.slots, self._size, self._known] if self._side_by_side else [self._known, self.slots, self._size]

    def _products(self, changes: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        if self._side_by_side:
            return tf.reduce_sum(changes * value, 1)
        return tf.einsum("bmn,bn->bm", changes, value)

    def _combined(self, weights: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        if self._side_by_side:
            return tf.reduce_sum(vectors * weights[:, None], 0)
        return tf.einsum("bm,bmn->bn", weights, vectors)
