"""What `tf.train.Checkpoint` finds in a `Flow`, and in the keras.Models around one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.checkpointing import Checkpointed, metric_variables, numbered, settled
from inntf.models.fit_end import FitEnd


class CheckpointedFlow:
    """Mixin of `Flow`: the variables of the network for the condition and of the base, whatever keeps them."""

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        return super()._trackable_children(save_type, **kwargs) | self._checkpointed()

    def _checkpointed(self) -> dict[str, tf.Variable]:
        network = self.condition_network
        variables = [] if network is None or not settled(network) else network.variables
        return numbered("condition_network", variables) | numbered("base", self.base.variables)


class FlowHolder(Checkpointed, FitEnd):
    """Mixin of a keras.Model that keeps a `Flow` in `self.flow`, out of sight of Keras.

    Its checkpoints hold the flow, with the block, the network for the condition and the base; what other layers the model
    has (a discriminator) is counted apart, for the flow's weights may be made later, at the first call.
    """

    def _checkpointed(self) -> dict[str, Any]:
        flow = self.__dict__.get("flow")
        if flow is None:
            return {}  # Keras asks in the constructor
        others = [layer for layer in self._layers if layer is not flow.block and layer is not flow.condition_network]
        variables = numbered("variable", (v for layer in others for v in layer.variables))
        return {"flow": flow, **variables, **numbered("metric", metric_variables(self))}
