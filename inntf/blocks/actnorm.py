"""Activation normalization: a learned shift and scale per channel."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.shapes import Shape
from inntf.numerics.upper_bounds import upper_exp


@keras.saving.register_keras_serializable("inntf")
class ActNorm(Block):
    """`z = (x + shift) * exp(log_scale)`, one shift and one scale per channel.

    `log_det = pixels * sum(log_scale)`.  The weights start as the identity.  `initialize(x)` sets them so that the
    outputs of that batch have mean 0 and variance 1 per channel; it is explicit and may be repeated.  A constant
    channel, or a batch of one vector, has no variance to divide by: the variance is floored, so the scale stays at
    most `1/sqrt(variance_floor)` and nothing becomes NaN.

    Args:
        max_log_scale: bound on `|log_scale|`; the stored weight passes through `m * tanh(w / m)`.  `None`: unbounded.
        variance_floor: smallest variance that `initialize` divides by, relative to 1.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a bound or a floor that is not positive.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.1; bounds: "On the Invertibility of Invertible Neural Networks",
    Table 1 (diagonal scaling).

    Example:
        >>> block = ActNorm(); x = 3.0 + 2.0 * tf.random.normal([100, 2])
        >>> float(tf.abs(tf.reduce_mean(block.initialize(x)))) < 1e-4
        True
    """

    allowed_event_ndims = (1, 3)
    uses_condition = False

    def __init__(self, *, max_log_scale: float | None = None, variance_floor: float = 1e-4, **kwargs: Any):
        super().__init__(**kwargs)
        for key, value in (("max_log_scale", max_log_scale), ("variance_floor", variance_floor)):
            if value is not None and not value > 0:
                raise ValueError(f"ActNorm: received {key}={value}, expected a positive number. Leave it out for the default.")
        self.max_log_scale, self.variance_floor = max_log_scale, variance_floor

    def build(self, input_shape: Shape) -> None:
        """Shift and log-scale, both zero."""
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")
        self.raw_log_scale = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="log_scale")

    @property
    def log_scale(self) -> tf.Tensor:
        """The log-scale in use, `(channels,)`."""
        raw = tf.convert_to_tensor(self.raw_log_scale)
        return raw if self.max_log_scale is None else self.max_log_scale * tf.tanh(raw / self.max_log_scale)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Shift, then scale."""
        log_scale = tf.cast(self.log_scale, x.dtype)
        z = (x + tf.cast(tf.convert_to_tensor(self.shift), x.dtype)) * tf.exp(log_scale)
        return z, pixels(x) * tf.reduce_sum(log_scale)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the scale, then the shift."""
        log_scale = tf.cast(self.log_scale, z.dtype)
        x = z * tf.exp(-log_scale) - tf.cast(tf.convert_to_tensor(self.shift), z.dtype)
        return x, -pixels(z) * tf.reduce_sum(log_scale)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Set shift and scale from a batch; returns `forward(x)` with them.

        Raises:
            ValueError: in eager mode, if the batch is empty or holds NaN or infinity; the weights are kept.
        """
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(tf.cast(x, tf.float64), axes)
        if tf.executing_eagerly() and not bool(tf.reduce_all(tf.math.is_finite(variance))):
            raise ValueError(
                f"{self.name}.initialize: received an empty batch, NaN or infinity, expected finite data. The weights were "
                "left as they are; clean the data and call it again."
            )
        log_scale = -0.5 * tf.math.log(tf.maximum(variance, self.variance_floor))
        if self.max_log_scale is not None:
            # atanh of the target, kept clear of the end of the range.
            log_scale = self.max_log_scale * tf.math.atanh(tf.clip_by_value(log_scale / self.max_log_scale, -0.99, 0.99))
        self.shift.assign(tf.cast(-mean, self.shift.dtype))
        self.raw_log_scale.assign(tf.cast(log_scale, self.raw_log_scale.dtype))
        return self.forward_and_log_det(x)[0]

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact: `max exp(log_scale)` and `max exp(-log_scale)`, everywhere."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        log_scale = keras.ops.convert_to_numpy(self.log_scale).astype("float64")
        return LipschitzBounds(upper_exp(log_scale.max()), upper_exp(-log_scale.min()))


def pixels(x: tf.Tensor) -> tf.Tensor:
    """Number of positions that share a channel's weights: `height * width` of an image, 1 for a vector, as a scalar."""
    shape = x.shape[1:-1]
    if shape.is_fully_defined():
        return tf.constant(shape.num_elements(), x.dtype)
    return tf.cast(tf.reduce_prod(tf.shape(x)[1:-1]), x.dtype)
