"""Activation normalization: a learned shift and scale per channel."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block, LipschitzBounds, initialization
from inntf.core.bounds import unknown
from inntf.core.shapes import Shape, pixels
from inntf.core.tags import Tags
from inntf.core.upper_bounds import upper_exp
from inntf.core.weights import read
from inntf.core.whole_batch import whole_batch
from inntf.numerics.transformers.scales import Scale

_FEWEST = 4  # values per channel: of fewer the spread says nothing
_UNITS = 4.0  # in the last place
_SMALL_NOISE = 0.05  # what was left larger than this is not told from channels that were normalized


@keras.saving.register_keras_serializable("inntf")
class ActNorm(Block):
    """`z = (x + shift) * exp(log_scale)`, one shift and one scale per channel; or `(x + shift) * scale(raw)`.

    `log_det = pixels * sum(log_scale)`.  The weights start as the identity (or as the scale at zero).  `initialize(x)` sets
    them so that the outputs of that batch have mean 0 and variance 1 per channel; it is explicit and may be repeated.

    A channel without a variance of its own is shifted to its mean and never blown up, `log_scale <= 0`: a constant one, one
    whose standard deviation is no more than four units in the last place of its largest entry (rounding, in the precision
    in which the data come; later ActNorms of the same `initialize` know it again), and all channels of a batch of fewer
    than four values per channel.  Any other spread counts, however small.

    Args:
        max_log_scale: bound on `|log_scale|`; the stored weight passes through `m * tanh(w / m)`.  `None`: unbounded.
        variance_floor: smallest variance that `initialize` divides by, relative to 1, for channels whose spread means little;
            `None`: each by its own.
        scale: a `Scale` in place of the exponential, such as `SoftplusScale()` or `SigmoidScale()`: a global scale of the same
            kind as in couplings, within its range.  `initialize` finds the raw numbers, up to 1 % from the ends.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a bound or a floor that is not positive, or a scale beside a bound; TypeError: if `scale` is no `Scale`.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.1; bounds: "On the Invertibility of Invertible Neural Networks",
    Table 1 (diagonal scaling).

    Example:
        >>> block = ActNorm(); x = 3.0 + 2.0 * tf.random.normal([100, 2])
        >>> float(tf.abs(tf.reduce_mean(block.initialize(x)))) < 1e-4
        True
    """

    tags = Tags(affine=True)

    allowed_event_ndims = (1, 3)
    uses_condition = False

    def __init__(
        self,
        *,
        max_log_scale: float | None = None,
        variance_floor: float | None = None,
        scale: Scale | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if scale is not None and not isinstance(scale, Scale):
            raise TypeError(f"ActNorm: received scale={scale!r}, expected a Scale, such as inntf.numerics.SoftplusScale().")
        if scale is not None and max_log_scale is not None:
            raise ValueError("ActNorm: received scale and max_log_scale, expected one of them: a Scale has a range of its own.")
        for key, value in (("max_log_scale", max_log_scale), ("variance_floor", variance_floor)):
            if value is not None and not value > 0:
                raise ValueError(f"ActNorm: received {key}={value}, expected a positive number. Leave it out for the default.")
        self.max_log_scale, self.variance_floor, self.scale = max_log_scale, variance_floor, scale

    def build(self, input_shape: Shape) -> None:
        """Shift and log-scale, both zero."""
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")
        self.raw_log_scale = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="log_scale")

    @property
    def log_scale(self) -> tf.Tensor:
        """The log-scale in use, `(channels,)`."""
        raw = read(self.raw_log_scale)
        if self.scale is not None:
            return self.scale.log_scale(raw)
        return raw if self.max_log_scale is None else self.max_log_scale * tf.tanh(raw / self.max_log_scale)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Shift, then scale."""
        log_scale = tf.cast(self.log_scale, x.dtype)
        z = (x + read(self.shift, x.dtype)) * tf.exp(log_scale)
        return z, pixels(x) * tf.reduce_sum(log_scale)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the scale, then the shift."""
        log_scale = tf.cast(self.log_scale, z.dtype)
        x = z * tf.exp(-log_scale) - read(self.shift, z.dtype)
        return x, -pixels(z) * tf.reduce_sum(log_scale)

    def waits_for_data(self) -> bool:
        """Whether shift and scale are all zero, as they were made."""
        return bool(self.built and self.trainable and self._untouched())

    def _untouched(self) -> tf.Tensor:
        weights = tf.concat([read(self.shift), read(self.raw_log_scale)], 0)
        return tf.reduce_all(tf.equal(weights, 0))

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Set shift and scale from a batch, unless frozen; returns `forward(x)` with them.

        On several replicas, within `strategy.run`, from the whole batch.  Several workers outside of it must be given the same.

        Raises:
            ValueError: in eager mode, if the batch is empty or holds NaN or infinity; the weights are kept.
        """
        if not self.trainable:
            return self.forward_and_log_det(x)[0]
        axes = list(range(x.shape.rank - 1))
        batch = whole_batch(x)
        mean, variance = tf.nn.moments(tf.cast(batch, tf.float64), axes)
        if tf.executing_eagerly() and not bool(tf.reduce_all(tf.math.is_finite(variance))):
            raise ValueError(
                f"{self.name}.initialize: received an empty batch, NaN or infinity, expected finite data. The weights were "
                "left as they are; clean the data and call it again."
            )
        process = initialization.current()
        noise = tf.cast(process.noise, tf.float64)
        # What an earlier ActNorm of the same initialization took for rounding, and left as small as it was, is that still.
        real = tf.sqrt(variance) > tf.maximum(_rounding(batch, axes), 2.0 * noise)
        real &= tf.size(batch) >= _FEWEST * x.shape[-1]
        floored = variance if self.variance_floor is None else tf.maximum(variance, self.variance_floor)
        log_scale = -0.5 * tf.math.log(tf.where(real, floored, tf.maximum(variance, 1.0)))
        left = tf.where(real | (variance > _SMALL_NOISE**2), tf.zeros_like(variance), tf.sqrt(variance))
        process.noise = tf.maximum(noise, tf.reduce_max(left))
        if self.max_log_scale is not None:
            # atanh of the target, kept clear of the end of the range.
            log_scale = self.max_log_scale * tf.math.atanh(tf.clip_by_value(log_scale / self.max_log_scale, -0.99, 0.99))
        if self.scale is not None:
            log_scale = _raw_of(self.scale, log_scale)
        untouched = self._untouched()
        for weight, value in ((self.shift, -mean), (self.raw_log_scale, log_scale)):
            value = tf.cast(value, weight.dtype)
            weight.assign(tf.where(untouched, value, read(weight)) if process.fresh_only else value)
        return self.forward_and_log_det(x)[0]

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact: `max exp(log_scale)` and `max exp(-log_scale)`, everywhere."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        log_scale = keras.ops.convert_to_numpy(self.log_scale).astype("float64")
        return LipschitzBounds(upper_exp(log_scale.max()), upper_exp(-log_scale.min()))


def _rounding(x: tf.Tensor, axes: list[int]) -> tf.Tensor:
    """Largest standard deviation of a channel that rounding may make of a constant, `(channels,)`."""
    own, x = tf.as_dtype(x.dtype), tf.cast(x, tf.float64)
    eps = {tf.float64: 2.0**-52, tf.float32: 2.0**-23, tf.float16: 2.0**-10, tf.bfloat16: 2.0**-7}[own]
    # Data that were rounded before they came here carry the coarser grid.
    coarse = tf.reduce_all(tf.equal(x, tf.cast(tf.cast(x, tf.float32), tf.float64)), axes)
    units = tf.where(coarse, tf.constant(max(eps, 2.0**-23), tf.float64), tf.constant(eps, tf.float64))
    return _UNITS * units * tf.reduce_max(tf.abs(x), axes)


def _raw_of(scale: Scale, log_scale: tf.Tensor) -> tf.Tensor:
    """The raw numbers of a monotone scale with these logarithms, kept clear of the ends of its range; by bisection."""
    ends = (math.log(1.01 * scale.low) if scale.low > 0 else -math.inf), math.log(0.99 * scale.high)
    wanted = tf.clip_by_value(log_scale, *ends)
    low, high = -15.0 * tf.ones_like(wanted), 15.0 * tf.ones_like(wanted)  # raw numbers up to a million, either way
    rises = scale.log_scale(tf.sinh(low)) < scale.log_scale(tf.sinh(high))
    for _ in range(50):
        middle = (low + high) / 2
        up = (scale.log_scale(tf.sinh(middle)) < wanted) == rises
        low, high = tf.where(up, middle, low), tf.where(up, high, middle)
    return tf.sinh((low + high) / 2)
