"""The discriminator of the Flow-GAN experiments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.empty_batch import any_batch
from inntf.core.shapes import known_sizes
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense


@keras.saving.register_keras_serializable("inntf")
class Discriminator(Checkpointed, keras.layers.Layer):
    """Seven spectrally normalized convolutions and a spectrally normalized linear output; one logit per image.

    `logit = w . h_7 + b` with `h_i = leaky_relu(W_i h_(i-1) + b_i)` and `h_0` the image.

    3x3 convolutions of stride 1 and 4x4 convolutions of stride 2 take turns, each followed by a leaky ReLU.  Each
    layer's spectral norm is kept near `coefficient` or below, with the norm of the convolution itself.  The papers' code
    bounds the norm of the reshaped kernel by 1, which lets the convolution itself have up to 3 (3x3) or 2 (4x4, stride 2);
    with a bound of 1 on the convolution a gradient of norm 1, which the gradient penalty asks for, is out of reach.
    The power iterations go on when `inntf.nets.update_norms(discriminator)` is called, once a training step; `FlowGan` does.

    Args:
        widths: output channels of the convolutions.
        slope: negative slope of the leaky ReLU.
        coefficient: largest spectral norm of each layer, as an operator on images.
        kernel_initializer: of all layers.

    Call arguments: `(batch, height, width, channels)`.  Returns `(batch, 1)`.

    Source: Behrmann et al., "Understanding and mitigating exploding inverses" (2021), supplement H.

    Example:
        >>> Discriminator(widths=(4, 4, 8, 8, 8, 8, 8))(keras.ops.ones([2, 16, 16, 1])).shape
        TensorShape([2, 1])
    """

    @typed
    def __init__(
        self,
        widths: Sequence[int] = (64, 64, 128, 128, 256, 256, 512),
        *,
        slope: float = 0.1,
        coefficient: float = 2.0,
        kernel_initializer: Any = "he_normal",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.widths, self.slope, self.coefficient = tuple(widths), slope, coefficient
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layers."""
        common = {
            "coefficient": self.coefficient,
            "kernel_initializer": self.kernel_initializer,
            "max_iterations": 5,
            "update_every_call": False,  # called three times a step
            "dtype": self.dtype_policy,
        }
        self.convolutions = []
        for i, width in enumerate(self.widths):
            size, stride = ((3, 1), (4, 2))[i % 2]
            layer = SpectralConv2D(width, size, strides=stride, padding="same", **common)
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
            self.convolutions.append(layer)
        self.head = SpectralDense(1, **common)
        self.head.build((input_shape[0], math.prod(known_sizes(input_shape[1:]))))

    @any_batch
    def call(self, x: Any) -> Any:
        """Logit that the image is real."""
        for layer in self.convolutions:
            x = keras.ops.leaky_relu(layer(x), negative_slope=self.slope)
        return self.head(keras.ops.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """`(batch, 1)`."""
        return (input_shape[0], 1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "widths": list(self.widths),
            "slope": self.slope,
            "coefficient": self.coefficient,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
