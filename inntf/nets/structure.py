"""What a network computes of its input and its weights, as a text that equal networks share."""

from __future__ import annotations

import json
from typing import Any

import keras

from inntf.nets.angle_features import AngleFeatures
from inntf.nets.clip import Clip
from inntf.nets.concat_lip_swish import ConcatLipSwish
from inntf.nets.convnet import ConvNet
from inntf.nets.flat_mlp import FlatMLP
from inntf.nets.lipschitz_mlp import LipschitzMLP
from inntf.nets.mlp import MLP
from inntf.nets.orthogonal_net import OrthogonalNet
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense

# All that these do is told by their configuration; of others nobody knows, so no two of them are taken to be equal.
_KNOWN = {
    AngleFeatures,
    Clip,
    ConcatLipSwish,
    ConvNet,
    FlatMLP,
    LipschitzMLP,
    MLP,
    OrthogonalNet,
    SpectralConv2D,
    SpectralDense,
    keras.Sequential,
    keras.layers.Activation,
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.InputLayer,
}


def structure_of(network: keras.layers.Layer) -> str | None:
    """A text; networks that share it compute the same of their input and variables. `None` where that is not known.

    Args:
        network: a Keras layer, built.

    Returns:
        The text, or `None` for a network with a layer, an activation or a variable of another kind than inntf knows.

    Source: inntf.

    Example:
        >>> first, second = (SpectralDense(2, name=name) for name in ("first", "second"))
        >>> structure_of(first) == structure_of(second) != structure_of(SpectralDense(2, coefficient=0.5))
        True
    """
    if not all(_is_known(layer) for layer in network._flatten_layers()):
        return None
    weights = [(tuple(v.shape), v.dtype) for v in network.variables]
    if not all(dtype.startswith(("float", "bfloat")) for _, dtype in weights):
        return None
    try:
        return json.dumps([_nameless(keras.saving.serialize_keras_object(network)), weights], sort_keys=True, default=str)
    except (TypeError, ValueError):
        return None


def _is_known(layer: Any) -> bool:
    if not (type(layer) in _KNOWN or type(layer).__module__.startswith("inntf.nets.activations")):
        return False
    functions = [value for name, value in vars(layer).items() if "activation" in name and callable(value)]
    return all(_is_public(function) for function in functions)


def _is_public(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.startswith(("keras.", "inntf.nets."))


def _nameless(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _nameless(value) for key, value in config.items() if key != "name"}
    return [_nameless(part) for part in config] if isinstance(config, list | tuple) else config
