"""From a condition, vector or image, to the feature map that each level of a multi-scale flow needs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.empty_batch import any_batch
from inntf.core.errors import explain
from inntf.core.shapes import is_open, known_sizes, last_size

Size = tuple[int, int]
_LARGEST_STRIDE = 4


@keras.saving.register_keras_serializable("inntf")
class ConditionPyramid(Checkpointed, keras.layers.Layer):
    """One feature map per level, each of the level's spatial size, from one condition.

    An image runs through one convolution a level, from the first level to the last.  Where the size falls by a whole
    factor of at most 4 it is strided, with a kernel of side `2 stride - 1` (at least 3), so no pixel is skipped; otherwise
    the map is resized bilinearly first, with averaging where it shrinks.  A vector becomes the smallest map by a dense
    layer and climbs to the larger ones by bilinear resizing and 3x3 convolutions.

    Args:
        channels: channels of the maps: one number, or a sequence, one a level.
        levels: number of levels.
        activation: Keras activation after every layer.
        name, dtype, trainable: as in `keras.layers.Layer`.

    Call arguments: the condition, `(batch, dim)` or `(batch, H, W, C)`, and `sizes`, `[(h_1, w_1), ...]`, one a level, largest
    first.  The first call, or `ensure_built`, fixes them.

    Returns: a list of maps `(batch, h_i, w_i, channels_i)`.

    Raises:
        ValueError: if the number of sizes or of channels is not that of the levels, or the sizes change or grow.

    Source: the conditioning network of Ardizzone et al., "Guided Image Generation with Conditional Invertible Neural
    Networks" (2019), section 3.3; resizing between any two sizes is ours.

    Example:
        >>> maps = ConditionPyramid(8, levels=2)(keras.ops.ones([3, 10]), [(8, 8), (4, 4)])
        >>> [tuple(m.shape) for m in maps]
        [(3, 8, 8, 8), (3, 4, 4, 8)]
    """

    @typed
    def __init__(self, channels: int | Sequence[int], levels: int, *, activation: Any = "relu", **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = [channels] * levels if isinstance(channels, int) else [int(c) for c in channels]
        if levels < 1 or len(self.channels) != levels or min(self.channels) < 1:
            raise ValueError(
                explain(
                    self.name,
                    received=f"channels={channels!r} for {levels} levels",
                    expected="one positive number, or one a level",
                    remedy="Give as many numbers as levels.",
                )
            )
        self.levels, self.activation = levels, keras.activations.get(activation)
        self.sizes: tuple[Size, ...] | None = None
        self._condition_event: tuple[int, ...] = ()

    def ensure_built(self, condition_shape: Sequence[int], sizes: Sequence[Size]) -> ConditionPyramid:
        """Make the layers for conditions of shape `condition_shape` (without batch) and the levels' `sizes`; returns self."""
        sizes = self._checked(sizes)
        if not self.built:
            self.sizes, self._condition_event = sizes, tuple(condition_shape)
            self.build((None, *condition_shape))
        return self

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layers; the sizes must be known."""
        event = tuple(input_shape[1:])
        if self.sizes is None or len(event) not in (1, 3) or is_open(event):
            raise ValueError(
                explain(
                    self.name,
                    received=f"a condition of shape {tuple(input_shape)} and sizes {self.sizes}",
                    expected="(batch, dim) or (batch, H, W, C) of fixed size, and the sizes of the levels",
                    remedy="Call pyramid(condition, sizes), or ensure_built(condition_shape, sizes).",
                )
            )
        self._condition_event = known_sizes(event)
        if len(event) == 1:
            self._build_climb(last_size(event))
        else:
            self._build_descent(self._condition_event)
        self.built = True

    @property
    def _known(self) -> tuple[Size, ...]:
        if self.sizes is None:
            raise ValueError(
                explain(self.name, received="no sizes", expected="those of the levels", remedy="Call ensure_built.")
            )
        return self.sizes

    def _build_climb(self, dim: int) -> None:
        (height, width), top = self._known[-1], self.channels[-1]
        self.start = self._layer(keras.layers.Dense, height * width * top)
        self.start.build((None, dim))
        self.convolutions = []
        for i in reversed(range(self.levels - 1)):
            layer = self._layer(keras.layers.Conv2D, self.channels[i], 3, padding="same")
            layer.build((None, *self._known[i], self.channels[i + 1]))
            self.convolutions.append(layer)

    def _build_descent(self, event: tuple[int, ...]) -> None:
        self.convolutions, shape = [], event
        for size, channels in zip(self._known, self.channels, strict=True):
            stride = _stride(shape[:2], size)
            kernel = tuple(max(3, 2 * s - 1) for s in stride or (1, 1))
            layer = self._layer(keras.layers.Conv2D, channels, kernel, strides=stride or 1, padding="same")
            layer.build((None, *(shape[:2] if stride else size), shape[2]))
            self.convolutions.append(layer)
            shape = (*size, channels)

    def _layer(self, make: Any, *args: Any, **kwargs: Any) -> keras.layers.Layer:
        return make(*args, activation=self.activation, dtype=self.dtype_policy, **kwargs)

    def __call__(self, condition: Any, sizes: Sequence[Size] | None = None, **kwargs: Any) -> list[Any]:
        """Apply the pyramid; Keras sees the condition alone, the sizes are part of the configuration."""
        if sizes is not None:
            sizes = self._checked(sizes)
            self.sizes = self.sizes or sizes
        return super().__call__(condition, **kwargs)

    @any_batch
    def call(self, condition: Any) -> list[Any]:
        """The maps, one a level."""
        if len(self._condition_event) == 1:
            maps = [keras.ops.reshape(self.start(condition), (-1, *self._known[-1], self.channels[-1]))]
            for size, convolution in zip(self._known[-2::-1], self.convolutions, strict=False):
                maps.append(convolution(_resize(maps[-1], size)))
            return maps[::-1]
        maps, x = [], condition
        for size, convolution in zip(self._known, self.convolutions, strict=True):
            x = convolution(x if _stride(x.shape[1:3], size) else _resize(x, size))
            maps.append(x)
        return maps

    def _checked(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        sizes = tuple((int(h), int(w)) for h, w in sizes)
        grows = any(a < b for one, two in itertools.pairwise(sizes) for a, b in zip(one, two, strict=True))
        if len(sizes) != self.levels or grows or self.sizes not in (None, sizes):
            raise ValueError(
                explain(
                    self.name,
                    received=f"sizes {list(sizes)}",
                    expected=f"{list(self.sizes)}, as before" if self.sizes else f"{self.levels} sizes, largest first",
                    remedy="Make one pyramid for each flow, with as many levels.",
                )
            )
        return sizes

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> list[tuple[int | None, ...]]:
        """Shapes of the maps."""
        return [(input_shape[0], *size, channels) for size, channels in zip(self._known, self.channels, strict=True)]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "channels": list(self.channels),
            "levels": self.levels,
            "activation": keras.activations.serialize(self.activation),
        }

    def get_build_config(self) -> dict[str, Any] | None:
        """What the layers were made for."""
        if not self.built:
            return None
        return {"condition_shape": list(self._condition_event), "sizes": [list(size) for size in self._known]}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Make the layers again, before weights are loaded."""
        if config:
            self.ensure_built(config["condition_shape"], config["sizes"])


def _stride(now: Sequence[int], wanted: Size) -> Size | None:
    # Strides that lead from one size to the other, `None` where they are not whole or the kernel would be large.
    if any(a % b or a > _LARGEST_STRIDE * b for a, b in zip(now, wanted, strict=True)):
        return None
    return now[0] // wanted[0], now[1] // wanted[1]


def _resize(x: Any, size: Size) -> Any:
    # By two small matrices: exact in float64 and under XLA, where the image ops of TensorFlow are not.
    for axis, (now, wanted) in enumerate(zip(x.shape[1:3], size, strict=True)):
        if now != wanted:
            matrix = keras.ops.cast(_interpolation(now, wanted), x.dtype)
            x = keras.ops.einsum(("ij,bjwc->biwc", "ij,bhjc->bhic")[axis], matrix, x)
    return x


def _interpolation(now: int, wanted: int) -> np.ndarray:
    """Rows of weights, each a triangle around the new pixel's centre, as wide as the coarser grid's step."""
    centres = (np.arange(wanted) + 0.5) * now / wanted - 0.5
    distance = np.abs(np.clip(centres, 0, now - 1)[:, None] - np.arange(now)) / max(1.0, now / wanted)
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(1, keepdims=True)
