"""Blocks side by side, each on entries of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.compose.composition import widest_policy
from inntf.compose.side_by_side import bounds_beside, box_beside, maps_beside
from inntf.core import Block, LipschitzBounds, initialization
from inntf.core.bounds import unknown
from inntf.core.boxes import Box, broadcast_box
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, static
from inntf.core.tags import Tags, joined
from inntf.core.vjp import Gradients, added
from inntf.numerics.permuted import permuted


@keras.saving.register_keras_serializable("inntf")
class Blockwise(Block):
    """Each block acts on its own entries of a vector: `z[columns_i] = blocks_i(x[columns_i])`.

    `log_det` is the sum of the blocks' log-determinants, the Jacobian is block-diagonal, so Lipschitz bounds are the largest of
    the blocks' (each on its part of a box).  The condition goes to all.

    Args:
        blocks: the blocks; each keeps the number of its entries.
        columns: for each block the entries it acts on, an integer or several in the order in which the block gets them; every
            entry belongs to one block.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`; the dtype is that of the widest block by default.

    Shapes: `x`, `z`: `(batch, dim)`, `dim` the number of all columns; block `i` gets `(batch, len(columns_i))`; `log_det`:
    `(batch,)`.

    Raises:
        TypeError: if a part is no `Block`; ValueError: if there is none, if `columns` do not name every entry once, for events
            of another size, or for a block that changes the number of its entries.

    Source: inntf; change of variables with a block-diagonal Jacobian.

    Example:
        >>> from inntf.blocks import Bounded, Rescale
        >>> block = Blockwise([Bounded(0.0), Rescale(2.0)], columns=[1, [0, 2]])
        >>> block(tf.constant([[3.0, 1.0, 4.0]])).numpy().tolist()
        [[6.0, 0.0, 8.0]]
    """

    allowed_event_ndims = (1,)

    def __init__(self, blocks: Sequence[Block], columns: Sequence[int | Sequence[int]], **kwargs: Any):
        blocks = _checked_blocks(blocks)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = widest_policy(blocks)
        super().__init__(**kwargs)
        places = _checked_columns(self.name, columns, len(blocks))
        self._arguments.update(columns=[list(part) for part in places])
        self.blocks = blocks
        self._arguments["blocks"] = self.blocks  # which may be added to
        object.__setattr__(self, "columns", places)
        order = np.concatenate([np.asarray(part, np.int32) for part in places])
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_in_order", bool((order == np.arange(len(order))).all()))

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """Random if a block is, exact and affine if all are."""
        return joined(block.tags for block in self.blocks)

    @property
    def uses_condition(self) -> bool:  # type: ignore[override]
        """Whether any block does."""
        return any(block.uses_condition for block in self.blocks)

    @property
    def takes_any_dtype(self) -> bool:
        """Whether every block does."""
        return all(block.takes_any_dtype for block in self.blocks)

    def build(self, input_shape: Shape) -> None:
        """Build each block for its entries."""
        if input_shape[-1] != len(self._order):
            raise ValueError(
                explain(
                    self.name,
                    received=f"events of {input_shape[-1]} entries",
                    expected=f"{len(self._order)}, the columns that the blocks share out",
                    remedy="Give every column a block, Rescale() where it is to stay as it is.",
                )
            )
        for block, part in zip(self.blocks, self.columns, strict=True):
            block.ensure_built((len(part),), self.condition_shape)
            latent = static(block._z_event_shape)
            if latent != (len(part),):
                received = f"{block.name} ({type(block).__name__}), which makes {latent} of {len(part)} entries"
                raise ValueError(explain(self.name, received=received, expected="blocks that keep the number of entries"))

    # ---- values -------------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Each block on its entries."""
        return self._pair([block.forward_and_log_det for block in self.blocks], x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Each block's inverse on its entries."""
        return self._pair([block.inverse_and_log_det for block in self.blocks], z, condition)

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Without log-determinants."""
        return self._each([block.value for block in self.blocks], x, condition)

    def inverse_value(self, z: Any, condition: Any = None) -> tf.Tensor:
        """Without log-determinants."""
        return self._each([block.inverse_value for block in self.blocks], z, condition)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Initialize each block on its entries; what one takes for rounding says nothing of the others'."""
        process, found = initialization.current(), []
        before = process.noise

        def start(block: Block, part: tf.Tensor) -> tf.Tensor:
            process.noise = before
            out = block.initialize(part, condition)
            found.append(process.noise)
            return out

        parts = [start(block, part) for block, part in zip(self.blocks, self._parts(x), strict=True)]
        process.noise = tf.reduce_max([tf.cast(noise, tf.float64) for noise in found])
        return self._joined(parts)

    def _pair(self, methods: Sequence[Callable], value: tf.Tensor, condition: Any) -> tuple[tf.Tensor, tf.Tensor]:
        pairs = [method(part, condition) for method, part in zip(methods, self._parts(value), strict=True)]
        return self._joined([out for out, _ in pairs]), tf.add_n([log_det for _, log_det in pairs])

    def _each(self, methods: Sequence[Callable], value: tf.Tensor, *rest: Any) -> tf.Tensor:
        return self._joined([method(part, *rest) for method, part in zip(methods, self._parts(value), strict=True)])

    def _parts(self, value: tf.Tensor) -> list[tf.Tensor]:
        moved = value if self._in_order else permuted(value, self._order)
        return tf.split(moved, [len(part) for part in self.columns], axis=-1)

    def _joined(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        joined = tf.concat(parts, -1)
        return joined if self._in_order else permuted(joined, np.argsort(self._order))

    # ---- derivatives --------------------------------------------------------------------------------------------

    def linearize(self, value: Any, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`, block beside block."""
        found = [b.linearize(part, condition, inverse) for b, part in zip(self.blocks, self._parts(value), strict=True)]
        return self._joined([out for out, _ in found]), [points for _, points in found]

    def jacobian_product(
        self, points: Points, vector: Any, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`: the Jacobian is block-diagonal."""
        parts = zip(self.blocks, points, self._parts(vector), strict=True)
        return self._joined([b.jacobian_product(at, part, condition, inverse, transposed) for b, at, part in parts])

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, block beside block."""
        return self._backprop([b.forward_backprop for b in self.blocks], z, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, block beside block."""
        return self._backprop([b.inverse_backprop for b in self.blocks], x, dx, dlog_det, condition, sources)

    def _backprop(
        self, methods: Sequence[Callable], value: tf.Tensor, signal: tf.Tensor, dlog_det: tf.Tensor, *rest: Any
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        steps = zip(methods, self._parts(value), self._parts(signal), strict=True)
        found = [method(part, back, dlog_det, *rest) for method, part, back in steps]
        total = functools.reduce(added, [grads for *_, grads in found])
        return self._joined([one[0] for one in found]), self._joined([one[1] for one in found]), total

    # ---- bounds -------------------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """The largest of the blocks', each on its part of the box."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        return bounds_beside([b.lipschitz_bounds(box) for b, box in zip(self.blocks, self.boxes(domain), strict=True)])

    def image_box(self, domain: Box | None) -> Box | None:
        """The blocks' images, side by side."""
        if domain is None or not self.built:
            return None
        return box_beside([b.image_box(box) for b, box in zip(self.blocks, self.boxes(domain), strict=True)], self.columns)

    def boxes(self, domain: Box | None) -> list[Box | None]:
        """The part of a box that each block gets."""
        if domain is None:
            return [None] * len(self.blocks)
        low, high = broadcast_box(domain, (len(self._order),), self.name)
        return [(low[list(part)], high[list(part)]) for part in self.columns]

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: in a ball of all, what holds in the ball of each part, of the same radius."""
        given = zip(self.blocks, self.columns, strict=True)
        return maps_beside([b.local_map(x[:, list(part)], radius, condition, inverse) for b, part in given], self.columns)


def _checked_blocks(blocks: Any) -> list[Block]:
    blocks = list(blocks) if isinstance(blocks, list | tuple) else [blocks]
    if not blocks:
        raise ValueError("Blockwise: received no block, expected at least one. Give each group of columns a block.")
    for block in blocks:
        if not isinstance(block, Block):
            received, remedy = f"a part of type {type(block).__name__}", "See inntf.blocks; Rescale() changes nothing."
            raise TypeError(explain("Blockwise", received=received, expected="inntf blocks", remedy=remedy))
    return blocks


def _checked_columns(owner: str, columns: Any, count: int) -> tuple[tuple[int, ...], ...]:
    expected = f"for each of {count} blocks an integer or several, every entry from 0 on exactly once"
    remedy = "Number the entries of an event from 0; Blockwise([a, b], columns=[0, [1, 2]]) shares three out."
    try:
        places = []
        for part in columns:
            numbers = np.asarray(part)
            if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or not numbers.size:
                raise TypeError
            places.append(tuple(int(number) for number in np.atleast_1d(numbers)))
        named = sorted(number for part in places for number in part)
        fits = len(places) == count and named == list(range(len(named)))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(explain(owner, received=f"columns={columns!r}", expected=expected, remedy=remedy))
    return tuple(places)
