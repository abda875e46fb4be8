"""How a condition reaches a network, and how a block gets the network that it asks for parameters."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape, is_open
from inntf.nets.applied_weights import note_size
from inntf.nets.convnet import ConvNet
from inntf.nets.make_conditioner import Conditioner, make_conditioner
from inntf.nets.mlp import MLP


def prepare_conditioner(block: Block, wanted: Conditioner | None, view: tf.Tensor, out_channels: int) -> keras.layers.Layer:
    """Make and build the conditioner for what it sees of an event; by default an MLP (vectors) or a ConvNet (images)."""
    if wanted is None:
        wanted = MLP((128, 128), dtype=block.dtype_policy) if view.shape.rank == 2 else ConvNet(64, dtype=block.dtype_policy)
    layer = make_conditioner(block, wanted, out_channels)
    example = view
    if block.condition_shape is not None:
        example = merge_condition(block, view, dummy(block.condition_shape, view.dtype))
    _build(layer, example, is_open(block.event_shape))
    out = layer(example)  # builds every kind of layer, and shows its width
    if out.shape[-1] != out_channels or out.shape.rank != view.shape.rank:
        raise ValueError(
            explain(
                f"{block.name}: conditioner {layer.name}",
                received=f"an output of shape {tuple(out.shape)} for an input of shape {tuple(example.shape)}",
                expected=f"{out_channels} output channels and rank {view.shape.rank}",
                remedy="Pass a function of the number of output channels: conditioner=lambda channels: ...",
            )
        )
    return layer


def _build(layer: keras.layers.Layer, example: tf.Tensor, any_size: bool) -> None:
    """Where the size of images is open a layer must not be built for that of the example, which stands for all."""
    shape = (None, None, None, example.shape[-1]) if any_size and example.shape.rank == 4 else tuple(example.shape)
    if layer.built:
        note_size(layer, shape)
        return
    for part in layer._flatten_layers(include_self=False):
        note_size(part, (None,) * 4)  # built before, for who knows what
    if shape[1:2] == (None,):
        layer(keras.KerasTensor(shape, dtype=example.dtype.name))


def merge_condition(block: Block, view: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """Join view and condition along the channels; a vector is spread over the pixels of an image.

    Raises:
        ValueError: if an image condition does not have the view's height and width.
    """
    if condition is None:
        return view
    condition = tf.cast(condition, view.dtype)
    if view.shape.rank == 4 and condition.shape.rank == 2:
        shape = tf.concat([tf.shape(view)[:3], tf.shape(condition)[-1:]], 0)
        condition = tf.broadcast_to(condition[:, None, None, :], shape)
    if condition.shape.rank != view.shape.rank or not view.shape[1:-1].is_compatible_with(condition.shape[1:-1]):
        raise ValueError(
            explain(
                block.name,
                received=f"a condition of shape {tuple(condition.shape)}",
                expected=f"a vector, or feature maps of height and width {tuple(view.shape[1:-1])}"
                if view.shape.rank == 4
                else "a vector (batch, dim)",
                remedy="Embed it first: Flow(condition_network=...) for vectors, "
                "Multiscale(condition_network=ConditionPyramid(...)) for images.",
            )
        )
    return tf.concat([view, condition], -1)


def dummy(event_shape: Shape, dtype: Any) -> tf.Tensor:
    """One event of zeros, on which a network is built; sizes that are open count as 4."""
    return tf.zeros([1, *(4 if n is None else n for n in event_shape)], dtype)
