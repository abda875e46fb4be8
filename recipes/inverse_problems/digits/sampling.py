"""Samples of what is hidden: `sample_posterior(y, n, seed)`, in memory and as a SavedModel."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from inntf.models import Flow
from inntf.serving.input_checks import checked, checked_count
from recipes.common.errors import UserError
from recipes.inverse_problems.digits.observing import Observing

_ROWS = 500  # of one call


class HiddenSampler(tf.Module):
    """Draws the levels of the hidden pixels; every sample of every image has random numbers of its own.

    Args:
        flow: trained.
        observing: how it sees.
        observed: some images, to try an export on.
    """

    def __init__(self, flow: Flow, observing: Observing, observed: np.ndarray):
        super().__init__()
        self.observing, self.observed = observing, observed
        self._weights = [v.value if hasattr(v, "value") else v for v in flow.block.variables]

        def draw(levels: tf.Tensor, n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            rows = tf.repeat(observing.y(levels), n, axis=0)
            z = tf.random.stateless_normal([tf.shape(rows)[0], flow.dim], seed)
            x, _ = flow.block.inverse_and_log_det(z, condition=rows)
            return tf.reshape(observing.to_levels(x), [tf.shape(levels)[0], n, *observing.shape])

        def sample(y: tf.Tensor, n: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            n = checked_count(n, 28 * 28 * tf.shape(y)[0])
            levels = observing.levels(checked("sample_posterior", y, images))
            whole = observing.whole(draw(levels, n, tf.stack([seed, 0])), levels)
            return {"x": tf.cast(tf.round(whole * (255 / (2**observing.bits - 1))), tf.uint8)}

        images = tf.TensorSpec([None, 28, 28, 1], tf.uint8, "y")
        self._draw = tf.function(draw, reduce_retracing=True, autograph=False)
        self.sample_posterior = tf.function(
            sample, input_signature=(images, *(tf.TensorSpec([], tf.int32, key) for key in ("n", "seed"))), autograph=False
        )

    def sample(self, images: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Levels of the hidden pixels, `(images, n, height, width, 1)` uint8; what the images have there is not looked at.

        Args:
            images: `(images, 28, 28, 1)`, pixels 0 to 255.
            n: samples for each.
            seed: the same seed gives the same samples.

        Raises:
            UserError: if a sample is NaN.
        """
        each, parts = max(1, _ROWS // n), []
        for begin in range(0, len(images), each):
            levels = self.observing.levels(images[begin : begin + each])
            parts.append(self._draw(levels, tf.constant(n), tf.constant([seed, begin])).numpy())
        drawn = np.concatenate(parts)
        if not np.isfinite(drawn).all():
            raise UserError("samples are NaN: training broke the flow", remedy="Lower --rate.")
        return drawn.astype(np.uint8)
