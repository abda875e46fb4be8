"""How far the gradients of reversible backpropagation are from the stored ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.compose import backprop_mode
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.random_states import same_draws


@dataclasses.dataclass(frozen=True)
class GradientAngle:
    """Angles between stored and reversible gradients, one a batch.

    Attributes:
        angles: radians, `(batches,)`; NaN where one of the two gradients is not finite.
        nonfinite_stored: number of batches whose stored gradient holds NaN or infinity.
        nonfinite_reversible: the same of the reversible gradient.
    """

    angles: np.ndarray
    nonfinite_stored: int
    nonfinite_reversible: int

    @property
    def mean(self) -> float:
        """Mean of the finite angles in radians; NaN if there is none.  Read the counts of non-finite gradients first."""
        finite = self.angles[np.isfinite(self.angles)]
        return float(finite.mean()) if len(finite) else float("nan")

    @property
    def max(self) -> float:
        """Largest finite angle in radians; NaN if there is none."""
        finite = self.angles[np.isfinite(self.angles)]
        return float(finite.max()) if len(finite) else float("nan")

    @property
    def degrees(self) -> float:
        """The mean in degrees."""
        return float(np.degrees(self.mean))


def gradient_angle(
    model: Any,
    batches: Iterable[Any],
    loss: Callable[[Any, Any], tf.Tensor] | None = None,
    *,
    guarded: bool = False,
    epsilon: float = 1e-8,
) -> GradientAngle:
    """Angle between the gradient from stored activations and the one from activations recomputed by the inverse.

    `2 atan2(|a/|a| - b/|b||, |a/|a| + b/|b||)` of the gradients by all trainable weights, flattened.  Both gradients see the
    same random draws of the model (noise of `Dequantize`, probes and terms of an estimated log-determinant), and its random
    state is left as it was.

    Args:
        model: a block, a Flow, or a Keras model with a Chain or a Repeat in it.
        batches: what the loss takes, one after the other; for the default loss `(batch, ...)` data.
        loss: `loss(model, batch) -> scalar`; by default the negative log-likelihood, of a block under a standard normal.
        guarded: whether the drift guard may mend the reversible gradient; without it, as in the paper, the angle shows
            what the inverse alone does.
        epsilon: added to every entry of both gradients.

    Returns:
        `GradientAngle`.

    Raises:
        ValueError: if there is no batch, or nothing trainable.

    Source: "Understanding and Mitigating Exploding Inverses in Invertible Neural Networks" (2021), section 5 and supplement
    (mean over 40 fixed mini-batches).

    Example:
        >>> from inntf.blocks import AffineCoupling, Permutation
        >>> from inntf.compose import Chain
        >>> flow = Chain([AffineCoupling(), Permutation.reverse(), AffineCoupling()]); x = tf.random.normal([8, 4])
        >>> _ = flow(x); gradient_angle(flow, [x]).degrees < 1.0
        True
    """
    loss = loss or negative_log_likelihood
    stored = tf.function(lambda batch: _gradient(model, batch, loss), autograph=False)
    recomputed = tf.function(lambda batch: _gradient(model, batch, loss), autograph=False)
    angles, bad_stored, bad_reversible = [], 0, 0
    for batch in batches:
        if not model.trainable_variables:
            _complain("a model without trainable weights", "weights", "Call the model once, or set trainable.")
        with same_draws(model) as rewind:
            with backprop_mode("stored"):
                a = stored(batch).numpy().astype(np.float64) + epsilon
            rewind()
            with backprop_mode("reversible", guarded=guarded):
                b = recomputed(batch).numpy().astype(np.float64) + epsilon
        fine = np.isfinite(a).all(), np.isfinite(b).all()
        bad_stored, bad_reversible = bad_stored + (not fine[0]), bad_reversible + (not fine[1])
        angles.append(angle_between(a, b) if all(fine) else float("nan"))
    if not angles:
        _complain("no batch", "at least one", "Pass a list of batches.")
    return GradientAngle(np.array(angles), bad_stored, bad_reversible)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two vectors in radians, accurate for small angles too."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))


def negative_log_likelihood(model: Any, batch: Any) -> tf.Tensor:
    """`-mean log p(x)`; of a block, `mean(|z|^2 / 2 - log_det)`, which has the same gradient under a standard normal."""
    if isinstance(model, Block):
        z, log_det = model.forward_and_log_det(batch)
        return tf.reduce_mean(tf.reduce_sum(z**2, list(range(1, z.shape.rank))) / 2 - log_det)
    return -tf.reduce_mean((getattr(model, "flow", model)).log_prob(batch))


def _gradient(model: Any, batch: Any, loss: Callable[[Any, Any], tf.Tensor]) -> tf.Tensor:
    variables = [getattr(v, "_value", v) for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        value = loss(model, batch)
    grads = tape.gradient(value, variables, unconnected_gradients="zero")
    return tf.concat([tf.reshape(tf.cast(g, tf.float64), [-1]) for g in grads], 0)


def _complain(received: str, expected: str, remedy: str) -> None:
    raise ValueError(explain("gradient_angle", received=received, expected=expected, remedy=remedy))
