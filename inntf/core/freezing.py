"""Layers frozen before they are built stay frozen: what `build` makes inside of them is frozen too."""

from __future__ import annotations

import keras


def keep_frozen(layer: keras.layers.Layer) -> None:
    """Freeze again, with what is inside of them by now, the frozen ones among a layer and its parts.

    Keras freezes the parts that a layer has when `trainable` is set; those made later, in `build`, would train.
    """
    for part in layer._flatten_layers():
        if not part.trainable:
            type(part).trainable.fset(part, False)  # an assignment of what is there already does nothing in Keras


def freeze_alike(layer: keras.layers.Layer, model: keras.layers.Layer) -> None:
    """Freeze and thaw a layer and its parts as those of another one of the same make are."""
    for part, other in zip(layer._flatten_layers(), model._flatten_layers(), strict=False):
        if type(part) is type(other) and part.trainable != other.trainable:
            part.trainable = other.trainable
