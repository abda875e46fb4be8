"""The dense layer with a bounded spectral norm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.shapes import last_size
from inntf.nets.applied_weights import weights_as_applied
from inntf.nets.spectral_layer import SpectralLayer
from inntf.numerics.norms.power_iteration import dense_power_iteration, spectral_norm


@keras.saving.register_keras_serializable("inntf")
class SpectralDense(SpectralLayer):
    r"""$a(x W \min(1, c/\sigma) + b)$: a dense layer whose kernel has spectral norm at most about c.

    The norm is estimated by power iteration in training; `certify(rescale=True)` makes it hold exactly.

    Args:
        units: width of the output.
        coefficient: c, the norm that the kernel may have.
        **kwargs: activation, use_bias, initializers, tolerance, max_iterations, update_every_call: see `SpectralLayer`.

    Call arguments: `(..., dim)`.  Returns `(..., units)`.

    Raises:
        ValueError: on arguments that are not positive.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), equation 2.

    Example:
        >>> layer = SpectralDense(3, coefficient=0.5, kernel_initializer="orthogonal")
        >>> layer(tf.ones([2, 4])).shape
        TensorShape([2, 3])
        >>> round(layer.certify(rescale=True), 3)
        0.5
    """

    @typed
    def __init__(self, units: int, coefficient: float = 0.9, **kwargs: Any):
        super().__init__(coefficient=coefficient, **kwargs)
        checked_count(self.name, units=units)
        self.units = int(units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.make_weights((last_size(input_shape), self.units), input_shape)

    def vector_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """(dim,)."""
        return (last_size(input_shape),)

    def linear_map(self, kernel: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """`v @ kernel`."""
        return tf.linalg.matvec(kernel, v, transpose_a=True)

    def transposed_map(self, kernel: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        """`kernel @ u`."""
        return tf.linalg.matvec(kernel, u)

    def power_iteration(self, kernel: tf.Tensor, v: tf.Tensor, iterations: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As of any layer; eagerly in one call."""
        return dense_power_iteration(kernel, v, iterations, self.tolerance)

    def certified_norm(self, kernel: np.ndarray) -> float:
        """The exact spectral norm."""
        return spectral_norm(kernel)

    def matrix_as_applied(self) -> np.ndarray | None:
        """The kernel as applied at inference, (in, out), float64; `None` for a subclass that applies something else."""
        if type(self).call is not SpectralDense.call or not self.built:
            return None
        return weights_as_applied(self, self.effective_kernel())

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Apply the layer."""
        return self.finish(tf.tensordot(x, tf.cast(self.effective_kernel(training), x.dtype), 1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "units": self.units}
