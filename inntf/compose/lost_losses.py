"""Losses that layers make inside of blocks whose computation Keras does not see."""

from __future__ import annotations

import warnings

import keras


def warn_of_lost_losses(scope: keras.StatelessScope, name: str) -> None:
    """Say that losses made within a scope reach no training loss.

    Args:
        scope: of what has been computed, with `collect_losses`.
        name: of the composition.

    Warns:
        UserWarning: where there are some.
    """
    if scope.losses:
        warnings.warn(
            f"{name}: a layer inside makes losses (activity_regularizer, add_loss). They do not reach the loss of the model: "
            "a Repeat, and backpropagation that recomputes activations, keep them from Keras. Use a Chain (factories: "
            "repeat=False) with backprop='stored', or regularize weights (kernel_regularizer), which works everywhere.",
            stacklevel=2,
        )
