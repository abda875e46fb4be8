"""A block in the other direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box
from inntf.core.errors import explain
from inntf.core.jacobian_products import Points
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, static
from inntf.core.tags import Tags, exchanged
from inntf.core.vjp import Gradients


@keras.saving.register_keras_serializable("inntf")
class Invert(Block):
    """`forward` is the `inverse` of another block, and `inverse` its `forward`; weights are shared with it.

    Unlike `tfb.Invert` it is a block: it goes into a `Chain`, has certified bounds and is saved with it.  What the other block
    knows of a box is known of its data only, so bounds are global.  A data-dependent initialization passes it by: it would
    have to be that of the other side.

    Args:
        block: the block.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`; the dtype is that of the block by default.

    Shapes: `x`: of the latent of `block`; `z`: of its data; `log_det`: `(batch,)`.

    Raises:
        TypeError: if it is no `Block`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Haar
        >>> Invert(Haar())(tf.ones([1, 2, 2, 4])).shape
        TensorShape([1, 4, 4, 1])
    """

    def __init__(self, block: Block, **kwargs: Any):
        if not isinstance(block, Block):
            raise TypeError(explain("Invert", received=type(block).__name__, expected="an inntf block"))
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = block.dtype_policy
        declared = block._event_ndims or (block.default_event_ndims if block.default_event_ndims != 1 else None)
        if kwargs.get("event_ndims") is None and declared is not None:
            kwargs["event_ndims"] = declared + block.inverse_event_ndims_offset
        super().__init__(**kwargs)
        self.block = block
        self.inverse_event_ndims_offset = -block.inverse_event_ndims_offset
        self._inverse_min_event_ndims = self._forward_min_event_ndims + self.inverse_event_ndims_offset

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """Those of the block, the round trips exchanged."""
        return exchanged(self.block.tags)

    @property
    def uses_condition(self) -> bool:  # type: ignore[override]
        """Whether the block does."""
        return self.block.uses_condition

    @property
    def takes_any_dtype(self) -> bool:
        """Whether the block does."""
        return self.block.takes_any_dtype

    def build(self, input_shape: Shape) -> None:
        """Build the block for the data that have such latents."""
        event = static(self.block._inverse_event_shape(tf.TensorShape(input_shape[1:])))
        self.block.ensure_built(event, self.condition_shape)

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self.block._inverse_event_shape(shape)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self.block._forward_event_shape(shape)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`inverse_and_log_det` of the block."""
        return self.block.inverse_and_log_det(x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`forward_and_log_det` of the block."""
        return self.block.forward_and_log_det(z, condition)

    def linearize(
        self, value: tf.Tensor, condition: tf.Tensor | None = None, inverse: bool = False
    ) -> tuple[tf.Tensor, Points]:
        """As in `Block`."""
        return self.block.linearize(value, condition, not inverse)

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`."""
        return self.block.jacobian_product(points, vector, condition, not inverse, transposed)

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`."""
        return self.block.inverse_backprop(z, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`."""
        return self.block.forward_backprop(x, dx, dlog_det, condition, sources)

    def waits_for_data(self) -> bool:
        """Never: no data reach the block on their way forward."""
        return False

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """Those of the block for all inputs, exchanged."""
        of = self.block.lipschitz_bounds()
        return LipschitzBounds(of.inverse, of.forward, of.scope, of.reason)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """That of the block in the other direction."""
        return self.block.local_map(x, radius, condition, not inverse)
