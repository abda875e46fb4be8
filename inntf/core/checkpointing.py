"""Every variable of a layer, wherever it keeps it, is found by `tf.train.Checkpoint`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from inntf.core.freezing import keep_frozen


class Checkpointed:
    """Mixin, named before `keras.layers.Layer` or `keras.Model`: checkpoints hold every variable of the layer.

    TensorFlow's checkpoints and SavedModels follow attributes; they do not look into the lists and dictionaries in which
    Keras layers keep layers, nor into those of layers that somebody else wrote.  So all variables are named here, in
    the order of `layer.variables`, which does not depend on what is frozen.  Values read before the variables exist wait
    until `build` has made them.  What is frozen by then stays so, with what `build` has made in it.
    """

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        return super()._trackable_children(save_type, **kwargs) | self._checkpointed()

    def _checkpointed(self) -> dict[str, Any]:
        if not self.built and not settled(self):
            return {f"part_{i:05d}": part for i, part in enumerate(self._layers)}
        return numbered("variable", self.variables) | numbered("metric", metric_variables(self))

    def _post_build(self) -> None:
        super()._post_build()
        keep_frozen(self)
        if not keras.src.backend.in_stateless_scope():  # there the variables do not exist yet
            load_waiting(self)


def settled(layer: keras.layers.Layer) -> bool:
    """Whether all variables of a layer exist, so that their places in `layer.variables` are the final ones."""
    return layer._called or all(part.built for part in layer._flatten_layers(include_self=False))


def metric_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Those of the metrics that a layer has as attributes; not of those that `compile` makes."""
    return [v for metric in keras.layers.Layer.metrics.fget(layer) for v in metric.variables]


def numbered(prefix: str, variables: Iterable[Any]) -> dict[str, tf.Variable]:
    """Variables by a key that says their place; of a Keras variable the `tf.Variable` in it."""
    return {f"{prefix}_{i:05d}": getattr(variable, "_value", variable) for i, variable in enumerate(variables)}


def load_waiting(owner: Any) -> bool:
    """Load what a checkpoint restored before keeps for variables made since; whether there was something.

    Args:
        owner: an object with `_checkpointed()`.
    """
    if not owner.__dict__.get("_self_unconditional_deferred_dependencies"):
        return False
    children = owner._checkpointed()
    waiting = owner._deferred_dependencies.keys() & children.keys()
    for name in waiting:
        owner._handle_deferred_dependencies(name=name, trackable=children[name])
    return bool(waiting)
