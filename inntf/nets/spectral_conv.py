"""The convolution with a bounded spectral norm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.empty_batch import at_least_one_row
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.nets.applied_weights import built_size
from inntf.nets.spectral_layer import SpectralLayer
from inntf.numerics.norms.conv_norms import conv_norm_bound
from inntf.numerics.norms.power_iteration import conv, conv_power_iteration, conv_transpose, pair
from inntf.numerics.xla_convolution import convolution

_SIZE_WHERE_OPEN = 16  # pixels an axis for the power iteration, where the layer is built for any size


@keras.saving.register_keras_serializable("inntf")
class SpectralConv2D(SpectralLayer):
    r"""$a(x * W \min(1, c/\sigma) + b)$: a convolution, as an operator on images, of norm at most about c.

    $\sigma$ comes from power iteration with the true zero-padded convolution and its transpose at the size that the layer
    is built for (the norm of the reshaped kernel can be off by the number of taps); `certify(rescale=True)` makes the
    norm hold exactly, by the Fourier bound.

    Args:
        filters: channels of the output.
        kernel_size: taps, one number or (vertical, horizontal).
        strides: pixels, one number or (vertical, horizontal).
        padding: "same" or "valid".
        coefficient: c, the norm that the convolution may have.
        dilation_rate: pixels between taps, one number or (vertical, horizontal); not together with strides.
        **kwargs: activation, use_bias, initializers, tolerance, max_iterations, update_every_call: see `SpectralLayer`.

    Call arguments: `(batch, height, width, channels)`.  Returns `(batch, out_height, out_width, filters)`.

    Raises:
        ValueError: on an unknown padding, on strides together with dilation, on arguments that are not positive.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), equation 2; Gouk et al., "Regularisation of Neural Networks
        by Enforcing Lipschitz Continuity" (2021).

    Example:
        >>> layer = SpectralConv2D(4, 3, coefficient=0.5)
        >>> layer(tf.ones([1, 8, 8, 2])).shape
        TensorShape([1, 8, 8, 4])
        >>> layer.certify(rescale=True) <= 0.5
        True
    """

    @typed
    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        coefficient: float = 0.9,
        dilation_rate: int | tuple[int, int] = 1,
        **kwargs: Any,
    ):
        super().__init__(coefficient=coefficient, **kwargs)
        checked_count(self.name, filters=filters)
        self.filters = int(filters)
        self.kernel_size = pair(kernel_size)
        self.strides = pair(strides)
        self.padding = padding
        self.dilation_rate = pair(dilation_rate)
        if padding not in ("same", "valid"):
            raise ValueError(explain(self.name, received=f"padding={padding!r}", expected="'same' or 'valid'"))
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                explain(
                    self.name,
                    received=f"strides {self.strides} and dilation {self.dilation_rate}",
                    expected="one of them to be 1",
                    remedy="TensorFlow has no convolution with both; use two layers.",
                )
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self._size = (input_shape[1], input_shape[2])
        self.make_weights((*self.kernel_size, last_size(input_shape), self.filters), input_shape)

    def vector_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """(1, height, width, channels)."""
        extent = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation_rate, strict=True)]
        size = [n or max(_SIZE_WHERE_OPEN, 2 * e) for n, e in zip(input_shape[1:3], extent, strict=True)]
        return (1, *size, last_size(input_shape))

    def linear_map(self, kernel: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """The convolution."""
        return conv(kernel, v, self.strides, self.padding, self.dilation_rate)

    def transposed_map(self, kernel: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        """Its transpose."""
        return conv_transpose(kernel, u, self.singular_shape, self.strides, self.padding, self.dilation_rate)

    def power_iteration(self, kernel: tf.Tensor, v: tf.Tensor, iterations: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As of any layer; eagerly in one call."""
        how = self.strides, self.padding, self.dilation_rate
        return conv_power_iteration(kernel, v, *how, iterations=iterations, tolerance=self.tolerance)

    @property
    def singular_shape(self) -> tuple[int, ...]:
        """Shape of the singular vector."""
        return self.vector_shape((None, *self._size, self.kernel.shape[2]))

    def certified_norm(self, kernel: np.ndarray) -> float:
        """The Fourier bound at the size built for, at every size where that is open."""
        return conv_norm_bound(kernel, built_size(self), self.strides, self.padding, self.dilation_rate)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Apply the layer."""
        # Only where it is known: in graphs the network or the wrapped method around it sees to that once for all its layers.
        if x.shape[0] == 0:
            return self.call(at_least_one_row(x), training)[:0]
        kernel = tf.cast(self.effective_kernel(training), x.dtype)
        return self.finish(convolution(x, kernel, self.strides, self.padding.upper(), self.dilation_rate))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        sizes = []
        for n, k, s, d in zip(input_shape[1:3], self.kernel_size, self.strides, self.dilation_rate, strict=True):
            lost = 0 if self.padding == "same" else (k - 1) * d
            sizes.append(None if n is None else -(-(n - lost) // s))
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "dilation_rate": list(self.dilation_rate),
        }
