"""Ways to part an event into the identity part, which a coupling leaves unchanged, and the one it transforms."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.split_base import Split
from inntf.core.errors import explain
from inntf.core.shapes import known_sizes, last_size
from inntf.numerics.permuted import permuted


@keras.saving.register_keras_serializable("inntf")
class ChannelSplit(Split):
    """First `at` channels and the rest: `identity = x[..., :at]`, `transformed = x[..., at:]`; half and half by default.

    Args:
        at: where to cut; `channels // 2` by default.
        swap: leave the last channels unchanged instead.

    Raises (at build): ValueError if one part would be empty.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 3.4 (channel-wise masking).

    Example:
        >>> split = ChannelSplit(); split.build((5,))
        >>> [p.shape[-1] for p in split.part(tf.ones([1, 5]))]
        [2, 3]
    """

    def __init__(self, at: int | None = None, swap: bool = False):
        super().__init__(swap)
        self.at = at

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix the cut."""
        size = last_size(event_shape)
        cut = size // 2 if self.at is None else self.at
        if size < 2 or not 0 < cut < size:
            raise self._too_small(size, event_shape)
        self._cut, self._size = cut, size

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(identity, transformed)`."""
        # One operation, whose gradient is one: two slices would each be padded with zeros, and added.
        first, last = tf.split(x, [self._cut, self._size - self._cut], -1)
        return (last, first) if self.swap else (first, last)

    def join(self, identity: tf.Tensor, transformed: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        return tf.concat([transformed, identity] if self.swap else [identity, transformed], -1)


@keras.saving.register_keras_serializable("inntf")
class HalfSplit(Split):
    """First and second half along the first event axis: rows of an image, entries of a vector.

    `identity = x[:, :n // 2]`, `transformed = x[:, n // 2:]`, with `n` the size of that axis.

    Args:
        swap: leave the second half unchanged instead.

    Raises (at build): ValueError if an image has an odd height, or there are fewer than two entries.

    Source: inntf; the "half" masks of Dinh et al., "NICE" (2015), on the rows of an image.

    Example:
        >>> split = HalfSplit(); split.build((4, 3, 2))
        >>> split.part(tf.ones([1, 4, 3, 2]))[0].shape
        TensorShape([1, 2, 3, 2])
    """

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix the cut."""
        size = event_shape[0]
        if size is None or size < 2 or (len(event_shape) > 1 and size % 2):
            raise ValueError(
                explain(
                    "HalfSplit",
                    received=f"an event of shape {tuple(event_shape)}",
                    expected="an even height (images) or at least 2 entries (vectors)",
                    remedy="Pad the image, or use split='channels'.",
                )
            )
        self._cut = size // 2

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(identity, transformed)`."""
        first, last = x[:, : self._cut], x[:, self._cut :]
        return (last, first) if self.swap else (first, last)

    def join(self, identity: tf.Tensor, transformed: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        return tf.concat([transformed, identity] if self.swap else [identity, transformed], 1)


@keras.saving.register_keras_serializable("inntf")
class IndexSplit(Split):
    """Explicit sets of channels: `identity = x[..., identity]`, the others are transformed.

    Args:
        identity: indices along the last axis that stay unchanged; negative ones count from the end.
        swap: leave the others unchanged instead.

    Shapes: `(batch, ..., channels)` to `(batch, ..., len(identity))` and the rest.

    Raises:
        ValueError: for repeated indices, and at build for indices out of range or an empty part.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks", Table 1 (index sets I1, I2).

    Example:
        >>> split = IndexSplit([0, 2]); split.build((4,))
        >>> split.part(tf.constant([[1.0, 2.0, 3.0, 4.0]]))[0].numpy().tolist()
        [[1.0, 3.0]]
    """

    def __init__(self, identity: Sequence[int], swap: bool = False):
        super().__init__(swap)
        self.identity = [int(i) for i in identity]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> IndexSplit:
        """A split from `get_config()`; files of before say `kept`."""
        former = {} if "kept" in inspect.signature(cls.__init__).parameters else {"kept": "identity"}
        return cls(**{former.get(k, k): v for k, v in config.items()})

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix both index sets."""
        size = last_size(event_shape)
        first = np.asarray(self.identity)
        if (
            len(first) == 0
            or len(first) >= size
            or first.min() < -size
            or first.max() >= size
            or len(set(first % size)) != len(first)
        ):
            raise ValueError(
                explain(
                    "IndexSplit",
                    received=f"identity={self.identity} for {size} channels",
                    expected="distinct indices in range, neither none nor all",
                    remedy="Give the indices of the channels that stay unchanged.",
                )
            )
        first = first % size
        rest = np.setdiff1d(np.arange(size), first)
        self._sets = (rest, first) if self.swap else (first, rest)
        self._order = np.concatenate(self._sets)
        self._back = np.argsort(self._order)

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(identity, transformed)`."""
        identity, transformed = tf.split(permuted(x, self._order), [len(part) for part in self._sets], axis=-1)
        return identity, transformed

    def join(self, identity: tf.Tensor, transformed: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        return permuted(tf.concat([identity, transformed], -1), self._back)


@keras.saving.register_keras_serializable("inntf")
class CheckerboardSplit(Split):
    """Pixels with even and odd `row + column` (for vectors: even and odd entries); the even ones stay unchanged.

    For images both parts have shape `(batch, pixels, channels)`; the conditioner sees the whole image with the
    transformed pixels at zero, and its output is read there, as with the masked convolutions of the paper.

    Args:
        swap: leave the odd pixels unchanged instead.

    Raises (at build): ValueError unless the event is fixed in size and has at least two pixels.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 3.4 (checkerboard masking).

    Example:
        >>> split = CheckerboardSplit(); split.build((2, 2, 1))
        >>> split.part(tf.reshape(tf.range(4.0), [1, 2, 2, 1]))[0].numpy().ravel().tolist()
        [0.0, 3.0]
    """

    def build(self, event_shape: tuple[int | None, ...]) -> None:
        """Fix the pixels."""
        if None in event_shape or np.prod(event_shape[:2] if len(event_shape) == 3 else event_shape[-1:]) < 2:
            raise self._too_small("unknown or 1", event_shape)
        self._shape = known_sizes(event_shape)
        grid = np.indices(event_shape[:2]).sum(0).ravel() % 2 if len(event_shape) == 3 else np.arange(event_shape[-1]) % 2
        even, odd = np.flatnonzero(grid == 0), np.flatnonzero(grid == 1)
        self._sets = (odd, even) if self.swap else (even, odd)
        self._back = np.argsort(np.concatenate(self._sets))

    def part(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`(identity, transformed)`."""
        x = self._pixels(x)
        return tf.gather(x, self._sets[0], axis=1), tf.gather(x, self._sets[1], axis=1)

    def join(self, identity: tf.Tensor, transformed: tf.Tensor) -> tf.Tensor:
        """Undo `part`."""
        return self._image(tf.gather(tf.concat([identity, transformed], 1), self._back, axis=1))

    def view(self, identity: tf.Tensor) -> tf.Tensor:
        """The image with the transformed pixels at zero; a vector's identity entries."""
        if len(self._shape) == 1:
            return identity
        blank = tf.zeros([tf.shape(identity)[0], len(self._sets[1]), identity.shape[-1]], identity.dtype)
        return self.join(identity, blank)

    def parameters(self, raw: tf.Tensor) -> tf.Tensor:
        """The conditioner's output at the transformed pixels."""
        return raw if len(self._shape) == 1 else tf.gather(self._pixels(raw), self._sets[1], axis=1)

    def _pixels(self, x: tf.Tensor) -> tf.Tensor:
        if len(self._shape) == 1:
            return x
        return tf.reshape(x, [-1, self._shape[0] * self._shape[1], x.shape[-1]])

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        return x if len(self._shape) == 1 else tf.reshape(x, [-1, self._shape[0], self._shape[1], x.shape[-1]])


_NAMED = {"channels": ChannelSplit, "halves": HalfSplit, "checkerboard": CheckerboardSplit}


def make_split(split: Any) -> Split:
    """A split from a `Split`, the name `channels`, `halves` or `checkerboard`, or a list of channels to leave unchanged.

    Raises:
        ValueError: for anything else.

    Source: inntf.

    Example:
        >>> type(make_split("checkerboard")).__name__, make_split([0, 1]).identity
        ('CheckerboardSplit', [0, 1])
    """
    if isinstance(split, Split):
        return split
    if isinstance(split, str) and split in _NAMED:
        return _NAMED[split]()
    if isinstance(split, list | tuple | np.ndarray):
        return IndexSplit(split)
    raise ValueError(
        explain(
            "split",
            received=repr(split),
            expected=f"a Split, one of {sorted(_NAMED)}, or a list of channel indices to leave unchanged",
            remedy="For example split='channels', or inntf.blocks.ChannelSplit(swap=True).",
        )
    )
