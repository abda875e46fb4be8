"""Convolutions of small images as matrices."""

from __future__ import annotations

import math

import numpy as np

from inntf.numerics.norms.power_iteration import pair

Pair = int | tuple[int, int]


def conv_matrix(
    kernel: np.ndarray, size: tuple[int, int], strides: Pair = 1, padding: str = "same", dilation: Pair = 1
) -> np.ndarray:
    """A zero-padded convolution as a matrix, (inputs, outputs), of flattened images; for small ones.

    Args:
        kernel: `(kernel_height, kernel_width, in_channels, out_channels)`.
        size: `(height, width)` of the input in pixels.
        strides: one number or (vertical, horizontal), in pixels.
        padding: "same" or "valid".
        dilation: one number or (vertical, horizontal), in pixels.

    Source: definition of the convolution.

    Example:
        >>> conv_matrix(np.ones([3, 1, 1, 1]), (3, 1)).astype(int).tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    strides, dilation = pair(strides), pair(dilation)
    inputs, outputs = image_shapes(kernel, size, strides, padding, dilation)
    kernel = dilate(kernel, dilation)
    out, before = outputs[:2], [0, 0]
    if padding == "same":
        wanted = zip(out, strides, kernel.shape[:2], size, strict=True)
        before = [max((o - 1) * s + k - n, 0) // 2 for o, s, k, n in wanted]
    matrix = np.zeros((*inputs, *outputs))
    i, j = np.indices(out)
    for a, b in np.ndindex(*kernel.shape[:2]):
        row, column = i * strides[0] + a - before[0], j * strides[1] + b - before[1]
        read = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
        matrix[row[read], column[read], :, i[read], j[read], :] = kernel[a, b]
    return matrix.reshape(math.prod(inputs), math.prod(outputs))


def image_shapes(
    kernel: np.ndarray, size: tuple[int, int], strides: tuple[int, int], padding: str, dilation: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of an image that comes in and of what leaves."""
    taps = [extent(k, d) for k, d in zip(kernel.shape[:2], dilation, strict=True)]
    same = [-(-n // s) for n, s in zip(size, strides, strict=True)]
    valid = [max(0, (n - k) // s + 1) for n, s, k in zip(size, strides, taps, strict=True)]
    return (*size, kernel.shape[2]), (*(same if padding == "same" else valid), kernel.shape[3])


def dilate(kernel: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """The kernel with zeros between its taps."""
    height, width = (extent(k, d) for k, d in zip(kernel.shape[:2], dilation, strict=True))
    wide = np.zeros((height, width, *kernel.shape[2:]))
    wide[:: dilation[0], :: dilation[1]] = kernel
    return wide


def extent(taps: int, dilation: int) -> int:
    """How far a kernel reaches along an axis, in pixels."""
    return (taps - 1) * dilation + 1
