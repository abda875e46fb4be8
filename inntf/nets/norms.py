"""Spectral norms of everything inside a model: continued in training, certified after it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from inntf.core.block import Block
from inntf.core.errors import explain
from inntf.nets.spectral_layer import SpectralLayer


def spectral_layers(network: Any) -> list[SpectralLayer]:
    """Every `SpectralLayer` inside a network that has weights of its own, each once, however deep or often it is used.

    Args:
        network: a Keras layer or model, a block, a `Flow` or another distribution or bijector around blocks, or a list,
            tuple or dictionary of these.

    Returns:
        The layers; an empty list if there are none.  Those in the blocks of a `Repeat` are slices of stacked weights, and
        not among them; `update_norms` and `certify_norms` reach them.

    Source: inntf.

    Example:
        >>> from inntf.nets.spectral_dense import SpectralDense
        >>> shared = SpectralDense(2)
        >>> len(spectral_layers(keras.Sequential([shared, keras.layers.ReLU(), shared])))
        1
    """
    return [layer for layer in _layers(network) if isinstance(layer, SpectralLayer)]


def update_norms(network: Any) -> None:
    r"""`update()` on every spectrally normalized layer of a network, also in the blocks of a `Repeat`.

    Each layer goes on with $v \leftarrow W^\top W v / \|W^\top W v\|$ from its stored vector, at most `max_iterations` times.
    Call it once after each optimizer step, inside of a `tf.function`, with `update_every_call=False` in the layers: then all
    evaluations of a step see the same kernels.  Frozen layers, and those without weights yet, are left alone.

    Args:
        network: as in `spectral_layers`.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018), algorithm 1.

    Example:
        >>> from inntf.nets.spectral_dense import SpectralDense
        >>> layer = SpectralDense(2, coefficient=0.5, update_every_call=False, kernel_initializer="identity")
        >>> network = keras.Sequential([layer]); _ = network(tf.ones([1, 2]))
        >>> _ = layer.kernel.assign([[1.0, 0.0], [0.0, 4.0]]); update_norms(network)
        >>> round(float(layer.sigma()), 3)
        4.0
    """
    layers = [layer for layer in _layers(network) if layer.built and layer.trainable]
    with _where_the_weights_are(layers):
        for layer in layers:
            if isinstance(layer, SpectralLayer):
                layer.update()
            elif isinstance(layer, Block):
                layer.for_each_inner_block(update_norms)


def certify_norms(network: Any, rescale: bool = False) -> dict[str, float]:
    r"""Certified bounds of $\|W \min(1, c/\sigma)\|$ of every spectrally normalized layer, also in the blocks of a `Repeat`.

    Args:
        network: as in `spectral_layers`; its spectrally normalized layers are built.
        rescale: also scale the weights, if need be, so that each bound is at most the layer's coefficient.

    Returns:
        The bounds by the path of the layer; in a `Repeat` after its path and the number of the block.

    Raises:
        ValueError: if a layer is not built, or inside of a `tf.function`.

    Source: inntf; for convolutions the bound of Sedghi, Gupta, Long (2019), see `inntf.numerics.conv_norm_bound`.

    Example:
        >>> from inntf.nets.spectral_dense import SpectralDense
        >>> network = keras.Sequential([SpectralDense(3, coefficient=0.5), SpectralDense(2, coefficient=0.8)])
        >>> _ = network(tf.ones([1, 2]))
        >>> [bound <= c for bound, c in zip(certify_norms(network, rescale=True).values(), [0.5, 0.8], strict=True)]
        [True, True]
    """
    if not tf.executing_eagerly():
        raise ValueError(
            explain("certify_norms", received="a graph", expected="eager mode", remedy="Call it outside of tf.function.")
        )
    bounds: dict[str, float] = {}
    layers = _layers(network)
    with _where_the_weights_are(layers):
        for layer in layers:
            if isinstance(layer, SpectralLayer):
                _note(bounds, layer.path, layer.certify(rescale))
            elif isinstance(layer, Block) and layer.built:
                for i, found in enumerate(layer.for_each_inner_block(lambda block: certify_norms(block, rescale))):
                    for path, bound in found.items():
                        _note(bounds, f"{layer.path}/{i}/{path}", bound)
    return bounds


def _note(bounds: dict[str, float], path: str, bound: float) -> None:
    # Copies have the names of what they are copies of; no bound may take another's place.
    unique, count = path, 1
    while unique in bounds:
        count += 1
        unique = f"{path} ({count})"
    bounds[unique] = bound


def _layers(thing: Any) -> list[keras.layers.Layer]:
    found: dict[int, keras.layers.Layer] = {}
    for layer in _walk(thing, set()):
        found.setdefault(id(layer), layer)
    return list(found.values())


def _walk(thing: Any, seen: set[int]) -> Iterator[keras.layers.Layer]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, keras.layers.Layer):
        for layer in thing._flatten_layers():
            yield layer
            for value in vars(layer).values():  # a model may keep a flow, of which Keras sees nothing
                if isinstance(value, tf.Module) and not isinstance(value, keras.layers.Layer):
                    yield from _walk(value, seen)
    elif isinstance(thing, Mapping | list | tuple | set | frozenset):
        for part in thing.values() if isinstance(thing, Mapping) else thing:
            yield from _walk(part, seen)
    elif isinstance(thing, tf.Module):
        for part in list(vars(thing).values()):
            yield from _walk(part, seen)


def _where_the_weights_are(layers: list[keras.layers.Layer]) -> Any:
    """The scope of the strategy that the weights were made under: outside of it only one of their copies would be assigned."""
    if not tf.distribute.has_strategy():
        for variable in itertools.chain.from_iterable(layer.variables for layer in layers):
            value = getattr(variable, "_value", None)
            if isinstance(value, tf.distribute.DistributedValues):
                return value.distribute_strategy.scope()
            break  # a model's weights are all of one make
    return contextlib.nullcontext()
