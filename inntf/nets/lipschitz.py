"""Certified Lipschitz constants of networks, as their weights are now."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional  # what keras.Model(inputs, outputs) makes; it has no public name

from inntf.core.block import Block
from inntf.core.protocols import Bounded
from inntf.core.upper_bounds import upper_product
from inntf.nets.activations import activation_lipschitz
from inntf.nets.applied_weights import built_size, note_size, weights_as_applied
from inntf.nets.dense_chains import bound_by_chains, parts_in_turn
from inntf.nets.remembered import remembered
from inntf.numerics.norms.conv_norms import conv_norm_bound
from inntf.numerics.norms.power_iteration import spectral_norm

Bound = tuple[float, str]
NO_WEIGHTS = "has no weights yet: build it, or call it once"
_SUMS = {("keras.src.ops.numpy", "Add"), ("keras.src.ops.numpy", "Subtract")}  # `x + y` on symbolic tensors
_RULES: dict[type, Callable[[Any], Bound]] = {}


def lipschitz_constant(layer: Any) -> Bound:
    r"""Upper bound of the l2 Lipschitz constant of a network at inference, with its present weights.

    Constants of layers multiply, $\mathrm{Lip}(f_n \circ \dots \circ f_1) \le \prod_i \mathrm{Lip}(f_i)$, and branches that are
    added sum.  Layer norms are certified (`spectral_norm`, `conv_norm_bound`), never estimates of a power iteration.
    Dense layers that follow each other, with activations of known slopes between them, count together by
    `slope_restricted_norm` (ECLipsE with tuned multipliers, LipLT), which is mostly smaller than their product; so do
    convolutions of one pixel, and on images of up to 256 numbers.  Larger convolutions multiply.  A
    convolution counts at the spatial size it was built for, at every size where that is open.  With several inputs
    the bound holds for all of them together, so also for each with the others fixed.

    Args:
        layer: a layer with a method `lipschitz_bound() -> (float, str)`; a `Block`; a Keras layer, Sequential or
            Functional model; an activation; or a list of these, in order of application.

    Returns:
        `(bound, reason)`: infinity where no bound is known, and then the reason; otherwise an empty reason.

    Source: Szegedy et al., "Intriguing properties of neural networks" (2014), section 4.3; Gouk et al. (2021); for
        layers together as `slope_restricted_norm`.

    Example:
        >>> dense = keras.layers.Dense(2, activation="elu", kernel_initializer="ones")
        >>> dense.build((None, 2))
        >>> round(lipschitz_constant(dense)[0], 6)
        2.0
    """
    if isinstance(layer, list | tuple):
        return _in_turn(layer)
    found = _constant_of(layer)
    if math.isfinite(found[0]) and isinstance(layer, keras.layers.Layer) and not _own_weights_are_finite(layer):
        return unbounded(layer, "has weights that are not finite")
    return found


def _own_weights_are_finite(layer: keras.layers.Layer) -> bool:
    own = [np.asarray(keras.ops.convert_to_numpy(w)) for w in (*layer._trainable_variables, *layer._non_trainable_variables)]
    return all(w.dtype.kind in "iub" or np.isfinite(w.astype(np.float64)).all() for w in own)


_KNOWN_BY = ("lipschitz_bound", "certified_norm", "parts_in_turn", "matrix_as_applied", "lipschitz")


def _computes_what_is_known(layer: Any) -> bool:
    """Whether no subclass has given the layer another `call` without saying anew what is known of it."""
    mro = type(layer).__mro__
    call = next((i for i, kind in enumerate(mro) if "call" in vars(kind)), len(mro))
    known = next((i for i, kind in enumerate(mro) if any(name in vars(kind) for name in _KNOWN_BY)), 0)
    return known <= call


def _constant_of(layer: Any) -> Bound:
    if isinstance(layer, Bounded):
        return layer.lipschitz_bound() if _computes_what_is_known(layer) else unbounded(layer, "has a `call` of its own")
    kind = next((kind for kind in type(layer).__mro__ if kind in _RULES), None)
    # A subclass with a `call` of its own may compute anything: what is known of its parent says nothing.
    if kind is not None and (kind is Block or type(layer).call is kind.call):  # type: ignore[attr-defined]
        return _RULES[kind](layer)
    slope = activation_lipschitz(layer)
    return (slope, "") if math.isfinite(slope) else unbounded(layer, "has no known Lipschitz constant")


def product(bounds: Iterable[Bound]) -> Bound:
    """The bound of maps applied one after the other; reasons are collected."""
    total, reasons = 1.0, []
    for value, reason in bounds:
        total = upper_product(total, 1.0 if math.isinf(value) else value)
        if math.isinf(value):
            reasons.append(reason)
    if not reasons and not math.isfinite(total):
        reasons.append("a product of layer norms beyond float range")
    return (math.inf, "; ".join(dict.fromkeys(reasons))) if reasons else (total, "")


def _in_turn(layers: Sequence[Any]) -> Bound:
    parts = parts_in_turn(layers)
    bounds = [lipschitz_constant(part) for part in parts]
    value, reason = product(bounds)
    return (value, reason) if math.isinf(value) else (min(value, bound_by_chains(parts, [bound for bound, _ in bounds])), "")


def unbounded(layer: Any, why: str) -> Bound:
    """Infinity, and a reason that names the layer."""
    return math.inf, f"{getattr(layer, 'name', None) or getattr(layer, '__name__', layer)} ({type(layer).__name__}) {why}"


def with_activation(layer: Any, norm: float, activation: Any) -> Bound:
    """The bound of a linear map of norm `norm` followed by an activation."""
    slope = activation_lipschitz(activation)
    if math.isinf(norm):
        return unbounded(layer, "has weights that are not finite")
    if math.isinf(slope):
        name = getattr(activation, "__name__", type(activation).__name__)
        return unbounded(layer, f"has the activation {name}, which declares no Lipschitz constant")
    return norm * slope, ""


def _rule(*kinds: type) -> Callable[[Callable[[Any], Bound]], Callable[[Any], Bound]]:
    """Register what is known of layers of these kinds."""

    def register(function: Callable[[Any], Bound]) -> Callable[[Any], Bound]:
        _RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


@_rule(Block)
def _block(layer: Block) -> Bound:
    bounds = layer.lipschitz_bounds()
    return bounds.forward, bounds.reason if math.isinf(bounds.forward) else ""


@_rule(keras.layers.Dense)
def _dense(layer: keras.layers.Dense) -> Bound:
    if not layer.built:
        return _no_weights(layer)
    return with_activation(layer, remembered(spectral_norm, weights_as_applied(layer, layer.kernel)), layer.activation)


@_rule(keras.layers.Conv2D)
def _conv(layer: keras.layers.Conv2D) -> Bound:
    if not layer.built:
        return _no_weights(layer)
    if layer.data_format != "channels_last":
        return unbounded(layer, "is not channels_last")
    if type(layer).convolution_op is not keras.layers.Conv2D.convolution_op:
        return unbounded(layer, "convolves in a way of its own")
    groups = np.split(weights_as_applied(layer, layer.kernel), layer.groups, axis=-1)  # block diagonal
    how = built_size(layer), layer.strides, layer.padding, layer.dilation_rate
    norm = max(remembered(conv_norm_bound, group, *how) for group in groups)
    return with_activation(layer, norm, layer.activation)


@_rule(keras.Sequential)
def _sequential(layer: keras.Sequential) -> Bound:
    if not layer.built:
        return _no_weights(layer)
    if layer._functional is not None:
        _note_sizes(layer._functional)
    return _in_turn(layer.layers)


@_rule(keras.layers.SpectralNormalization)
def _spectral_normalization(layer: keras.layers.SpectralNormalization) -> Bound:
    return lipschitz_constant(layer.layer)  # at inference it applies the stored kernel as it is


@_rule(keras.layers.BatchNormalization)
def _batch_normalization(layer: keras.layers.BatchNormalization) -> Bound:
    if not layer.built:
        return _no_weights(layer)
    slope = 1 / np.sqrt(np.asarray(keras.ops.convert_to_numpy(layer.moving_variance), np.float64) + layer.epsilon)
    if layer.scale:
        slope = slope * np.asarray(keras.ops.convert_to_numpy(layer.gamma), np.float64)
    largest = float(np.max(np.abs(slope)))
    return (largest, "") if math.isfinite(largest) else unbounded(layer, "has statistics that are not finite")


@_rule(keras.layers.Rescaling)
def _rescaling(layer: keras.layers.Rescaling) -> Bound:
    return float(np.max(np.abs(np.asarray(layer.scale, np.float64)))), ""


@_rule(keras.layers.MaxPooling2D)
def _max_pooling(layer: keras.layers.MaxPooling2D) -> Bound:
    overlaps = [-(-p // s) for p, s in zip(layer.pool_size, layer.strides, strict=True)]
    return math.sqrt(math.prod(overlaps)), ""  # a pixel is the maximum of at most so many windows


@_rule(keras.layers.AveragePooling2D)
def _average_pooling(layer: keras.layers.AveragePooling2D) -> Bound:
    if layer.padding != "valid":  # border windows average fewer pixels
        return unbounded(layer, "averages with padding")
    return conv_norm_bound(np.ones((*layer.pool_size, 1, 1)) / math.prod(layer.pool_size), None, layer.strides, "valid"), ""


@_rule(
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalAveragePooling2D,  # an average shrinks; by how much depends on the size
)
def _not_expanding(layer: Any) -> Bound:
    """Moves, copies once or drops values, or does nothing at inference."""
    return 1.0, ""


@_rule(Functional)
def _functional(model: Functional) -> Bound:
    """Along the graph: a layer multiplies, `Add` sums its branches, `Concatenate` is the root of the sum of squares."""
    nodes = model._nodes_by_depth
    _note_sizes(model)
    for node in (node for each in nodes.values() for node in each if not node.is_input):
        if node.arguments.kwargs.get("training"):
            return unbounded(node.operation, "is called with training=True")
    chain = _single_file(model)
    if chain is not None:
        return _in_turn(chain)
    known: dict[int, Bound] = {id(tensor): (1.0, "") for tensor in model.inputs}
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            if not node.is_input:
                bound = _through(node, [known[id(tensor)] for tensor in node.arguments.keras_tensors])
                known.update({id(tensor): bound for tensor in node.outputs})
    return _joined([known[id(tensor)] for tensor in model.outputs])


def _note_sizes(model: Functional) -> None:
    """A layer may have been built for another size than it has in this model, or have several."""
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if not node.is_input and isinstance(node.operation, keras.layers.Layer):
                for tensor in node.arguments.keras_tensors:
                    note_size(node.operation, tuple(tensor.shape))


def _single_file(model: Functional) -> list[Any] | None:
    """The layers, where each has one input, the output of the one before."""
    nodes = model._nodes_by_depth
    chain = [node for depth in sorted(nodes, reverse=True) for node in nodes[depth] if not node.is_input]
    alone = len(model.inputs) == len(model.outputs) == 1 and all(len(each) == 1 for each in nodes.values())
    plain = all(isinstance(n.operation, keras.layers.Layer) and len(n.arguments.keras_tensors) == 1 for n in chain)
    merging = keras.layers.Add, keras.layers.Subtract, keras.layers.Concatenate
    return [n.operation for n in chain] if alone and plain and not any(type(n.operation) in merging for n in chain) else None


def _through(node: Any, incoming: list[Bound]) -> Bound:
    operation = node.operation
    kind = type(operation)
    if kind in (keras.layers.Add, keras.layers.Subtract) or (kind.__module__, kind.__name__) in _SUMS:
        if any(tensor.shape != node.outputs[0].shape for tensor in node.arguments.keras_tensors):
            return unbounded(operation, "broadcasts its inputs")
        return _combined(incoming, sum)
    if kind is keras.layers.Concatenate or len(incoming) == 1:
        return product([_joined(incoming), (1.0, "") if kind is keras.layers.Concatenate else lipschitz_constant(operation)])
    return unbounded(operation, "has several inputs")


def _joined(bounds: list[Bound]) -> Bound:
    return _combined(bounds, lambda values: math.hypot(*values))


def _combined(bounds: list[Bound], how: Any) -> Bound:
    value, reason = product(bounds)  # collects the reasons
    return (value, reason) if math.isinf(value) else (how([v for v, _ in bounds]), "")


def _no_weights(layer: keras.layers.Layer) -> Bound:
    return unbounded(layer, NO_WEIGHTS)
