"""What `Chain`, `Repeat` and `Multiscale` share: how they backpropagate, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from inntf.compose.backprop import Backprop
from inntf.compose.drift import DriftGuard
from inntf.compose.reversible import Step, run
from inntf.core import Block
from inntf.core.arguments import Limit
from inntf.core.blocks_in_turn import BlocksInTurn


def widest_policy(blocks: Sequence[Block]) -> Any:
    """The dtype policy of the block with the widest weights: blocks without weights take any dtype."""
    return max(blocks, key=lambda block: tf.as_dtype(block.variable_dtype).size).dtype_policy


class Composition(Block):
    """Blocks one after the other.

    Args:
        backprop: `"stored"` keeps the activations of the forward pass for the gradients; `"reversible"` recomputes them
            by the inverse, so memory does not grow with depth, at about 4/3 of the arithmetic; `"checkpointed"` keeps the
            blocks' inputs and recomputes what is inside of them, at the same arithmetic: for blocks whose inverse is
            an iteration (`ResidualBlock`, `ContinuousBlock`) or whose latent is coarse.  Gradients of first order only.
        checkpoint_every: every so many blocks the true activation is kept.  Reversible: the reconstruction is compared with
            it; `None`: about `sqrt(depth)`.  Checkpointed: the others are computed from it, once more if it is not 1;
            `None`: 1.
        drift_tolerance: largest error of a reconstruction relative to the root mean square of the activation;
            `None`: the square root of the dtype's epsilon; infinity: no guard and no checkpoints.
        on_drift: `"recompute"` the segment from its checkpoint, so that the gradient is right; `"raise"` (under XLA, which
            has no errors, the gradients become NaN) or `"warn"` (not under XLA).
        kwargs: as in `Block`.

    Losses that layers inside make as they compute (`activity_regularizer`, `add_loss`) reach Keras from a `Chain` with
    `backprop="stored"` alone; elsewhere a warning says that they do not.  Regularizers of weights work everywhere.
    """

    def __init__(
        self,
        *,
        backprop: str = "stored",
        checkpoint_every: int | None = None,
        drift_tolerance: Limit | None = None,
        on_drift: str = "recompute",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backprop = Backprop(backprop, checkpoint_every, drift_tolerance, on_drift)
        self._guards = _Guards(self.name, self.backprop)
        if backprop == "reversible":
            self._guards.of(0)

    local_map = BlocksInTurn.local_map

    def _drift_guard(self, settings: Backprop, level: int = 0) -> DriftGuard | None:
        return self._guards.of(level) if settings.guarded else None

    def _through(
        self, blocks: Sequence[Block], value: tf.Tensor, condition: tf.Tensor | None, inverse: bool = False, level: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # Block after block, or the last one first and each by its inverse.
        steps = [Step(block, inverse) for block in (reversed(blocks) if inverse else blocks)]
        settings = self.backprop.now()
        if settings.mode != "stored":
            return run(steps, value, condition, settings, self._drift_guard(settings, level))
        log_dets = []
        for step in steps:
            value, log_det = step.apply(value, condition)
            log_dets.append(log_det)
        return value, tf.add_n(log_dets)

    @property
    def worst_drift(self) -> Any:
        """Largest drift in the last reversible backward pass (infinite where not finite), `None` before any."""
        worst = self._guards.worst()
        if worst is None:
            return None
        return float(worst) if tf.executing_eagerly() else worst


class _Guards:
    """One of each level of a composition, which run one after the other; a plain object, out of sight of every tracker."""

    def __init__(self, name: str, settings: Backprop):
        self._name, self._settings = name, settings
        self._made: dict[int, DriftGuard] = {}

    def of(self, level: int) -> DriftGuard:
        if level not in self._made:
            with tf.init_scope():
                self._made[level] = DriftGuard(self._name, self._settings)
        return self._made[level]

    def worst(self) -> tf.Tensor | None:
        drifts = [tf.convert_to_tensor(guard.worst) for guard in self._made.values()]
        return tf.reduce_max(tf.stack(drifts)) if drifts else None
