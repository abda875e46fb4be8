"""What squeeze and Haar share: the shapes, and the order of the new channels."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, centre_and_radius, finite_box, is_finite
from inntf.core.errors import explain
from inntf.core.shapes import is_open
from inntf.core.tags import Tags

_ORDERS = ("group_major", "channel_major")


class Downsampling(Block):
    """`(height, width, channels)` -> `(height / f, width / f, channels f^2)` by an isometry, so `log_det = 0`.

    Subclasses define `_down(x)` and `_up(z)` in group-major order: output channel `g * channels + c` holds group `g`
    (a pixel of the patch, or a wavelet band) of input channel `c`.  Channel-major order is `c * f^2 + g`.
    """

    tags = Tags(affine=True)

    allowed_event_ndims = (3,)
    default_event_ndims = 3
    uses_condition = False

    def __init__(self, factor: int, order: str, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise ValueError(
                explain(
                    self.name, received=f"factor={factor!r}", expected="a positive integer", remedy="The usual factor is 2."
                )
            )
        if order not in _ORDERS:
            raise ValueError(
                explain(
                    self.name,
                    received=f"order={order!r}",
                    expected="'group_major' or 'channel_major'",
                    remedy="TensorFlow's order is 'group_major', that of Glow and PyTorch's pixel_unshuffle 'channel_major'.",
                )
            )
        self.factor, self.order = factor, order

    def _down(self, x: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _down.")

    def _up(self, z: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define _up.")

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Down: fewer pixels, more channels."""
        return self._ordered(self._down(x)), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Up again."""
        if self.order == "channel_major":
            z = _swap_major(z, z.shape[-1] // self.factor**2)
        return self._up(z), tf.zeros([], z.dtype)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exactly 1 both ways."""
        return LipschitzBounds(1.0, 1.0)

    def image_box(self, domain: Box | None) -> Box | None:
        """The smallest box that holds the image of a box, by the absolute values of the matrix."""
        if domain is None or not self.built:
            return None
        if is_open(self._x_event_shape) or not is_finite(domain):
            return EVERYWHERE
        low, high = broadcast_box(domain, self._x_event_shape, self.name)
        with tf.init_scope():
            centre, radius = map(tf.constant, centre_and_radius((low, high)))
            centre = self._ordered(self._down(centre[None]))[0].numpy()
            radius = self._ordered(self._down_radius(radius[None]))[0].numpy()
        return finite_box(centre - radius, centre + radius)

    def _down_radius(self, radius: tf.Tensor) -> tf.Tensor:
        return self._down(radius)  # a permutation has no signs to lose

    def _ordered(self, z: tf.Tensor) -> tf.Tensor:
        return _swap_major(z, self.factor**2) if self.order == "channel_major" else z

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        height, width, channels = _image(self, shape)
        for size in (height, width):
            if size is not None and size % self.factor:
                raise ValueError(
                    explain(
                        self.name,
                        received=f"an image of {height} x {width}",
                        expected=f"height and width divisible by {self.factor}",
                        remedy=f"Pad the images to {_up_to(height, self.factor)} x {_up_to(width, self.factor)}, "
                        "crop or resize them, or choose another factor.",
                    )
                )
        small = (None if size is None else size // self.factor for size in (height, width))
        return tf.TensorShape([*small, None if channels is None else channels * self.factor**2])

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        height, width, channels = _image(self, shape)
        if channels is not None and channels % self.factor**2:
            raise ValueError(
                explain(
                    f"{self.name} (inverse)",
                    received=f"{channels} channels",
                    expected=f"a multiple of {self.factor**2}, as forward gives",
                    remedy="Pass a latent of the shape that forward returns.",
                )
            )
        large = (None if size is None else size * self.factor for size in (height, width))
        return tf.TensorShape([*large, None if channels is None else channels // self.factor**2])


def space_to_depth(x: tf.Tensor, factor: int) -> tf.Tensor:
    """`tf.nn.space_to_depth` of NHWC images, for every floating dtype on every device."""
    if x.dtype == tf.float32 or not x.shape[1:].is_fully_defined():
        return tf.nn.space_to_depth(x, factor)
    height, width, channels = x.shape[1:]  # accelerators have no kernel for float64 and bfloat16
    x = tf.reshape(x, [-1, height // factor, factor, width // factor, factor, channels])
    return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, height // factor, width // factor, factor**2 * channels])


def depth_to_space(z: tf.Tensor, factor: int) -> tf.Tensor:
    """`tf.nn.depth_to_space` of NHWC images, for every floating dtype on every device."""
    if z.dtype == tf.float32 or not z.shape[1:].is_fully_defined():
        return tf.nn.depth_to_space(z, factor)
    height, width, channels = z.shape[1:]
    z = tf.reshape(z, [-1, height, width, factor, factor, channels // factor**2])
    return tf.reshape(tf.transpose(z, [0, 1, 3, 2, 4, 5]), [-1, height * factor, width * factor, channels // factor**2])


def _image(block: Block, shape: tf.TensorShape) -> list[int | None]:
    if shape.rank != 3:
        raise ValueError(
            explain(
                block.name,
                received=f"an event of shape {shape}",
                expected="(height, width, channels)",
                remedy="Reshape the input to images.",
            )
        )
    return shape.as_list()


def _swap_major(z: tf.Tensor, major: int) -> tf.Tensor:
    """Channel `a * minor + b` to channel `b * major + a`, for `a < major`."""
    minor = z.shape[-1] // major
    shape = tf.shape(z)[:-1]
    pairs = tf.reshape(z, tf.concat([shape, [major, minor]], 0))
    swapped = tf.reshape(tf.transpose(pairs, [0, 1, 2, 4, 3]), tf.concat([shape, [major * minor]], 0))
    return tf.ensure_shape(swapped, z.shape)


def _up_to(size: int | None, factor: int) -> str:
    return "?" if size is None else str(-(-size // factor) * factor)
