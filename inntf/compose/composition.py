"""What `Chain` and `Repeat` share: how they backpropagate, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from inntf.compose.backprop import Backprop
from inntf.compose.drift import DriftGuard
from inntf.core import Block


def widest_policy(blocks: Sequence[Block]) -> Any:
    """The dtype policy of the block with the widest weights: blocks without weights take any dtype."""
    return max(blocks, key=lambda block: tf.as_dtype(block.variable_dtype).size).dtype_policy


class Composition(Block):
    """Blocks one after the other.

    Args:
        backprop: `"stored"` keeps the activations of the forward pass for the gradients; `"reversible"` recomputes them
            by the inverse, so memory does not grow with depth, at about 4/3 of the arithmetic.  Gradients of first order only.
        checkpoint_every: every so many blocks the true activation is kept and the reconstruction compared with it;
            `None`: about `sqrt(depth)`.
        drift_tolerance: largest error of a reconstruction relative to the root mean square of the activation;
            `None`: the square root of the dtype's epsilon; infinity: no guard and no checkpoints.
        on_drift: `"recompute"` the segment from its checkpoint, so that the gradient is right; `"raise"` (ignored under
            XLA) or `"warn"` (not under XLA).
        kwargs: as in `Block`.
    """

    def __init__(
        self,
        *,
        backprop: str = "stored",
        checkpoint_every: int | None = None,
        drift_tolerance: float | None = None,
        on_drift: str = "recompute",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backprop = Backprop(backprop, checkpoint_every, drift_tolerance, on_drift)
        self._guard: Any = None
        if backprop == "reversible":
            self._drift_guard()

    def _drift_guard(self) -> DriftGuard:
        if self._guard is None:
            with tf.init_scope():
                self._guard = DriftGuard(self.name, self.backprop)
                self._worst_drift = self._guard.worst  # tracked, so that a SavedModel may hold the gradient function
        return self._guard

    @property
    def worst_drift(self) -> Any:
        """Largest drift in the last reversible backward pass (infinite where not finite), `None` before any."""
        if self._guard is None:
            return None
        worst = tf.convert_to_tensor(self._guard.worst)
        return float(worst) if tf.executing_eagerly() else worst
