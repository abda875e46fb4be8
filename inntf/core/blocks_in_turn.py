"""A block made of others, applied one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.block import Block
from inntf.core.bounds import LipschitzBounds, unknown
from inntf.core.boxes import Box
from inntf.core.jacobian_products import Points, linearized_in_turn, product_in_turn
from inntf.core.local_maps import LocalMap, of_bound
from inntf.core.shapes import Shape, static
from inntf.core.tags import Tags, joined
from inntf.core.vjp import Gradients, added


class BlocksInTurn(Block):
    """`forward` applies `blocks_in_turn()` in their order, `inverse` in the opposite one; `log_det` is the sum of theirs.

    Lipschitz bounds multiply.  The condition goes to all of them.
    """

    def blocks_in_turn(self) -> Sequence[Block]:
        """The blocks, first applied first."""
        raise NotImplementedError(f"{type(self).__name__} does not define blocks_in_turn.")

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """Random if a block is, exact and affine if all are."""
        return joined(block.tags for block in self.blocks_in_turn())

    def build(self, input_shape: Shape) -> None:
        """Build the blocks in turn."""
        event = tuple(input_shape[1:])
        for block in self.blocks_in_turn():
            block.ensure_built(event, self.condition_shape)
            event = static(block._forward_event_shape(tf.TensorShape(event)))

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        for block in self.blocks_in_turn():
            shape = block._forward_event_shape(shape)
        return shape

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        for block in reversed(self.blocks_in_turn()):
            shape = block._inverse_event_shape(shape)
        return shape

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Block after block."""
        return _summed((block.forward_and_log_det for block in self.blocks_in_turn()), x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The last block first, each by its inverse."""
        return _summed((block.inverse_and_log_det for block in reversed(self.blocks_in_turn())), z, condition)

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Block after block, without log-determinants."""
        for block in self.blocks_in_turn():
            x = block.value(x, condition)
        return x

    def linearize(
        self, value: tf.Tensor, condition: tf.Tensor | None = None, inverse: bool = False
    ) -> tuple[tf.Tensor, Points]:
        """As in `Block`, block after block."""
        return linearized_in_turn(self.blocks_in_turn(), value, condition, inverse)

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`, by the chain rule."""
        return product_in_turn(self.blocks_in_turn(), points, vector, condition, inverse, transposed)

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, block by block."""
        total: Gradients = [None] * len(sources)
        for block in reversed(self.blocks_in_turn()):
            z, dz, grads = block.forward_backprop(z, dz, dlog_det, condition, sources)
            total = added(total, grads)
        return z, dz, total

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, block by block."""
        total: Gradients = [None] * len(sources)
        for block in self.blocks_in_turn():
            x, dx, grads = block.inverse_backprop(x, dx, dlog_det, condition, sources)
            total = added(total, grads)
        return x, dx, total

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Initialize each block on what the ones before it make of the data."""
        for block in self.blocks_in_turn():
            x = block.initialize(x, condition)
        return x

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """By the Lipschitz bound alone: balls follow the blocks one by one (`inntf.stability.certify`)."""
        return of_bound(self, x, radius, condition, inverse)

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """Product of the blocks' bounds; a box is carried from block to block."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        bounds = LipschitzBounds(1.0, 1.0)
        for block in self.blocks_in_turn():
            bounds = bounds.then(block.lipschitz_bounds(domain))
            domain = block.image_box(domain)
        return bounds

    def image_box(self, domain: Box | None) -> Box | None:
        """From block to block."""
        for block in self.blocks_in_turn():
            domain = block.image_box(domain)
        return domain


def _summed(methods: Iterable[Any], value: tf.Tensor, condition: Any) -> tuple[tf.Tensor, tf.Tensor]:
    log_dets = []
    for method in methods:
        value, log_det = method(value, condition)
        log_dets.append(log_det)
    return value, tf.add_n(log_dets)
