"""A `Flow` as an attribute of a Keras model or layer: its weights become the model's."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import keras

from inntf.core import Block
from inntf.core.errors import explain


class TrackedByKeras:
    """Mixin of `Flow`: a Keras layer that gets it as an attribute tracks its block, network and base.

    Keras looks for layers and variables only, and a distribution is neither.  TensorFlow, on whose tracking Keras stands,
    asks a new attribute to get ready; that is when the parts are put beside it, as `<name>_block` and so on, where Keras
    trains and saves them.  In a list or a dictionary nobody is asked: then the first use within the layer raises.
    """

    def _maybe_initialize_trackable(self) -> None:
        super()._maybe_initialize_trackable()
        holder, name = _who_tracks(sys._getframe(1))
        if holder is not None:
            self._held_by(holder, name)

    def _held_by(self, holder: keras.layers.Layer, name: str) -> None:
        for kind, layer in (("block", self.block), ("condition_network", self.condition_network)):
            if layer is not None and not any(layer is known for known in holder._flatten_layers()):
                setattr(holder, f"{name}_{kind}", layer)
        blocks, _ = base_parts(self.base)
        if fresh_blocks := [b for b in blocks if not any(b is known for known in holder._flatten_layers())]:
            setattr(holder, f"{name}_base_blocks", fresh_blocks)
        known = {id(getattr(v, "_value", v)) for v in holder.variables}
        if fresh := [v for v in self.base.variables if id(v) not in known]:
            setattr(holder, f"{name}_base_variables", [keras.Variable(v, trainable=v.trainable) for v in fresh])

    def _check_holder(self) -> None:
        # Within a Keras call: weights that train must be known to the layer that was called.
        context = keras.src.backend.common.global_state.get_global_attribute("current_call_ctx")
        layer = None if context is None else context.entry_layer
        if layer is None or not self.block.trainable_variables:
            return
        if not any(part is self.block for part in layer._flatten_layers()):
            raise ValueError(
                explain(
                    f"{type(layer).__name__} {layer.name}",
                    received=f"the {type(self).__name__} {self.name}, which Keras does not see where it is",
                    expected="its weights to be the model's: an attribute of its own, self.flow = flow",
                    remedy="In lists and dictionaries keep the block, self.parts = [flow.block]; for a flow that is not to be "
                    "trained set flow.block.trainable = False.",
                )
            )


def base_parts(base: Any) -> tuple[list[Block], list[keras.Variable]]:
    """What Keras must know of a base: the blocks of flows in it, and its other variables, wrapped."""
    inside = [part for part in base.submodules if isinstance(part, Block)]
    within = {id(layer) for block in inside for layer in block._flatten_layers(include_self=False)}
    blocks = [block for block in inside if id(block) not in within]
    known = {id(getattr(v, "_value", v)) for block in blocks for v in block.variables}
    return blocks, [keras.Variable(v, trainable=v.trainable) for v in base.variables if id(v) not in known]


def _who_tracks(frame: FrameType | None) -> tuple[Any, str]:
    # The method of the owner that TensorFlow is in, where the owner is a Keras layer.
    given = {} if frame is None or frame.f_code.co_name != "_handle_deferred_dependencies" else frame.f_locals
    holder = given.get("self")
    return (holder, given["name"]) if isinstance(holder, keras.layers.Layer) else (None, "")
