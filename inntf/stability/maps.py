"""A block at given data, as two plain functions of a batch: what every measurement here starts from."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from inntf.compose import Chain, backprop_mode
from inntf.core import Block, checks, shapes
from inntf.stability.find_block import find_block, find_subject


@dataclasses.dataclass(frozen=True)
class Maps:
    """`forward` and `inverse` of a block with its condition bound, and the data in one batch dimension.

    Both functions call `forward_and_log_det` / `inverse_and_log_det`, so TFP's cache, which remembers `x` for every `z`
    that it made, cannot answer in the inverse's place.

    Attributes:
        block: the block, built.
        x: `(batch, ...)`, data in the block's dtype, leading dimensions merged.
        condition: `(batch, ...)` or `None`.
        lead: the leading dimensions that `x` came with.
    """

    block: Block
    x: tf.Tensor
    condition: tf.Tensor | None
    lead: tf.Tensor | shapes.Shape

    @classmethod
    def of(cls, model: Any, x: Any, condition: Any = None) -> Maps:
        """Find the block, embed the condition as its model would, build if need be, flatten data and condition."""
        block = find_block(model)
        condition = _embedded(model, condition)
        x = checks.as_tensor(block, x)
        condition = None if condition is None else checks.as_tensor(block, condition)
        if not block.built:
            block.forward_and_log_det(x, condition)
        x = checks.dtype(block, x)
        checks.event(block, x, block.event_shape, True)
        ndims = len(block.event_shape)
        lead = shapes.leading_shape(x, ndims)
        if condition is not None and block.condition_shape is not None:
            condition = shapes.broadcast_leading(checks.dtype(block, condition), len(block.condition_shape), lead)
        return cls(block, shapes.flatten_leading(x, ndims), condition, lead)

    def smooth(self) -> Maps:
        """The maps without leading blocks that round to levels (`Dequantize`), at what those make of the data.

        Such a block is no bijection: its inverse is a step function, and a Jacobian says nothing.
        """
        block, x = self.block, self.x
        while isinstance(block, Chain) and len(block) > 1 and _rounds(block.blocks[0]):
            x = block.blocks[0].forward_and_log_det(x)[0]
            block = block[1:].ensure_built(block.blocks[1].event_shape, block.condition_shape)
        return dataclasses.replace(self, block=block, x=x)

    def forward(self, x: tf.Tensor) -> tf.Tensor:
        """Data to latent; a batch that is a multiple of the data's repeats the condition."""
        with backprop_mode("stored"):  # Jacobian products differentiate twice
            return self.block.forward_and_log_det(x, self._repeated(x))[0]

    def inverse(self, z: tf.Tensor) -> tf.Tensor:
        """Latent to data."""
        with backprop_mode("stored"):
            return self.block.inverse_and_log_det(z, self._repeated(z))[0]

    def restore(self, per_sample: tf.Tensor) -> tf.Tensor:
        """Give a result of shape `(batch, ...)` the leading dimensions of the data."""
        return shapes.restore_leading(per_sample, self.lead)

    def _repeated(self, value: tf.Tensor) -> tf.Tensor | None:
        if self.condition is None or value.shape[0] == self.condition.shape[0]:
            return self.condition
        copies = tf.shape(value)[0] // tf.maximum(tf.shape(self.condition)[0], 1)
        return tf.tile(self.condition, [copies] + [1] * (self.condition.shape.rank - 1))


def _rounds(block: Block) -> bool:
    return not getattr(block, "tags", {}).get("exact_latent_round_trip", True)


def _embedded(model: Any, condition: Any) -> Any:
    if condition is None:
        return None
    subject = find_subject(model)
    return condition if isinstance(subject, Block) else subject.embed(condition)
