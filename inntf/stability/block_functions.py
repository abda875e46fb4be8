"""A block at given data, as two plain functions of a batch: what every measurement here starts from."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.blocks.rescale import Rescale
from inntf.compose import Blockwise, Chain, Repeat, backprop_mode
from inntf.compose.chain import flat_blocks
from inntf.core import Block, checks, shapes
from inntf.core.refusals import marked_refusals, values_only
from inntf.stability.find_block import find_block, find_subject
from inntf.stability.traces import traced_once


@dataclasses.dataclass(frozen=True)
class BlockFunctions:
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
    def of(cls, model: Any, x: Any, condition: Any = None) -> BlockFunctions:
        """Find the block, embed the condition as its model would, build if need be, flatten data and condition."""
        block = find_block(model)
        condition = _embedded(model, condition)
        x = checks.as_tensor(block, x)
        condition = None if condition is None else checks.as_tensor(block, condition)
        if not block.built:
            block.forward_and_log_det(x, condition)
        x = checks.dtype(block, x)
        event = shapes.built_shape(block.event_shape)
        checks.event(block, x, event, True)
        ndims = len(event)
        lead = shapes.leading_shape(x, ndims)
        if condition is not None and block.condition_shape is not None:
            condition = shapes.broadcast_leading(checks.dtype(block, condition), len(block.condition_shape), lead)
        return cls(block, shapes.flatten_leading(x, ndims), condition, lead)

    def unrounded(self) -> BlockFunctions:
        """The maps behind leading blocks that round to levels (`Dequantize`), at what those make of the data.

        The inverse of such a block is a step function: it hides the error of what is behind it.
        """
        return self._behind(_rounds)

    def smooth(self) -> BlockFunctions:
        """As `unrounded`, and behind leading blocks that pad: what is left is a bijection, whose Jacobian is square."""
        return self._behind(lambda block: _rounds(block) or _pads(block))

    def _behind(self, leave_out: Callable[[Block], bool]) -> BlockFunctions:
        leading, rest = _split(self.block, leave_out)
        x = self.x
        for block in leading:
            x = block.forward_and_log_det(x, self.condition)[0]
        return dataclasses.replace(self, block=rest, x=x)

    def both(self, x: tf.Tensor, inverse: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Value and log-determinant; a batch that is a multiple of the data's repeats the condition.

        What a block would refuse by raising is NaN: a measurement counts it.
        """
        pair = self.block.inverse_and_log_det if inverse else self.block.forward_and_log_det
        with backprop_mode("stored"), marked_refusals():  # Jacobian products differentiate twice
            return pair(x, self._repeated(x))

    def compiled(self) -> BlockFunctions:
        """The same where eager loops over the blocks of a `Repeat` are slow: traced once, for batches of any size."""
        if not any(isinstance(layer, Repeat) for layer in self.block._flatten_layers()):
            return self
        return _Compiled(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def value(self, x: tf.Tensor, inverse: bool = False) -> tf.Tensor:
        """The value alone: no log-determinant is estimated."""
        with values_only():
            return self.both(x, inverse)[0]

    def forward(self, x: tf.Tensor) -> tf.Tensor:
        """Data to latent."""
        return self.value(x)

    def inverse(self, z: tf.Tensor) -> tf.Tensor:
        """Latent to data."""
        return self.value(z, inverse=True)

    def wide(self, block: Block) -> BlockFunctions:
        """The maps of the same block in float64."""
        condition = None if self.condition is None else tf.cast(self.condition, tf.float64)
        return BlockFunctions(block, tf.cast(self.x, tf.float64), condition, self.lead)

    def restore(self, per_sample: tf.Tensor) -> tf.Tensor:
        """Give a result of shape `(batch, ...)` the leading dimensions of the data."""
        return shapes.restore_leading(per_sample, self.lead)

    def _repeated(self, value: tf.Tensor) -> tf.Tensor | None:
        if self.condition is None or value.shape[0] == self.condition.shape[0]:
            return self.condition
        copies = tf.shape(value)[0] // tf.maximum(tf.shape(self.condition)[0], 1)
        return tf.tile(self.condition, [copies] + [1] * (self.condition.shape.rank - 1))


class _Compiled(BlockFunctions):
    """BlockFunctions whose functions are traced once a block, as long as its configuration stays the same."""

    def both(self, x: tf.Tensor, inverse: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        return self._traced("both", inverse)(x, self._repeated(x))

    def value(self, x: tf.Tensor, inverse: bool = False) -> tf.Tensor:
        return self._traced("value", inverse)(x, self._repeated(x))

    def _traced(self, name: str, inverse: bool) -> Callable:
        def function(block: Block, x: tf.Tensor, condition: tf.Tensor | None) -> Any:
            return getattr(BlockFunctions(block, x, condition, ()), name)(x, inverse)

        return traced_once(self.block, (name, inverse, self.condition is None), function)


_parts: weakref.WeakKeyDictionary[Block, tuple[list[Block], Chain]] = weakref.WeakKeyDictionary()  # what is behind rounding
_halves: weakref.WeakKeyDictionary[Blockwise, list[Block] | None] = weakref.WeakKeyDictionary()  # and of blocks side by side


def split_at_rounding(block: Block) -> tuple[list[Block], Block]:
    """Leading blocks of a chain that round to levels (`Dequantize`) and what comes before them, and the rest as one block.

    Of blocks side by side (`Blockwise`) each is taken apart so.

    Args:
        block: built.

    Returns:
        None and the block itself where nothing rounds.
    """
    return _split(block, _rounds)


def _split(block: Block, leave_out: Callable[[Block], bool]) -> tuple[list[Block], Block]:
    if not isinstance(block, Chain | Blockwise):
        return [], block
    blocks = []
    for inner in block if isinstance(block, Chain) else [block]:
        flat = [part for one in flat_blocks([inner]) for part in _apart(one, leave_out)]
        # A nested chain stays one, with its own way to backpropagate, unless something in it is left out.
        blocks += flat if any(leave_out(one) for one in flat) else [inner]
    last = max((i for i, part in enumerate(blocks[:-1]) if leave_out(part)), default=-1)
    if last < 0 or not all(_simple(part) for part in blocks[: last + 1]):
        return [], block
    leading, rest = blocks[: last + 1], blocks[last + 1 :]
    known = _parts.get(block)
    if known is None or list(map(id, known[0])) != list(map(id, rest)):
        way = dataclasses.asdict(block.backprop) if isinstance(block, Chain) else {"mode": "stored"}
        backprop = {"backprop": way.pop("mode"), **way}
        chain = Chain(rest, name=block.name, dtype=block.dtype_policy, **backprop)
        known = _parts[block] = rest, chain.ensure_built(shapes.built_shape(rest[0].event_shape), block.condition_shape)
    return leading, known[1]


def _apart(block: Block, leave_out: Callable[[Block], bool]) -> list[Block]:
    """A `Blockwise` that learns as two: what leads to the last rounding in each of its blocks, and what is behind."""
    if type(block) is not Blockwise or _simple(block):
        return [block]
    if block not in _halves:
        _halves[block] = None
        parts = [list(flat_blocks([part])) for part in block.blocks]
        ends = [max((i + 1 for i, one in enumerate(part) if leave_out(one)), default=0) for part in parts]
        if any(ends) and all(_simple(one) for part, end in zip(parts, ends, strict=True) for one in part[:end]):
            cut = list(zip(parts, ends, strict=True))
            halves = [part[:end] for part, end in cut], [part[end:] for part, end in cut]
            _halves[block] = [_side_by_side(half, block) for half in halves]
    return _halves[block] or [block]


def _side_by_side(parts: list[list[Block]], like: Blockwise) -> Block:
    dtype = like.dtype_policy
    blocks = [Chain(part, dtype=dtype) if part else Rescale(dtype=dtype) for part in parts]
    return Blockwise(blocks, like.columns, dtype=dtype).ensure_built(shapes.built_shape(like.event_shape), like.condition_shape)


def _rounds(block: Block) -> bool:
    return _simple(block) and not _pads(block) and not block.tags.exact_latent_round_trip


def _pads(block: Block) -> bool:
    return math.prod(shapes.known_sizes(block._x_event_shape)) != math.prod(shapes.known_sizes(block._z_event_shape))


def _simple(block: Block) -> bool:
    """Whether it holds no weights to learn: preprocessing, whose own inverse hides nothing."""
    return not block.trainable_variables


def _embedded(model: Any, condition: Any) -> Any:
    if condition is None:
        return None
    subject = find_subject(model)
    return condition if isinstance(subject, Block) else subject.embed(condition)
