"""A fixed affine map of the values, such as from [0, 1] to [-1/2, 1/2]."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box, check_box, finite_box
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.core.tags import Tags
from inntf.core.upper_bounds import upper_reciprocal


@keras.saving.register_keras_serializable("inntf")
class Rescale(Block):
    """`z = x * scale + shift` with fixed numbers, `log_det = sum(log|scale|)` over the entries of an event.

    Args:
        scale: a number, or an array that broadcasts to an event (such as one number per channel); no entry is 0.
        shift: likewise, of any value.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a scale with a zero, or arrays that do not broadcast to the event.

    Source: inntf; the diagonal scaling of "On the Invertibility of Invertible Neural Networks", Table 1, without training.

    Example:
        >>> z, log_det = Rescale(scale=2.0, shift=-1.0).forward_and_log_det(tf.constant([[0.0, 1.0]]))
        >>> z.numpy().tolist(), round(float(log_det[0]), 4)
        ([[-1.0, 1.0]], 1.3863)
    """

    tags = Tags(affine=True)

    uses_condition = False

    def __init__(self, scale: Any = 1.0, shift: Any = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale, self.shift = (_array(self, k, v) for k, v in (("scale", scale), ("shift", shift)))
        self._arguments.update(scale=self.scale.tolist(), shift=self.shift.tolist())  # arrays become plain data
        if not np.all(self.scale):
            raise self._error("a scale of 0", "numbers that are not 0", "A map that sends all to one point has no inverse.")

    def build(self, input_shape: Shape) -> None:
        """Check that scale and shift fit the event."""
        event = input_shape[1:]
        for key, value in (("scale", self.scale), ("shift", self.shift)):
            pairs = zip(value.shape[::-1], event[::-1], strict=False)
            if value.ndim > len(event) or any(a != 1 and b is not None and a != b for a, b in pairs):
                raise self._error(
                    f"a {key} of shape {value.shape}", f"one that broadcasts to {event}", "Give a number, or one a channel."
                )

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Multiply, then add."""
        return x * tf.cast(self.scale, x.dtype) + tf.cast(self.shift, x.dtype), self._log_volume(x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Subtract, then divide."""
        return (z - tf.cast(self.shift, z.dtype)) / tf.cast(self.scale, z.dtype), -self._log_volume(z)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact: the largest `|scale|`, and one over the smallest."""
        size = np.abs(self.scale)
        return LipschitzBounds(float(size.max()), upper_reciprocal(float(size.min())))

    def image_box(self, domain: Box | None) -> Box | None:
        """The images of the ends, in order."""
        if domain is None:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            a, b = (end * self.scale + self.shift for end in check_box(domain))
        return finite_box(np.minimum(a, b), np.maximum(a, b))

    def _log_volume(self, value: tf.Tensor) -> tf.Tensor:
        # Each entry of the scale serves equally many entries of the event.
        size = tf.cast(tf.reduce_prod(tf.shape(value)[1:]), value.dtype)
        return size * tf.cast(np.mean(np.log(np.abs(self.scale))), value.dtype)

    def _error(self, received: str, expected: str, remedy: str) -> ValueError:
        return ValueError(explain(self.name, received=received, expected=expected, remedy=remedy))


def _array(block: Rescale, key: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            explain(block.name, received=f"{key}={value!r}", expected="a number or an array", remedy="Pass numbers.")
        ) from error
    if not array.size or not np.all(np.isfinite(array)):
        raise block._error(f"{key}={value!r}", "finite numbers", "Look at where they come from.")
    return array
