"""Haar wavelets: downsampling that keeps a small image of the image."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.downsampling import Downsampling, depth_to_space, space_to_depth


@keras.saving.register_keras_serializable("inntf")
class Haar(Downsampling):
    """`(height, width, channels)` -> `(height/2, width/2, 4 channels)`: mean and three differences of each 2 x 2 patch.

    With the patch `[[a, b], [c, d]]` of one channel, the four bands are

        1/2 (a + b + c + d),   1/2 (a - b + c - d),   1/2 (a + b - c - d),   1/2 (a - b - c + d):

    the mean (doubled), the change along the width, along the height, and the diagonal one.  The matrix is orthonormal and
    symmetric, hence its own inverse: an isometry with `log_det = 0`.

    Args:
        order: `"group_major"`: the first `channels` outputs are the means, a smaller version of the image (times 2);
            or `"channel_major"`: the four bands of the first channel come first.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`: `(batch, height, width, channels)`; `z`: `(batch, height/2, width/2, 4 channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for an odd height or width, or an unknown order.

    Source: Ardizzone et al., "Guided Image Generation with Conditional Invertible Neural Networks" (2019), section 3.2.

    Example:
        >>> Haar()(tf.ones([1, 2, 2, 1])).numpy().tolist()
        [[[[2.0, 0.0, 0.0, 0.0]]]]
    """

    def __init__(self, *, order: str = "group_major", **kwargs: Any):
        super().__init__(2, order, **kwargs)

    def _down(self, x: tf.Tensor) -> tf.Tensor:
        return _butterfly(space_to_depth(x, 2))

    def _down_radius(self, radius: tf.Tensor) -> tf.Tensor:
        total = tf.add_n(tf.split(space_to_depth(radius, 2), 4, axis=-1)) * 0.5
        return tf.concat([total] * 4, axis=-1)

    def _up(self, z: tf.Tensor) -> tf.Tensor:
        return depth_to_space(_butterfly(z), 2)


def _butterfly(x: tf.Tensor) -> tf.Tensor:
    a, b, c, d = tf.split(x, 4, axis=-1)
    # Halved before the second stage: the sum of four large numbers does not overflow.
    left, right, up, down = (a + c) * 0.5, (b + d) * 0.5, (a - c) * 0.5, (b - d) * 0.5
    return tf.concat([left + right, left - right, up + down, up - down], axis=-1)
