"""Dequantization: from integer levels to the unit interval, so that densities make sense."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box, check_box
from inntf.core.domain import in_range
from inntf.core.errors import explain
from inntf.core.tags import Tags
from inntf.core.whole_batch import draw_rows

_ROUNDINGS = ("floor", "straight_through", "none")


@keras.saving.register_keras_serializable("inntf")
class Dequantize(Block):
    """`z = (x + u) / levels` for integers `x` in `0 .. levels - 1` and noise `u`; back by `x = floor(levels z)`.

    Given the noise the map is affine, `log_det = -D log(levels)` with `D` entries per event.  The forward direction is random,
    so this is a surjection and no bijection: `inverse(forward(x))` returns the integers `x` exactly, `forward(inverse(z))`
    only a point of the same cell as `z`.  With uniform noise `E log p(z) + log_det` is a lower bound on the log-likelihood
    of the integers.  The noise comes from a `keras.random.SeedGenerator`: each call draws anew, and a new block
    with the same seed draws the same sequence (so does one loaded from a `.keras` file: it starts again, as Keras' own
    random layers do).  `tags` says all this to generic tools.

    Args:
        levels: number of grey levels, at least 2 (256 for 8 bit).
        noise: `"uniform"` on [0, 1) (cut off `4 levels eps` before 1, so that rounding cannot change a level); `"center"`
            for 1/2; `"none"` for 0; or a number `w` in (0, 1) for uniform noise on `[0, w)`, which spikes the density.
        seed: of the noise; `None` draws one.
        rounding: what the inverse does: `"floor"` (integers, gradient zero), `"straight_through"` (integers, gradient as
            without rounding), or `"none"` (`x = levels z`, less the 1/2 of `"center"`).
        event_ndims, name, dtype, trainable, validate_args: as in `Block`; `validate_args` also refuses an `x` that is no whole
            number (under XLA, which drops errors, it gives NaN); without, what lies between two levels passes: attacks and
            differences move `x` by less than a level.

    Shapes: `x` (integer or float dtype), `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for unknown noise or rounding, or more levels than the dtype can tell apart; for `x` below 0 or above
            `levels - 1`, unless `rounding="none"`, and with `validate_args` between levels
            (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: Theis et al., "A note on the evaluation of generative models" (2016), section 3.1; as a surjection: Nielsen et
    al., "SurVAE Flows" (2020).

    Example:
        >>> block = Dequantize(levels=4, seed=0)
        >>> z = block(tf.constant([[0, 1, 2, 3]]))
        >>> block.inverse(z).numpy().tolist()
        [[0.0, 1.0, 2.0, 3.0]]
    """

    uses_condition = False

    def __init__(
        self,
        levels: int = 256,
        *,
        noise: str | float = "uniform",
        seed: int | None = None,
        rounding: str = "floor",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.levels, self.noise, self.rounding = int(levels), noise, rounding
        self._width, self._offset = _noise(self, noise)
        if rounding not in _ROUNDINGS:
            raise self._error(f"rounding={rounding!r}", "'floor', 'straight_through' or 'none'")
        if levels != self.levels or self.levels < 2:
            raise self._error(f"levels={levels!r}", "an integer of at least 2", "8-bit images have 256.")
        if self._margin > 0.125:
            raise self._error(f"levels={levels} in {self.variable_dtype}", "levels it can tell apart", "Use dtype='float64'.")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if self._width else None

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """What generic checks must know: whether calls are random, and which round trips are exact."""
        rounds = self.rounding != "none"
        return Tags(
            stochastic=bool(self._width),
            exact_data_round_trip=rounds or not self._width,
            exact_latent_round_trip=not rounds and not self._width,
        )

    @property
    def _margin(self) -> float:
        # Division and multiplication by `levels` move a level by at most about 2 levels eps.
        return 4.0 * self.levels * float(np.finfo(tf.as_dtype(self.variable_dtype).as_numpy_dtype).eps)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Add noise, divide by the number of levels."""
        if self.rounding != "none":  # whose x are no levels, but any number
            x = in_range(self, x, 0.0, self.levels - 1.0, "Pass the raw levels, not scaled images, or set levels.", 0.5)
        if self.validate_args:
            x = _checked_levels(self, x)
        if self._width:
            width = min(self._width, 1.0 - self._margin)
            u = draw_rows(lambda s: keras.random.uniform(s, 0.0, width, x.dtype.name, self.seed_generator), tf.shape(x))
            x += tf.ensure_shape(u, x.shape)
        return (x + self._offset) / self.levels, -self._log_volume(x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Multiply, round down, clip to the levels."""
        if self.rounding == "none":
            x = z * self.levels - self._offset
        else:
            x = z * self.levels
            # The nudge undoes a division that rounded to just below the level.
            whole = tf.clip_by_value(tf.floor(x + 0.5 * self._margin), 0.0, self.levels - 1.0)
            x = whole if self.rounding == "floor" else x + tf.stop_gradient(whole - x)
        return x, self._log_volume(z)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`1 / levels` forward, for fixed noise; the inverse jumps at each level unless `rounding="none"`."""
        if self.rounding == "none":
            return LipschitzBounds(1.0 / self.levels, float(self.levels))
        return LipschitzBounds(1.0 / self.levels, float("inf"), reason=f"the inverse of {self.name} rounds to integers")

    def image_box(self, domain: Box | None) -> Box | None:
        """The box of the values, any noise included."""
        if domain is None:
            return None
        low, high = check_box(domain)
        return (low + self._offset) / self.levels, (high + self._offset + self._width) / self.levels

    def _log_volume(self, value: tf.Tensor) -> tf.Tensor:
        size = tf.cast(tf.reduce_prod(tf.shape(value)[1:]), value.dtype)
        return size * tf.cast(np.log(self.levels), value.dtype)

    def _error(self, received: str, expected: str, remedy: str = "") -> ValueError:
        return ValueError(explain(self.name, received=received, expected=expected, remedy=remedy))


def _noise(block: Dequantize, noise: str | float) -> tuple[float, float]:
    # Width of the uniform noise, and the constant added.
    known = {"uniform": (1.0, 0.0), "center": (0.0, 0.5), "none": (0.0, 0.0)}
    if isinstance(noise, str) and noise in known:
        return known[noise]
    if not isinstance(noise, str) and 0.0 < noise < 1.0:
        return float(noise), 0.0
    raise block._error(f"noise={noise!r}", "'uniform', 'center', 'none' or a width in (0, 1)")


def _checked_levels(block: Dequantize, x: tf.Tensor) -> tf.Tensor:
    whole = tf.logical_and(tf.equal(x, tf.floor(x)), tf.logical_and(x >= 0.0, x <= block.levels - 1.0))
    largest = tf.reduce_max(tf.where(whole, tf.constant(-np.inf, x.dtype), x))
    expected, remedy = f"integers from 0 to {block.levels - 1}", "Pass the raw levels, not scaled images."
    if tf.executing_eagerly():
        if not bool(tf.reduce_all(whole)):
            raise block._error(f"x with {float(largest):.6g} in it", expected, remedy)
        return x
    text = [f"{block.name}: received x with", largest, f"in it, expected {expected}. {remedy}"]
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(whole), text)]):
        return tf.where(whole, x, tf.constant(float("nan"), x.dtype))  # XLA drops the assertion
