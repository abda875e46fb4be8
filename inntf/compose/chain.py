"""Blocks one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.compose.composition import Composition, widest_policy
from inntf.core import Block
from inntf.core.blocks_in_turn import BlocksInTurn
from inntf.core.errors import explain


@keras.saving.register_keras_serializable("inntf")
class Chain(Composition, BlocksInTurn):
    """`forward` applies the blocks in the order given; `inverse` in the opposite order.

    `log_det` is the sum of the blocks' log-determinants; Lipschitz bounds multiply.  The condition goes to all.
    (`tfb.Chain` lists its parts the other way round.)

    Args:
        blocks: the blocks, first applied first.
        backprop, checkpoint_every, drift_tolerance, on_drift: `backprop="reversible"` trains in memory that does not grow with
            depth, `"checkpointed"` keeps the blocks' inputs only; the others guard the accuracy.  See `Composition`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`; the dtype is that of the widest block by default.

    Shapes: those of the first and the last block; `log_det`: `(batch,)`.

    Raises:
        TypeError: if a part is no `Block`; ValueError: if there is none.

    Source: inntf; change of variables for a composition.

    Example:
        >>> from inntf.blocks import ActNorm, AffineCoupling, Permutation
        >>> flow = Chain([ActNorm(), Permutation.reverse(), AffineCoupling()])
        >>> flow.forward_and_log_det(tf.ones([2, 4]))[1].shape
        TensorShape([2])
    """

    def __init__(self, blocks: Sequence[Block], **kwargs: Any):
        blocks = list(blocks)
        if not blocks:
            raise ValueError("Chain: received no block, expected at least one. An empty chain has no event shape.")
        for block in blocks:
            if not isinstance(block, Block):
                raise TypeError(
                    explain(
                        "Chain",
                        received=f"a part of type {type(block).__name__}",
                        expected="inntf blocks",
                        remedy="Compose foreign bijectors with tfb.Chain([...]), which takes inntf blocks too.",
                    )
                )
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = widest_policy(blocks)
        super().__init__(**kwargs)
        self.blocks = blocks
        self._arguments["blocks"] = self.blocks  # which may be added to
        declared = blocks[0]._event_ndims or (blocks[0].default_event_ndims if blocks[0].default_event_ndims != 1 else None)
        if self._event_ndims is None and declared is not None:
            self._event_ndims = self._forward_min_event_ndims = declared
            self._inverse_min_event_ndims = declared + self.inverse_event_ndims_offset
        self.inverse_event_ndims_offset = sum(block.inverse_event_ndims_offset for block in blocks)
        if self._event_ndims is not None:
            self._inverse_min_event_ndims = self._event_ndims + self.inverse_event_ndims_offset

    @property
    def uses_condition(self) -> bool:  # type: ignore[override]
        """Whether any block does."""
        return any(block.uses_condition for block in self.blocks)

    @property
    def takes_any_dtype(self) -> bool:
        """Whether every block does."""
        return all(block.takes_any_dtype for block in self.blocks)

    def blocks_in_turn(self) -> Sequence[Block]:
        """`blocks`."""
        return self.blocks

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the blocks in order."""
        return self._through(self.blocks, x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the blocks in the opposite order."""
        return self._through(self.blocks, z, condition, inverse=True)

    # The maps above are those of `BlocksInTurn`, whatever keeps their activations.
    linearize, jacobian_product = BlocksInTurn.linearize, BlocksInTurn.jacobian_product

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int | slice) -> Block:
        """A block, or a chain of some of them that shares their weights and backpropagates alike."""
        if not isinstance(index, slice):
            return self.blocks[index]
        way = dataclasses.asdict(self.backprop)
        part = Chain(self.blocks[index], backprop=way.pop("mode"), **way)
        event, conditions = part.blocks[0].event_shape, (block.condition_shape for block in part.blocks)
        if event is not None and all(block.built for block in part.blocks):
            part.ensure_built(event, next((shape for shape in conditions if shape is not None), None))
        return part

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


def flat_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks in the order of application, those of chains among them in place of the chains."""
    for block in blocks:
        if isinstance(block, Chain):
            yield from flat_blocks(block)
        else:
            yield block
