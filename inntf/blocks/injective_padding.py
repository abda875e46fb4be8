"""Injective padding: further channels that hold zeros."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, is_finite
from inntf.core.errors import explain
from inntf.core.shapes import Shape, is_open, last_size
from inntf.core.tags import Tags


@keras.saving.register_keras_serializable("inntf")
class InjectivePadding(Block):
    """`z = (x, 0)`: channels of zeros behind those of `x`, so that a classifier's features may be wider than its images.

    Injective, and an isometry onto its image; no bijection, so no block for a density.  The inverse drops the channels:
    `inverse(forward(x)) = x` exactly, and of any other `z` it is the `x` whose `forward` is nearest.  `log_det = 0` both
    ways, the logarithm of the volume factor `sqrt(det(J^T J)) = 1`.

    Args:
        channels: of `z`, at least those of `x`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`: `(batch, dim)` or `(batch, height, width, channels of x)`; `z`: the same with `channels`; `log_det`:
        `(batch,)`.

    Raises:
        ValueError: for a number that is not positive, or below the channels of `x`.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), section 5.2; Jacobsen et al., "i-RevNet" (2018).

    Example:
        >>> InjectivePadding(4)(tf.ones([1, 2])).numpy().tolist()
        [[1.0, 1.0, 0.0, 0.0]]
    """

    allowed_event_ndims = (1, 3)
    uses_condition = False

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(channels, bool) or not isinstance(channels, int | np.integer) or channels < 1:
            raise ValueError(
                explain(
                    self.name, received=f"channels={channels!r}", expected="a positive integer", remedy="Say how many in all."
                )
            )
        self.channels = int(channels)

    def build(self, input_shape: Shape) -> None:
        """No weights: note how many channels hold data."""
        self._kept = last_size(input_shape)

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """What generic checks must know: which round trips are exact."""
        return Tags(stochastic=False, exact_data_round_trip=True, exact_latent_round_trip=False)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Append zeros."""
        missing = self.channels - self._kept
        return tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, missing]]), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Drop the channels that were appended."""
        return z[..., : self._kept], tf.zeros([], z.dtype)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exactly 1 both ways."""
        return LipschitzBounds(1.0, 1.0)

    def image_box(self, domain: Box | None) -> Box | None:
        """The box, with zeros."""
        if domain is None or not self.built:
            return None
        if is_open(self._x_event_shape) or not is_finite(domain):
            return EVERYWHERE
        low, high = broadcast_box(domain, self._x_event_shape, self.name)
        width = [(0, 0)] * (low.ndim - 1) + [(0, self.channels - self._kept)]
        return np.pad(low, width), np.pad(high, width)

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        given = shape[-1]
        if given is not None and given > self.channels:
            raise ValueError(
                explain(
                    self.name,
                    received=f"{given} channels, to be padded to {self.channels}",
                    expected="no more than there shall be",
                    remedy=f"Ask for {given} channels or more.",
                )
            )
        return tf.TensorShape([*shape[:-1], self.channels])

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        if not self.built:
            raise ValueError(
                explain(
                    f"{self.name} (inverse)",
                    received="a latent before any data",
                    expected="to know how many channels hold data",
                    remedy="Call forward first, or ensure_built(event_shape).",
                )
            )
        return tf.TensorShape([*shape[:-1], self._kept])
