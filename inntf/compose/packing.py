"""The weights of one block as a few flat rows, so that a loop reads one array and not one a weight."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

_LARGE = 8192  # entries of a weight from which on a copy costs more than a read of its own


class Packing:
    """Groups variables of one dtype and role; a group's slices for one block are one row of a matrix.

    Large ones are groups of their own: no copy is made of their stacks.

    Args:
        variables: the variables of one block.
        weights: which of them gradients are wanted for.
        states: which of them a layer may update as it computes.
        apart: a group for each variable: more reads in a loop, but its stack is used as it is and no copy is made of it.
    """

    def __init__(
        self, variables: Sequence[keras.Variable], weights: Sequence[bool], states: Sequence[bool], apart: bool = False
    ):
        self.shapes = [tuple(v.shape) for v in variables]
        self.sizes = [tf.TensorShape(shape).num_elements() for shape in self.shapes]
        groups: dict[tuple, list[int]] = {}
        for j, variable in enumerate(variables):
            role = "weights" if weights[j] else "states" if states[j] else "fixed"
            groups.setdefault((role, variable._dtype, j if apart or self.sizes[j] >= _LARGE else None), []).append(j)
        self.groups = list(groups.values())
        self.roles = [role for role, *_ in groups]
        self.dtypes = [tf.as_dtype(dtype) for _, dtype, _ in groups]
        self.widths = [sum(self.sizes[j] for j in group) for group in self.groups]

    def pack(self, stacks: Sequence[tf.Tensor], n: int) -> list[tf.Tensor]:
        """One matrix `(n, width)` a group."""
        return [_joined([tf.reshape(stacks[j], [n, self.sizes[j]]) for j in group], 1) for group in self.groups]

    def unpack(self, rows: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The slices of one block, in the order of its variables."""
        out: list[tf.Tensor] = [None] * len(self.shapes)
        for row, group in zip(rows, self.groups, strict=True):
            for j, flat in zip(group, self._parted(row, group, 0), strict=True):
                out[j] = tf.reshape(flat, self.shapes[j])
        return out

    def row(self, g: int, slices: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """One row of group `g` from the slices of all variables; `None` counts as zero."""
        flat = [
            tf.zeros([self.sizes[j]], self.dtypes[g]) if slices[j] is None else tf.reshape(slices[j], [self.sizes[j]])
            for j in self.groups[g]
        ]
        return _joined(flat, 0)

    def unstack(self, g: int, matrix: tf.Tensor) -> dict[int, tf.Tensor]:
        """The stacks of group `g` by variable, from `(n, width)`."""
        group, n = self.groups[g], matrix.shape[0]
        parts = self._parted(matrix, group, 1)
        return {j: tf.reshape(part, [n, *self.shapes[j]]) for j, part in zip(group, parts, strict=True)}

    def _parted(self, joined: tf.Tensor, group: list[int], axis: int) -> list[tf.Tensor]:
        return [joined] if len(group) == 1 else tf.split(joined, [self.sizes[j] for j in group], axis)


def _joined(parts: list[tf.Tensor], axis: int) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)
