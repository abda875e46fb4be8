"""The layers of a network as linear maps in float64, with activations between them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.nets.angle_features import AngleFeatures
from inntf.nets.concat_lip_swish import ConcatLipSwish, SwishHalf
from inntf.nets.convnet import ConvNet
from inntf.nets.flat_mlp import FlatMLP
from inntf.nets.fold import as_convolution
from inntf.nets.layers_in_turn import LayersInTurn
from inntf.nets.linear_map_kinds import ConvMap, DenseMap, IdentityMap, LinearMap, MirrorMap
from inntf.nets.lipschitz import weights_as_applied
from inntf.nets.make_conditioner import width_of
from inntf.nets.orthogonal_net import OrthogonalNet
from inntf.nets.slope_ranges import why_no_slopes
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense


def linear_maps(network: Any, event: tuple[int, ...]) -> tuple[list[LinearMap], str]:
    """A network as linear maps with activations between them, in order.

    Args:
        network: built: `Dense`, `Conv2D`, their spectrally normalized forms, `MLP`, `FlatMLP`, `LipschitzMLP`,
            `ConvNet`, `OrthogonalNet` and `keras.Sequential` of these with activation layers; no normalization layers.
        event: shape of one input.

    Returns:
        The maps, with the weights as they are at inference, and an empty text; or no maps and what it is that is not known.

    Source: inntf.

    Example:
        >>> dense = keras.layers.Dense(3, activation="relu"); dense.build((None, 2))
        >>> maps, why = linear_maps(dense, (2,))
        >>> maps[0].image(np.ones([5, 2])).shape, why
        ((5, 3), '')
    """
    maps: list[LinearMap] = []
    for layer in _flat(network):
        kind = _kind(layer)
        if kind == "activation":
            if not maps or maps[-1].activation is not None:
                maps.append(IdentityMap(np.zeros(1), None))
            if unknown := why_no_slopes(layer):
                return [], unknown
            maps[-1] = dataclasses.replace(maps[-1], activation=layer)
        elif kind == "mirror":  # of what is activated both itself and its negative
            free = maps and maps[-1].activation is None
            made = _mirrored(maps.pop() if free else None, event)
            maps.append(dataclasses.replace(made, activation=SwishHalf.of(layer)))
            event = (*event[:-1], 2 * event[-1])
        elif kind == "angles":
            if len(event) != 1:
                return [], f"{layer.name} is asked for the angles of an image"
            kernel, bias, activation = layer.as_matrix()
            maps.append(DenseMap(bias, activation, kernel))
            event = (layer.units,)
        elif kind in ("dense", "conv"):
            if kind == "dense" and len(event) != 1:
                return [], f"{layer.name} is dense and its input an image"
            made = (_dense if kind == "dense" else _conv)(layer, event)
            if unknown := why_no_slopes(made.activation):
                return [], f"{layer.name}: {unknown}"
            maps.append(made)
            event = made.outputs if isinstance(made, ConvMap) else (len(made.bias),)
        elif kind == "orthogonal":
            maps += _orthogonal(layer, event)
            event = (*event[:-1], layer.out_channels)
        elif kind == "flat":
            if unknown := why_no_slopes(layer.activation):
                return [], f"{layer.name}: {unknown}"
            *inner, (kernel, bias) = layer.matrices()
            maps += [DenseMap(shift, layer.activation, matrix) for matrix, shift in inner] + [DenseMap(bias, None, kernel)]
            event = (*event[:-1], layer.out_channels)
        elif kind != "nothing":
            return [], f"{getattr(layer, 'name', layer)} ({type(layer).__name__}) is no layer whose slopes are known"
    return maps, ""


def _flat(network: Any) -> list[Any]:
    if isinstance(network, keras.Sequential) and type(network).call is keras.Sequential.call:
        return [inner for layer in network.layers for inner in _flat(layer)]
    if isinstance(network, LayersInTurn) and type(network).call is LayersInTurn.call:
        return [inner for layer in network.layers for inner in _flat(layer)]
    if type(network) is ConvNet:
        found: list[Any] = []
        for i, layer in enumerate(network.convolutions):
            found += [layer, *network.norms[i : i + 1]]
            found += [network.activation] if i < len(network.convolutions) - 1 else []
        return found
    return [network]


def _kind(layer: Any) -> str:
    if type(layer) in (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Identity):
        return "nothing"
    if type(layer) in (keras.layers.Dense, SpectralDense):
        return "dense"
    if type(layer) in (keras.layers.Conv2D, SpectralConv2D) and _usual(layer):
        return "conv"
    if type(layer) is OrthogonalNet:
        return "orthogonal"
    if type(layer) is AngleFeatures:
        return "angles"
    if type(layer) is FlatMLP:
        return "flat"
    if type(layer) is ConcatLipSwish:
        return "mirror"
    if isinstance(layer, keras.layers.Layer):
        known = type(layer).__module__.startswith(("keras.src.layers.activations", "inntf.nets.activations"))
        declared = callable(getattr(layer, "slope_range", None)) or isinstance(getattr(layer, "slopes", None), tuple)
        return "activation" if known or declared else "unknown"
    return "activation" if callable(layer) else "unknown"


def _usual(layer: Any) -> bool:
    return getattr(layer, "groups", 1) == 1 and getattr(layer, "data_format", "channels_last") == "channels_last"


def _parameters(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    kernel = layer.effective_kernel() if isinstance(layer, SpectralDense | SpectralConv2D) else layer.kernel
    kernel = weights_as_applied(layer, kernel)
    bias = np.zeros(kernel.shape[-1]) if layer.bias is None else weights_as_applied(layer, layer.bias)
    return kernel, bias


def _after(layer: Any) -> Any:
    return None if layer.activation is keras.activations.linear else layer.activation


def _dense(layer: Any, event: tuple[int, ...]) -> DenseMap:
    kernel, bias = _parameters(layer)
    return DenseMap(bias, _after(layer), kernel)


def _conv(layer: Any, event: tuple[int, ...]) -> ConvMap:
    kernel, bias = _parameters(layer)
    strides, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
    probe = tf.nn.conv2d(tf.zeros([1, *event], tf.float64), kernel, strides, layer.padding.upper(), dilations=dilation)
    outputs = tuple(probe.shape[1:])
    bias = np.tile(bias, math.prod(outputs[:-1]))
    return ConvMap(bias, _after(layer), kernel, strides, layer.padding, dilation, event, outputs)  # type: ignore[arg-type]


def _mirrored(before: LinearMap | None, event: tuple[int, ...]) -> LinearMap:
    if not isinstance(before, DenseMap | ConvMap):
        return MirrorMap(np.zeros(1), None, event[-1])
    bias = before.bias.reshape(-1, event[-1])
    more: dict[str, Any] = {"outputs": (*before.outputs[:-1], 2 * event[-1])} if isinstance(before, ConvMap) else {}
    kernel, bias = (np.concatenate([part, -part], -1) for part in (before.kernel, bias))
    return dataclasses.replace(before, kernel=kernel, bias=bias.reshape(-1), **more)


def _orthogonal(net: OrthogonalNet, event: tuple[int, ...]) -> list[LinearMap]:
    if len(event) == 1:
        return [DenseMap(bias, activation, kernel) for kernel, bias, activation in net.parts()]
    size = event[:-1]
    maps: list[LinearMap] = []
    for kernel, bias, activation in net.parts():  # what the last one returns does not move
        shapes, taps = [(*size, channels) for channels in kernel.shape], as_convolution(kernel, width_of(net))
        maps.append(ConvMap(np.tile(bias, math.prod(size)), activation, taps, (1, 1), "same", (1, 1), *shapes))
    return maps
