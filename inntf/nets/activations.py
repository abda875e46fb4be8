"""Activations for Lipschitz-bounded networks, and the declared Lipschitz constants of the usual ones."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain

SWISH_SUPREMUM = 1.09983933  # sup |d/dx x sigmoid(b x)|, whatever b > 0; rounded up

_activations = keras.activations
_CONSTANTS = {  # sup |a'|, rounded up
    _activations.celu: 1.0,
    _activations.elu: 1.0,
    _activations.gelu: 1.129,  # at sqrt(2): 1.128905; the tanh form reaches 1.128994
    _activations.hard_sigmoid: 1 / 6,
    _activations.hard_silu: 1.5,
    _activations.hard_tanh: 1.0,
    _activations.leaky_relu: 1.0,
    _activations.linear: 1.0,
    _activations.log_sigmoid: 1.0,
    _activations.mish: 1.0885,
    _activations.relu: 1.0,
    _activations.relu6: 1.0,
    _activations.selu: 1.7581,
    _activations.sigmoid: 0.25,
    _activations.silu: SWISH_SUPREMUM,
    _activations.soft_shrink: 1.0,
    _activations.softmax: 0.5,  # Gershgorin on diag(p) - p p^T: 2 p (1 - p)
    _activations.softplus: 1.0,
    _activations.softsign: 1.0,
    _activations.sparse_plus: 1.0,
    _activations.sparse_sigmoid: 0.5,
    _activations.squareplus: 1.0,
    _activations.tanh: 1.0,
    _activations.tanh_shrink: 1.0,
}


def activation_lipschitz(activation: Any) -> float:
    r"""Declared Lipschitz constant $\sup|a'|$ of an activation, in the l2 norm.

    Args:
        activation: a Keras activation or its name, an activation layer, `None` (linear), or anything with a
            numeric attribute `lipschitz`: declare your own that way.

    Returns:
        The constant; infinity if none is declared (or none exists, as for `exponential`).

    Source: calculus; the swish constant as in Chen et al., "Residual Flows" (2019), section 3.3.

    Example:
        >>> activation_lipschitz("elu"), activation_lipschitz("sigmoid")
        (1.0, 0.25)
    """
    if activation is None:
        return 1.0
    declared = getattr(activation, "lipschitz", None)
    if isinstance(declared, float | int):
        return float(declared)
    if isinstance(activation, keras.layers.Layer):
        return _of_layer(activation)
    if isinstance(activation, str):
        activation = keras.activations.get(activation)
        return activation_lipschitz(activation) if not isinstance(activation, str) else math.inf
    try:
        return _CONSTANTS.get(activation, math.inf)
    except TypeError:  # unhashable callables are nobody we know
        return math.inf


def _of_layer(layer: keras.layers.Layer) -> float:
    if type(layer) is keras.layers.Activation:
        return activation_lipschitz(layer.activation)
    if type(layer) is keras.layers.ReLU:  # a threshold makes a jump
        return max(1.0, abs(float(layer.negative_slope or 0.0))) if not layer.threshold else math.inf
    if type(layer) is keras.layers.LeakyReLU:
        return max(1.0, abs(float(layer.negative_slope)))
    if type(layer) is keras.layers.ELU:
        return max(1.0, abs(float(layer.alpha)))
    if type(layer) is keras.layers.PReLU and layer.built:
        largest = float(keras.ops.max(keras.ops.abs(layer.alpha)))
        return max(1.0, largest) if math.isfinite(largest) else math.inf
    if type(layer) is keras.layers.Softmax:
        return 0.5
    return math.inf


@keras.saving.register_keras_serializable("inntf")
def lip_swish(x: Any, beta: Any = 1.0) -> Any:
    r"""The swish shrunk to slope at most 1: $x\,\mathrm{sigmoid}(\beta x) / 1.1$.

    Args:
        x: any shape.
        beta: positive sharpness; the Lipschitz constant does not depend on it.

    Returns:
        The shape of `x`.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), section 3.3.

    Example:
        >>> round(float(lip_swish(tf.constant(2.0))), 4)
        1.6014
    """
    return x * tf.sigmoid(beta * x) / 1.1


@keras.saving.register_keras_serializable("inntf")
def max_min(x: Any) -> Any:
    r"""Sort pairs of channels: of $(a, b)$ gives $(\max(a, b), \min(a, b))$; keeps the norm of the gradient.

    Channel `i` is paired with channel `i + channels / 2`; the maxima come first.

    Args:
        x: (..., channels), an even number of channels.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: on an odd number of channels.

    Source: Anil, Lucas, Grosse, "Sorting out Lipschitz function approximation" (2019); GroupSort with groups of two.

    Example:
        >>> max_min(tf.constant([1.0, 2.0, 3.0, 0.0])).numpy().tolist()
        [3.0, 2.0, 1.0, 0.0]
    """
    channels = x.shape[-1]
    if channels is None or channels % 2:
        raise ValueError(
            explain("max_min", received=f"{channels} channels", expected="an even number", remedy="Choose an even width.")
        )
    a, b = tf.split(x, 2, axis=-1)
    return tf.concat([tf.maximum(a, b), tf.minimum(a, b)], -1)


lip_swish.lipschitz = SWISH_SUPREMUM / 1.1
max_min.lipschitz = 1.0


@keras.saving.register_keras_serializable("inntf")
def softplus(x: Any) -> Any:
    r"""$\log(1 + e^x)$, from the logistic function, which is its slope: value and derivatives share it.

    TensorFlow's op takes longer, and so does the gradient of its gradient, with two exponentials of its own.

    Args:
        x: float, any shape.

    Returns:
        The shape of `x`; to rounding relative to the value.

    Source: $\log(1 + e^x) = \max(x, 0) - \log(1 - \min(\sigma(x), \sigma(-x)))$.

    Example:
        >>> round(float(softplus(tf.constant(0.0))), 4)
        0.6931
    """
    return _softplus(tf.convert_to_tensor(x))


@tf.custom_gradient
def _softplus(x: tf.Tensor) -> Any:
    slope = tf.sigmoid(x)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return upstream * tf.sigmoid(x)  # a graph computes it once

    return tf.nn.relu(x) - tf.math.log1p(-tf.minimum(slope, 1.0 - slope)), gradient


def quick(activation: Any) -> Any:
    """The same activation in its quickest form."""
    return softplus if activation is _activations.softplus else activation


_CONSTANTS[softplus] = 1.0


def sharpness(raw: Any, dtype: Any) -> tf.Tensor:
    """`softplus(raw)` in a dtype; computed in float32 at least, since accelerators have no 16-bit kernel for all."""
    raw = tf.convert_to_tensor(raw)
    return tf.cast(tf.nn.softplus(raw if raw.dtype.size >= 4 else tf.cast(raw, tf.float32)), dtype)


@keras.saving.register_keras_serializable("inntf")
class LipSwish(Checkpointed, keras.layers.Layer):
    r"""$x\,\mathrm{sigmoid}(\beta x)/1.1$ with a trained sharpness $\beta = \mathrm{softplus}(b) > 0$; 1-Lipschitz.

    Args:
        initial: the start of b, unconstrained.

    Call arguments: any shape, `(...)`.  Returns the same shape.

    Raises:
        nothing.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), section 3.3.

    Example:
        >>> LipSwish()(tf.zeros([2, 3])).shape
        TensorShape([2, 3])
    """

    lipschitz = SWISH_SUPREMUM / 1.1

    @typed
    def __init__(self, initial: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = float(initial)

    def build(self, input_shape: Any) -> None:
        """Make the sharpness."""
        self.raw_beta = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.initial), name="raw_beta")

    def call(self, x: Any) -> Any:
        """Apply the activation."""
        return lip_swish(x, sharpness(self.raw_beta, x.dtype))

    def lipschitz_bound(self) -> tuple[float, str]:
        """The constant, and no reason against it."""
        return self.lipschitz, ""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable("inntf")
class MaxMin(keras.layers.Layer):
    """`(a, b) -> (max(a, b), min(a, b))` of pairs of channels, as a layer; 1-Lipschitz and gradient norm preserving.

    Call arguments: `(..., channels)`, an even number of them.  Returns the same shape.

    Raises:
        ValueError: on an odd number of channels.

    Source: Anil, Lucas, Grosse, "Sorting out Lipschitz function approximation" (2019).

    Example:
        >>> MaxMin()(tf.constant([[1.0, 2.0]])).numpy().tolist()
        [[2.0, 1.0]]
    """

    lipschitz = 1.0

    def call(self, x: Any) -> Any:
        """Apply the activation."""
        return max_min(x)

    def lipschitz_bound(self) -> tuple[float, str]:
        """The constant, and no reason against it."""
        return self.lipschitz, ""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape
