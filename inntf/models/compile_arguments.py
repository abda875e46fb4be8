"""`compile` of a model with an objective of its own, and the arguments that it has no use for."""

from __future__ import annotations

from typing import Any

import keras

from inntf.core.errors import explain
from inntf.core.replicas import clip_what_replicas_add_up

LOSSES = ("loss", "loss_weights", "metrics", "weighted_metrics")


def refuse_losses(model: str, **given: Any) -> None:
    """Refuse losses and metrics by name, rather than train without them.

    Raises:
        ValueError: if one is given.
    """
    said = [f"{key}={value!r}" for key, value in given.items() if key in LOSSES and value]
    if said:
        raise ValueError(
            explain(
                f"{model}.compile",
                received=", ".join(said),
                expected=f"no {' or '.join(LOSSES)}",
                remedy=f"The objective is {model}'s own and has no y; measure other things in a callback.",
            )
        )


class OwnLoss:
    """Mixin of Keras models whose loss is their own: `compile` takes an optimizer and how to run."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Keras' `compile`: an optimizer and how to run; the loss is the model's own.

        Gradients of several replicas are clipped as one device would clip them: `inntf.training.clip_what_replicas_add_up`.

        Raises:
            ValueError: for a loss, loss weights or metrics, which have no `y` to look at.
        """
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        refuse_losses(type(self).__name__, **given)
        super().compile(optimizer=optimizer, **kwargs)
        clip_what_replicas_add_up(self.optimizer)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as a saved model was."""
        config = keras.saving.deserialize_keras_object({k: v for k, v in config.items() if k not in LOSSES})
        self.compile(**config)
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)
