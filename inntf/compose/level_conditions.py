"""A condition that is an image, brought to the size of a level."""

from __future__ import annotations

import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import known_sizes, static


def fitted_condition(block: Block, condition: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Squares of pixels become channels until as many pixels are left as the level has.

    Args:
        block: complains, by its name.
        condition: `(batch, height, width, channels)`.
        size: (height, width) of the level in pixels.

    Raises:
        ValueError: if the condition's size is no multiple of the level's.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Squeeze
        >>> fitted_condition(Squeeze(), tf.ones([2, 8, 8, 1]), (4, 4)).shape
        TensorShape([2, 4, 4, 4])
    """
    height, width, channels = known_sizes(static(condition.shape[1:]))
    factor = height // size[0] if size[0] else 0
    if factor < 1 or (factor * size[0], factor * size[1]) != (height, width):
        raise ValueError(
            explain(
                block.name,
                received=f"a condition of {height}x{width} pixels for a level of {size[0]}x{size[1]}",
                expected="a multiple of the level's size",
                remedy="Resize the condition, or pass condition_network=ConditionPyramid(...).",
            )
        )
    if factor == 1:
        return condition
    x = tf.reshape(condition, [-1, size[0], factor, size[1], factor, channels])
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, size[0], size[1], factor * factor * channels])
