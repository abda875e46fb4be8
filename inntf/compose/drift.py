"""Guard of reversible backpropagation: how far a reconstruction has drifted, and what then."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model import save_context

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
        self,
        rebuilt: tf.Tensor,
        true: tf.Tensor,
        between: tf.Tensor,
        gradients: list[tf.Tensor],
        recompute: Callable[[], list[tf.Tensor]],
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The gradients to use for a segment, and its drift (infinite where not finite).

        Args:
            rebuilt: the segment's input as reconstructed.
            true: the same as kept.
            between: drift met inside the segment.
            gradients: computed from the reconstruction.
            recompute: computes them from the checkpoint.
        """
        drift = tf.maximum(relative_drift(rebuilt, true), between)
        tolerance = self.settings.tolerance(true.dtype)
        fine = drift <= tolerance
        if self.settings.on_drift == "recompute":
            return tf.cond(fine, lambda: gradients, recompute), drift
        message = f"{self.name}: reversible backpropagation has drifted past drift_tolerance={tolerance:.3g}: {_ADVICE}"
        if self.settings.on_drift == "raise":
            check = tf.debugging.Assert(fine, [message, "Drift:", drift])
            with tf.control_dependencies([] if check is None else [check]):
                # Not a number for where no assertion is possible: XLA drops it.
                gradients = [tf.where(fine, g, tf.cast(float("nan"), g.dtype)) for g in gradients]
        elif tf.executing_eagerly():
            if not bool(fine):
                warnings.warn(f"{message} Drift: {float(drift):.3g}.", RuntimeWarning, stacklevel=2)
        else:
            tf.cond(fine, lambda: tf.no_op(), lambda: tf.print("WARNING:", message, "Drift:", drift))
        return gradients, drift

    def note(self, worst: Any) -> None:
        """Keep the worst drift of a backward pass; a saved gradient function keeps none."""
        if not save_context.in_save_context():  # the variable belongs to no model, and would not be found
            self.worst.assign(tf.cast(worst, tf.float32))


def relative_drift(rebuilt: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
    """`max |rebuilt - true|` over a sample relative to its size, the largest of a batch, a scalar; infinite where not finite.

    The size of a sample is its root mean square, but at least a hundredth of that which three quarters of the batch do not
    exceed: the rounding of a sample near zero is that of what it was made from.  Outliers hide nobody else's drift.
    """
    axes = list(range(1, true.shape.rank))
    return _largest(tf.reduce_max(tf.abs(rebuilt - true), axes), _sizes(true))


def _sizes(value: tf.Tensor) -> tf.Tensor:
    own = tf.sqrt(tf.reduce_mean(tf.square(value), list(range(1, value.shape.rank))))
    most = tf.maximum(3 * tf.shape(own)[0] // 4, 1)
    usual = tf.reduce_max(tf.sort(own)[:most])  # minus infinity for an empty batch, which needs none
    return tf.maximum(own, tf.maximum(usual / 100, tf.constant(1e-30, value.dtype)))


def _largest(errors: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    # A size that has overflown says nothing of an error; nothing at all is no error.
    drifts = errors / sizes
    known = tf.math.is_finite(drifts) & tf.math.is_finite(sizes)
    drifts = tf.where(known, drifts, tf.constant(float("inf"), errors.dtype))
    return tf.reduce_max(tf.concat([tf.zeros([1], errors.dtype), drifts], 0))


def fingerprint(value: tf.Tensor) -> tf.Tensor:
    """One number per sample, `(batch,)`: a sum with fixed random signs over the root of the size.

    It is kept for every block, where the activation itself would take too much: an error inside a segment that later
    inverses happen to shrink does not show at the checkpoint, but it shows here.  An error `e` changes the number by
    about `|e| / sqrt(size)`.
    """
    flat = tf.reshape(value, [tf.shape(value)[0], tf.reduce_prod(tf.shape(value)[1:])])
    size = tf.shape(flat)[1]
    signs = tf.cast(2 * tf.random.stateless_uniform([size], [7, 11], maxval=2, dtype=tf.int32) - 1, value.dtype)
    return tf.linalg.matvec(flat, signs) / tf.sqrt(tf.cast(tf.maximum(size, 1), value.dtype))


def fingerprint_drift(rebuilt: tf.Tensor, stored: tf.Tensor) -> tf.Tensor:
    """Change of the fingerprint relative to the sample's size as in `relative_drift`, largest over a batch."""
    return _largest(tf.abs(fingerprint(rebuilt) - stored), _sizes(rebuilt))


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
