"""Which block a model is built around."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models import Flow

_NAMED = ("flow", "block", "body")  # what our own models call theirs, in the order in which they are asked


def find_block(model: Any) -> Block:
    """The block that a model is built around: what `certify`, `stability_report`, `StabilityCallback` and `export` look at.

    Searched are, in this order:

    1. the model itself: a `Block`, or an `inntf.Flow`, whose block it is;
    2. its attributes `flow`, `block` and `body` (`DensityModel`, `FlowGan`, `IResNetClassifier`, `InnAutoencoder`, a
       model of your own);
    3. everything else that it holds: layers of a `Sequential` or functional model, attributes, lists, tuples, dictionaries,
       sublayers of sublayers, the bijector of a distribution.  Blocks inside of a block belong to that block.

    In a `Sequential`, blocks that follow each other count as one `Chain`.  Where there are several separate blocks, none is
    chosen: pass the one that is meant, or call it `model.block`.

    Args:
        model: a `Block`, a `Flow`, or a Keras layer or model, a `tf.Module` or another object with one of them in it.

    Returns:
        The block.  Its data are what the block itself is called with, behind any layers in front of it.

    Raises:
        TypeError: if there is none; ValueError: if there are several.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> block = ActNorm()
        >>> find_block(block) is find_block(keras.Sequential([block, keras.layers.Dense(2)])) is block
        True
    """
    found = find_subject(model)
    return found.block if isinstance(found, Flow) else found


def find_subject(model: Any) -> Block | Flow:
    """As `find_block`, but the `Flow` around the block where there is one: it knows the base and how to embed conditions."""
    if isinstance(model, Block | Flow):
        return model
    for name in _NAMED:
        if isinstance(held := getattr(model, name, None), Block | Flow):
            return held
    if isinstance(model, keras.Sequential) and (run := _consecutive(model.layers)) is not None:
        return run
    found: dict[int, Block | Flow] = {}
    for part in _held(model, set()):
        block = part.block if isinstance(part, Flow) else part
        if isinstance(part, Flow) or id(block) not in found:  # a flow says more than the same block alone
            found[id(block)] = part
    if len(found) == 1:
        return next(iter(found.values()))
    kind = getattr(type(model), "__name__", str(type(model)))
    if found:
        names = ", ".join((part.block if isinstance(part, Flow) else part).name for part in found.values())
        raise ValueError(
            explain(
                "find_block",
                received=f"a {kind} with {len(found)} separate blocks: {names}",
                expected="one block",
                remedy="Pass the block that is meant, put them into one Chain, or hold it as model.block.",
            )
        )
    raise TypeError(
        explain("find_block", received=kind, expected="an inntf block, or a model with a block in it", remedy="Pass the block.")
    )


def _consecutive(layers: list[keras.layers.Layer]) -> Block | None:
    """All blocks among the layers as one, where no other layer stands between them."""
    places = [i for i, layer in enumerate(layers) if isinstance(layer, Block)]
    if len(places) == 1:
        return layers[places[0]]
    if not places or places[-1] - places[0] != len(places) - 1:
        return None
    blocks = layers[places[0] : places[-1] + 1]
    chain = Chain(blocks)
    return chain.ensure_built(blocks[0].event_shape, blocks[0].condition_shape) if blocks[0].built else chain


def _held(thing: Any, seen: set[int]) -> Iterator[Block | Flow]:
    """The outermost blocks and flows in a layer, a module or a container, in order."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Block | Flow):
        yield thing
    elif isinstance(thing, Mapping):
        for part in thing.values():
            yield from _held(part, seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for part in thing:
            yield from _held(part, seen)
    elif isinstance(thing, keras.layers.Layer | tf.Module):
        for part in list(vars(thing).values()):
            yield from _held(part, seen)
