"""Guard of reversible backpropagation: how far a reconstruction has drifted, and what then."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.compose.backprop import Backprop

_ADVICE = (
    "the inverse does not bring back the activations of the forward pass. Use on_drift='recompute' (the gradient is then "
    "right), bound the scales or the Lipschitz constants of the blocks, or compute in float64."
)


class DriftGuard:
    """Compares each segment's reconstruction with its checkpoint, and remembers the worst.

    Args:
        name: of the composition, for messages.
        settings: tolerance and what to do.
    """

    def __init__(self, name: str, settings: Backprop):
        self.name, self.settings = name, settings
        self.worst = tf.Variable(
            0.0,
            trainable=False,
            dtype=tf.float32,
            name="worst_drift",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def check(
        self, rebuilt: tf.Tensor, true: tf.Tensor, gradients: list[tf.Tensor], recompute: Callable[[], list[tf.Tensor]]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients to use for a segment, and its drift (infinite where not finite)."""
        drift = relative_drift(rebuilt, true)
        tolerance = self.settings.tolerance(true.dtype)
        fine = drift <= tolerance
        if self.settings.on_drift == "recompute":
            return tf.cond(fine, lambda: gradients, recompute), drift
        message = f"{self.name}: reversible backpropagation has drifted past drift_tolerance={tolerance:.3g}: {_ADVICE}"
        if self.settings.on_drift == "raise":
            check = tf.debugging.Assert(fine, [message, "Drift:", drift])
            with tf.control_dependencies([] if check is None else [check]):
                gradients = [tf.identity(g) for g in gradients]
        elif tf.executing_eagerly():
            if not bool(fine):
                warnings.warn(f"{message} Drift: {float(drift):.3g}.", RuntimeWarning, stacklevel=2)
        else:
            tf.cond(fine, lambda: tf.no_op(), lambda: tf.print("WARNING:", message, "Drift:", drift))
        return gradients, drift

    def note(self, worst: Any) -> None:
        """Keep the worst drift of a backward pass."""
        self.worst.assign(tf.cast(worst, tf.float32))


def relative_drift(rebuilt: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
    """`max |rebuilt - true| / rms(true)` over a batch, a scalar; infinite where anything is not finite."""
    size = tf.sqrt(tf.reduce_mean(tf.square(true)))
    error = tf.reduce_max(tf.abs(rebuilt - true)) / tf.maximum(size, tf.constant(1e-30, true.dtype))
    return tf.where(tf.math.is_finite(error), error, tf.constant(float("inf"), true.dtype))


def worst_drift(block: Any) -> float | None:
    """Largest drift that the last backward passes of the reversible compositions in a block have met.

    Args:
        block: a block, or any Keras layer or model with compositions in it.

    Returns:
        The drift (see `relative_drift`), or `None` if nothing in it has run backwards reversibly.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> from inntf.compose import Chain
        >>> worst_drift(Chain([ActNorm()])) is None
        True
    """
    drifts = [getattr(layer, "worst_drift", None) for layer in block._flatten_layers()]
    known = [float(drift) for drift in drifts if drift is not None]
    return max(known) if known else None
