"""A convolution whose gradients XLA's CPU compiler runs at the speed of the forward one, in loops, too."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

from inntf.core.under_xla import in_xla_on_cpu

Pair = tuple[int, int]
SLOWER = (
    "XLA compiles convolutions for the CPU here, which take up to 1.4 times as long as TensorFlow's own (oneDNN): "
    "leave jit_compile out on this machine, unless a step has been found to be faster with it."
)


def convolution(x: tf.Tensor, kernel: tf.Tensor, strides: Pair, padding: str, dilations: Pair) -> tf.Tensor:
    r"""`tf.nn.convolution` of images; where XLA compiles for a CPU, with gradients written as plain convolutions.

    XLA brings the layouts of TensorFlow's gradients into the form for which its CPU has a fast kernel only outside of loops;
    within one, as in `Repeat`, a step takes forty times as long.  With stride 1, for $z = x \star k$,

    $$\bar x = \bar z \star \mathrm{flip}(k)^{\top}, \qquad \bar k = (x^{\top} \star_{\text{strides} = d} \bar z^{\top}),$$

    the latter with images and channels of `x` exchanged, and the dilations `d` of the kernel as strides.  Larger strides keep
    TensorFlow's gradients.

    Args:
        x: `(batch, height, width, channels)`.
        kernel: `(height, width, channels, filters)`, of the dtype of `x`.
        strides: along both sides.
        padding: `"SAME"` or `"VALID"`.
        dilations: of the kernel, along both sides.

    Returns:
        `(batch, height', width', filters)`.

    Warns:
        UserWarning: while XLA compiles for a CPU on which TensorFlow's own kernels, of oneDNN, are faster.

    Source: the gradients are those of any convolution; the measurements are in benchmarks/README.md.

    Example:
        >>> convolution(tf.ones([1, 4, 4, 1]), tf.ones([3, 3, 1, 2]), (1, 1), "SAME", (1, 1))[0, 1, 1].numpy().tolist()
        [9.0, 9.0]
    """
    if strides != (1, 1) or not in_xla_on_cpu():
        # The layout is named: eager second derivatives fail on the default.
        return tf.nn.convolution(x, kernel, strides, padding, data_format="NHWC", dilations=dilations)
    if tuple(kernel.shape[:2]) == (1, 1):
        return tf.tensordot(x, kernel[0, 0], 1)
    if x.dtype == tf.float32 and _pywrap_util_port.IsMklEnabled():  # oneDNN has no convolution in float64
        warnings.warn(SLOWER, stacklevel=2)
    pads = [((e - 1) // 2, e // 2) if padding == "SAME" else (0, 0) for e in _extent(kernel, dilations)]
    return _with_plain_gradients(x, kernel, pads, dilations)


def _with_plain_gradients(x: tf.Tensor, kernel: tf.Tensor, pads: list[Pair], dilations: Pair) -> tf.Tensor:
    @tf.custom_gradient
    def convolved(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dz: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ends = zip(_extent(kernel, dilations), pads, strict=True)
            full = [(e - 1 - low, e - 1 - high) for e, (low, high) in ends]
            dx = _with_plain_gradients(dz, tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2]), full, dilations)
            # The batch is summed over, as channels are; each offset of the kernel is a place of the output.
            images, sums = tf.transpose(x, [3, 1, 2, 0]), tf.transpose(dz, [1, 2, 0, 3])
            return dx, tf.transpose(_plain(images, sums, pads, strides=dilations), [1, 2, 0, 3])

        return _plain(x, kernel, pads, dilations=dilations), gradient

    return convolved(x, kernel)


def _extent(kernel: tf.Tensor, dilations: Pair) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel.shape[:2], dilations, strict=True)]


def _plain(x: tf.Tensor, kernel: tf.Tensor, pads: list[Pair], strides: Pair = (1, 1), dilations: Pair = (1, 1)) -> tf.Tensor:
    padding = [(0, 0), *pads, (0, 0)]
    return tf.nn.conv2d(x, kernel, strides, padding, data_format="NHWC", dilations=dilations)
