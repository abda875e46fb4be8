"""What is hidden of an image and what is seen: pixels of few levels, the box, the condition, and whole images again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

_BOXES = {"lower": (12, 28, 0, 28), "middle": (6, 22, 6, 22)}  # top, bottom, left, right; sides divide by four


@dataclasses.dataclass(frozen=True)
class Observing:
    """Digits of 28x28 pixels with `2^bits` levels, a box of which is hidden.

    x: the hidden pixels, `(n, height, width, 1)` on [-1/2, 1/2), noise within a level added, so that they have a density.
    y: `(n, 28, 28, 2)`, the pixels on [-1/2, 1/2] with zeros where they are hidden, and 1 where they are seen.

    Args:
        hidden: `"lower"` or `"middle"`.
        bits: of a pixel.
        blind: nothing is seen at all; the box is the same.
    """

    hidden: str
    bits: int
    blind: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of what is hidden, ends excluded."""
        return _BOXES[self.hidden]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of x."""
        top, bottom, left, right = self.box
        return bottom - top, right - left, 1

    @property
    def seen(self) -> np.ndarray:
        """`(28, 28, 1)`, whether a pixel is outside of the box."""
        top, bottom, left, right = self.box
        seen = np.ones((28, 28, 1), bool)
        seen[top:bottom, left:right] = False
        return seen

    def levels(self, images: Any) -> tf.Tensor:
        """Pixels 0 to 255 as levels, `0, ..., 2^bits - 1`, float32."""
        return tf.floor(tf.cast(images, tf.float32) / 2 ** (8 - self.bits))

    def x(self, levels: tf.Tensor, seed: Any) -> tf.Tensor:
        """The hidden pixels of whole images; noise by the seed, two integers."""
        top, bottom, left, right = self.box
        cut = levels[:, top:bottom, left:right]
        return (cut + tf.random.stateless_uniform(tf.shape(cut), seed)) / 2**self.bits - 0.5

    def y(self, levels: tf.Tensor) -> tf.Tensor:
        """What is seen of whole images; what they have in the box does not matter."""
        seen = tf.constant(np.zeros_like(self.seen) if self.blind else self.seen, tf.float32)
        values = (levels / (2**self.bits - 1) - 0.5) * seen
        return tf.concat([values, tf.broadcast_to(seen, tf.shape(values))], -1)

    def to_levels(self, x: tf.Tensor) -> tf.Tensor:
        """Undo `x`: the level whose noise gives it; what lies beyond belongs to the first and the last."""
        return tf.clip_by_value(tf.floor((x + 0.5) * 2**self.bits), 0, 2**self.bits - 1)

    def whole(self, hidden: Any, levels: Any) -> tf.Tensor:
        """Whole images, `(n, m, 28, 28, 1)`: in the box `hidden`, `(n, m, height, width, 1)`, around it `levels`."""
        top, bottom, left, right = self.box
        edges = [[0, 0], [0, 0], [top, 28 - bottom], [left, 28 - right], [0, 0]]
        return tf.where(self.seen, levels[:, None], tf.pad(hidden, edges))

    def pixels(self, levels: np.ndarray) -> np.ndarray:
        """Levels as grey, 0 to 255."""
        return np.rint(np.asarray(levels) * (255 / (2**self.bits - 1))).astype(np.uint8)
