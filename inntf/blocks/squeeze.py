"""Squeeze: pixels to channels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.downsampling import Downsampling, depth_to_space, space_to_depth


@keras.saving.register_keras_serializable("inntf")
class Squeeze(Downsampling):
    """`(height, width, channels)` -> `(height / f, width / f, channels f^2)`: each `f x f` patch becomes one pixel.

        z[i, j, g channels + c] = x[i f + a, j f + b, c]   with g = a f + b

    A permutation of the entries: exact to the bit, `log_det = 0`, an isometry.

    Args:
        factor: side of the patch.
        order: `"group_major"`, the order of the formula and of `tf.nn.space_to_depth`: the first `channels` outputs are
            the top left pixels; or `"channel_major"`, output channel `c f^2 + g`, the order of Glow's public code and
            of `pixel_unshuffle` in PyTorch.  It decides which entries a split into channel halves separates.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`: `(batch, height, width, channels)`; `z`: `(batch, height/f, width/f, channels f^2)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a height or width that `factor` does not divide, or an unknown order.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 3.6.

    Example:
        >>> Squeeze(2)(tf.reshape(tf.range(4.0), [1, 2, 2, 1])).numpy().tolist()
        [[[[0.0, 1.0, 2.0, 3.0]]]]
    """

    def __init__(self, factor: int = 2, *, order: str = "group_major", **kwargs: Any):
        super().__init__(factor, order, **kwargs)

    def _down(self, x: tf.Tensor) -> tf.Tensor:
        return x if self.factor == 1 else space_to_depth(x, self.factor)

    def _up(self, z: tf.Tensor) -> tf.Tensor:
        return z if self.factor == 1 else depth_to_space(z, self.factor)
