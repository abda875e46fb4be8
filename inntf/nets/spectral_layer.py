"""What spectrally normalized layers share: soft normalization, a persistent singular vector, certificates."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import Limit, typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.weights import read
from inntf.nets.lipschitz import NO_WEIGHTS, unbounded, weights_as_applied, with_activation
from inntf.numerics.norms.power_iteration import power_iteration, unit_vector

_FIRST_ITERATIONS = 50  # at build, from a random start; each costs two evaluations on one image


class SpectralLayer(Checkpointed, keras.layers.Layer):
    r"""A linear layer that applies $W \min(1, c/\sigma)$, with $\sigma = \|Wv\|$ and $v$ from power iteration.

    The iteration runs on the layer's own linear map and its transpose, from the vector of the last call, until
    $\sigma$ settles; gradients flow through $\sigma = u^\top W v$ with $u, v$ as constants.  Since an estimate from below
    leaves the norm a little above c, `certify` gives the exact bound.

    Shapes: `(batch, ..., in_channels)` to `(batch, ..., out_channels)`; what is between is the subclass' matter.

    Subclasses define `linear_map`, `transposed_map`, `vector_shape`, `certified_norm`, and make `kernel` by `make_weights`.

    Args:
        coefficient: c, the norm that the kernel may have; below 1 for a contraction.
        activation: Keras activation after the layer.
        use_bias: whether to add a bias.
        kernel_initializer: of the kernel before normalization.
        bias_initializer: of the bias.
        tolerance: relative change of sigma at which an update stops.
        max_iterations: the most iterations of an update.
        update_every_call: whether each call in training updates; otherwise only `update()` does, once a step, for
            networks that are evaluated several times a step and must not change between.

    Raises:
        ValueError: on a coefficient, tolerance or count that is not positive.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), equation 2; Gouk et al. (2021).

    Example:
        >>> class Gain(SpectralLayer):  # one factor a channel
        ...     def build(self, input_shape):
        ...         self.make_weights(input_shape[-1:], input_shape)
        ...     def vector_shape(self, input_shape):
        ...         return input_shape[-1:]
        ...     def linear_map(self, kernel, v):
        ...         return kernel * v
        ...     transposed_map = linear_map
        ...     def certified_norm(self, kernel):
        ...         return float(np.abs(kernel).max())
        ...     def call(self, x, training=None):
        ...         return self.finish(self.effective_kernel(training) * x)
        >>> layer = Gain(coefficient=0.5, kernel_initializer="ones")
        >>> layer(tf.ones([1, 3])).numpy().round(3).tolist()
        [[0.5, 0.5, 0.5]]
        >>> layer.certify(rescale=True) <= 0.5
        True
    """

    @typed
    def __init__(
        self,
        *,
        coefficient: float = 0.9,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        tolerance: Limit = 1e-4,
        max_iterations: int = 50,
        update_every_call: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in {"coefficient": coefficient, "tolerance": tolerance, "max_iterations": max_iterations}.items():
            if not value > 0:
                raise ValueError(explain(self.name, received=f"{name}={value}", expected="a positive number"))
        self.coefficient = float(coefficient)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.tolerance = float(tolerance)
        self.max_iterations = int(max_iterations)
        self.update_every_call = update_every_call

    # ---- what a subclass writes ------------------------------------------------------------------------------

    def linear_map(self, kernel: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        """The layer without bias on one value `v` of shape `vector_shape()`."""
        raise NotImplementedError

    def transposed_map(self, kernel: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        """The transpose of `linear_map`."""
        raise NotImplementedError

    def vector_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Shape of the vectors that `linear_map` takes."""
        raise NotImplementedError

    def power_iteration(self, kernel: tf.Tensor, v: tf.Tensor, iterations: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`(sigma, u, v)`, see `inntf.numerics.power_iteration`; of use where there is a faster form of it."""
        return power_iteration(
            lambda v: self.linear_map(kernel, v), lambda u: self.transposed_map(kernel, u), v, iterations, self.tolerance
        )

    def certified_norm(self, kernel: np.ndarray) -> float:
        """Certified upper bound of the norm of `linear_map`."""
        raise NotImplementedError

    # ---- weights ---------------------------------------------------------------------------------------------

    def make_weights(self, kernel_shape: tuple[int, ...], input_shape: tuple[int | None, ...]) -> None:
        """Make kernel, bias and singular vector; the vector starts converged for the kernel's start."""
        # Outside of any graph that is traced now: XLA takes no variable whose first value comes from another's by a loop.
        with tf.init_scope():
            # No autocast: the norm is computed in float32 at least, whatever the compute dtype.
            self.kernel = self.add_weight(
                shape=kernel_shape, initializer=self.kernel_initializer, name="kernel", autocast=False
            )
            self.bias = None
            if self.use_bias:
                self.bias = self.add_weight(shape=kernel_shape[-1:], initializer=self.bias_initializer, name="bias")
            self.singular_vector = self.add_weight(
                shape=self.vector_shape(input_shape),
                initializer=self._first_vector,
                trainable=False,
                dtype=self._norm_dtype,
                autocast=False,
                aggregation="only_first_replica",  # all replicas compute the same vector from the same kernel
                name="singular_vector",
            )

    @property
    def _norm_dtype(self) -> str:
        return "float64" if self.variable_dtype == "float64" else "float32"

    def _wide_kernel(self) -> tf.Tensor:
        return read(self.kernel, self._norm_dtype)

    def _first_vector(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        start = tf.random.stateless_normal(shape, [17, 4], dtype=self._norm_dtype)
        return self._iterate(start, max(_FIRST_ITERATIONS, self.max_iterations))[1]

    def _iterate(self, v: tf.Tensor, iterations: int) -> tuple[tf.Tensor, tf.Tensor]:
        sigma, _, v = self.power_iteration(tf.stop_gradient(self._wide_kernel()), v, iterations)
        return sigma, v

    # ---- the norm --------------------------------------------------------------------------------------------

    def update(self) -> tf.Tensor:
        """Continue the power iteration for the present kernel, store the vector, return the new estimate of the norm."""
        sigma, v = self._iterate(read(self.singular_vector), self.max_iterations)
        self.singular_vector.assign(v)
        return sigma

    def sigma(self) -> tf.Tensor:
        """The estimate of the kernel's norm, from below, with its gradient to the kernel."""
        return self._sigma(self._wide_kernel(), read(self.singular_vector))

    def _sigma(self, kernel: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        image = self.linear_map(kernel, tf.stop_gradient(v))
        # u follows from v at no cost, so it is never stale; with u a constant, sigma is linear in the kernel.
        u = tf.stop_gradient(unit_vector(image, tf.zeros_like(image)))
        return tf.reduce_sum(u * image)

    def effective_kernel(self, training: bool | None = False) -> tf.Tensor:
        """The kernel as applied, at least float32; in training after an update if `update_every_call`."""
        if training and self.update_every_call and self.trainable:
            self.update()
        kernel = self._wide_kernel()
        return kernel * (self.coefficient / tf.maximum(self.sigma(), self.coefficient))

    def certify(self, rescale: bool = False) -> float:
        """Certified bound of the norm of the linear map as it is applied now; eager only.

        Args:
            rescale: also scale the weights, if need be, so that the bound is at most `coefficient`.

        Returns:
            The bound, of the weights after rescaling.

        Raises:
            ValueError: if the layer is not built.
        """
        if not self.built:
            raise ValueError(explain(self.name, received="no weights", expected="a built layer", remedy="Call it once."))
        bound = self._certified()
        attempt = 0
        while rescale and self.coefficient < bound < math.inf:
            # The first margin covers the rounding of float32; 16 bit may take a few.
            shrink = self.coefficient / bound * (1 - 1e-6 * 10**attempt)
            self.kernel.assign(tf.cast(self.effective_kernel() * shrink, self.kernel.dtype))
            self.update()
            bound, attempt = self._certified(), min(attempt + 1, 4)
        return bound

    def _certified(self) -> float:
        return self.certified_norm(weights_as_applied(self, self.effective_kernel()))

    def lipschitz_bound(self) -> tuple[float, str]:
        """Certified `(bound, reason)` of the layer with its activation; see `lipschitz_constant`."""
        return with_activation(self, self.certify(), self.activation) if self.built else unbounded(self, NO_WEIGHTS)

    def finish(self, x: tf.Tensor) -> tf.Tensor:
        """Bias and activation."""
        if self.bias is not None:
            x = x + read(self.bias, x.dtype)
        return self.activation(x)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "coefficient": self.coefficient,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "tolerance": self.tolerance,
            "max_iterations": self.max_iterations,
            "update_every_call": self.update_every_call,
        }
