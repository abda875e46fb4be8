"""The activation that folds: a smooth absolute value; and the moves of channels that let pixels meet without a convolution."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # rows down, columns to the right: one for each fifth of the channels


def fold(x: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    r"""$\log\cosh(\beta v)/\beta$: even, 1-Lipschitz, of slope $\tanh(\beta v)$; the absolute value as $\beta \to \infty$.

    Args:
        x: v, `(..., channels)`.
        sharpness: $\beta > 0$, `(channels,)`.

    Returns:
        The shape of `x`.

    Source: it is $2\sigma(v) - v$ for a softplus $\sigma$, up to a constant: the reflection of a monotone activation.

    Example:
        >>> fold(tf.constant([-100.0, 0.0, 100.0]), tf.ones([3])).numpy().round(3).tolist()
        [99.307, 0.0, 99.307]
    """
    size = tf.abs(x)
    return size + (tf.math.log1p(tf.exp(-2.0 * sharpness * size)) - math.log(2.0)) / sharpness


def fold_slope(x: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    r"""$\tanh(\beta v)$, the derivative of `fold`.

    Args:
        x: v, `(..., channels)`.
        sharpness: $\beta > 0$, `(channels,)`.

    Returns:
        The shape of `x`.

    Source: calculus.

    Example:
        >>> float(fold_slope(tf.constant([0.0]), tf.ones([1]))[0])
        0.0
    """
    return tf.tanh(sharpness * x)


class Fold:
    """Numbers `(n, pixels * channels)` of which the first channels of each pixel pass and the others fold, for certificates.

    Args:
        passing: how many channels pass.
        sharpness: of those that fold.
    """

    def __init__(self, passing: int, sharpness: np.ndarray):
        self.passing, self.sharpness = passing, sharpness

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """The values."""
        parts = tf.reshape(x, [-1, self.passing + len(self.sharpness)])
        kept, moved = parts[:, : self.passing], parts[:, self.passing :]
        return tf.reshape(tf.concat([kept, fold(moved, tf.constant(self.sharpness, x.dtype))], 1), tf.shape(x))

    def slope_range(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest slope between `low` and `high`: the slope grows with its argument."""
        return self._slope(low), self._slope(high)

    def _slope(self, x: np.ndarray) -> np.ndarray:
        parts = np.reshape(x, [-1, self.passing + len(self.sharpness)])
        slopes = np.ones(parts.shape)
        slopes[:, self.passing :] = np.tanh(self.sharpness * parts[:, self.passing :])
        return slopes.reshape(np.shape(x))


def shift_channels(x: tf.Tensor) -> tf.Tensor:
    """Move each fifth of the channels of an image its own way by a pixel; what falls off is lost, zeros come in.

    Args:
        x: `(batch, height, width, channels)`.

    Returns:
        The shape of `x`.

    Source: Wu et al., "Shift: A Zero FLOP, Zero Parameter Alternative to Spatial Convolutions" (2018).

    Example:
        >>> moved = shift_channels(tf.reshape(tf.range(1.0, 11.0), [1, 1, 2, 5]))
        >>> moved[0, 0].numpy().tolist()
        [[1.0, 0.0, 0.0, 0.0, 10.0], [6.0, 0.0, 0.0, 4.0, 0.0]]
    """
    sizes = group_sizes(x.shape[-1])
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    parts = tf.split(padded, sizes, -1)
    return tf.concat([part[:, _cut(down), _cut(right)] for part, (down, right) in zip(parts, MOVES, strict=True)], -1)


def group_sizes(channels: int) -> list[int]:
    """How many channels stay, and go each way.

    Args:
        channels: all of them.

    Source: inntf.

    Example:
        >>> group_sizes(12)
        [4, 2, 2, 2, 2]
    """
    return [channels - 4 * (channels // 5), *[channels // 5] * 4]


def as_convolution(kernel: np.ndarray, passing: int) -> np.ndarray:
    """A kernel `(in, out)` of each pixel followed by the moves of all but its first outputs, as `(3, 3, in, out)`.

    Args:
        kernel: `(in, out)`.
        passing: how many outputs do not move.

    Source: inntf.

    Example:
        >>> as_convolution(np.ones([1, 5]), 0)[:, 1, 0].tolist()  # down: the row above comes in
        [[0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    taps = np.zeros([3, 3, *kernel.shape])
    taps[1, 1, :, :passing] = kernel[:, :passing]
    start = passing
    for size, (down, right) in zip(group_sizes(kernel.shape[1] - passing), MOVES, strict=True):
        taps[1 - down, 1 - right, :, start : start + size] = kernel[:, start : start + size]
        start += size
    return taps


def _cut(by: int) -> slice:
    return {0: slice(1, -1), 1: slice(None, -2), -1: slice(2, None)}[by]
