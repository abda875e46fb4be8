"""Certified Lipschitz constants as tensors: inside a graph, of the weights at the time it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.protocols import BoundedInGraphs
from inntf.core.weights import read
from inntf.nets.activations import activation_lipschitz
from inntf.nets.convnet import ConvNet
from inntf.nets.lipschitz import built_size, lipschitz_constant
from inntf.nets.lipschitz_mlp import LipschitzMLP
from inntf.nets.mlp import MLP
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense
from inntf.numerics.norms.gram_bounds import conv_gram_bound, gram_bound

_RULES: dict[type, Callable[[Any], tf.Tensor]] = {}


def lipschitz_tensor(layer: Any) -> tf.Tensor:
    r"""Upper bound of the l2 Lipschitz constant of a network at inference, a float64 scalar computed by TensorFlow.

    $\mathrm{Lip} \le \prod_i \|W_i\| \, \mathrm{Lip}(a_i)$ with every norm bounded above.  The norms are Gram iterations,
    `gram_bound` and `conv_gram_bound`: they follow the weights in a `tf.function`, in a loop over stacked weights, under XLA
    and in a SavedModel, and are at most about half a percent too large a layer.  `lipschitz_constant`, for eager use, bounds
    dense layers together and is smaller for most networks of several.

    Args:
        layer: as in `lipschitz_constant`, built: `MLP`, `LipschitzMLP`, `ConvNet`, `keras.Sequential`, dense layers and
            convolutions (stride 1, no dilation), spectrally normalized or not, activations, and layers without weights.

    Returns:
        The bound, a scalar; infinity where a weight is not finite.

    Raises:
        NotImplementedError: for a layer with weights that it does not know.

    Source: Delattre et al., "Efficient Bound of Lipschitz Constant for Convolutional Layers by Gram Iteration"
        (2023).

    Example:
        >>> network = LipschitzMLP([8], out_channels=3); _ = network(tf.ones([1, 3]))
        >>> float(lipschitz_tensor(network)) >= network.lipschitz_bound()[0]
        True
    """
    if isinstance(layer, list | tuple):
        total = tf.ones([], tf.float64)
        for part in layer:
            total *= lipschitz_tensor(part)
        return total
    rule = _RULES.get(type(layer))
    if rule is not None:
        return rule(layer)
    if isinstance(layer, BoundedInGraphs):
        return layer.lipschitz_tensor()
    # What has no weights, or the same constant whatever they are, is known now.
    constant = getattr(layer, "lipschitz", None)
    if not isinstance(constant, float | int):
        if getattr(layer, "variables", None):
            raise NotImplementedError(
                explain(
                    f"the Lipschitz constant of {getattr(layer, 'name', layer)} in a graph",
                    received=f"a {type(layer).__name__}",
                    expected="dense layers, convolutions of stride 1, activations, or layers without weights",
                    remedy="Give the layer a method lipschitz_tensor(), or call the inverse eagerly.",
                )
            )
        constant = lipschitz_constant(layer)[0]
    return tf.constant(constant, tf.float64)


def _rule(*kinds: type) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        _RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def _as_applied(layer: keras.layers.Layer, weight: Any) -> tf.Tensor:
    return tf.cast(read(weight, layer.compute_dtype), tf.float64)


def _kernel(layer: Any) -> tf.Tensor:
    spectral = isinstance(layer, SpectralDense | SpectralConv2D)
    return _as_applied(layer, layer.effective_kernel() if spectral else layer.kernel)


@_rule(keras.layers.Dense, SpectralDense)
def _dense(layer: Any) -> tf.Tensor:
    return gram_bound(_kernel(layer)) * _slope(layer)


@_rule(keras.layers.Conv2D, SpectralConv2D)
def _conv(layer: Any) -> tf.Tensor:
    plain = {"strides": (1, 1), "dilation_rate": (1, 1), "groups": 1, "data_format": "channels_last"}
    odd = {k: getattr(layer, k) for k, v in plain.items() if getattr(layer, k, v) != v}
    if odd:
        raise NotImplementedError(
            explain(
                f"the Lipschitz constant of {layer.name} in a graph",
                received=f"a convolution with {odd}",
                expected=str(plain),
                remedy="Call the inverse eagerly, where lipschitz_constant knows them all.",
            )
        )
    return conv_gram_bound(_kernel(layer), built_size(layer), padding=layer.padding) * _slope(layer)


def _slope(layer: Any) -> float:
    slope = activation_lipschitz(layer.activation)
    return slope if math.isfinite(slope) else np.inf


@_rule(MLP, LipschitzMLP, keras.Sequential)
def _layers(layer: Any) -> tf.Tensor:
    return lipschitz_tensor(list(layer.layers))


@_rule(ConvNet)
def _conv_net(layer: ConvNet) -> tf.Tensor:
    total = lipschitz_tensor([*layer.convolutions, *layer.norms])
    return total * activation_lipschitz(layer.activation) ** (len(layer.convolutions) - 1)
