"""What is measured of a trained regression: its error, its inverse in float32, its Jacobian in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.stability import certify, singular_values, summarize

_MEDIAN_OF = 64  # points whose condition number is measured in the end
_RADIUS = 1e-4  # of the balls of the certificate


class Measurer:
    """Measures a block, again and again, at the training pairs.

    Args:
        block: built.
        x: inputs, `(n, 2)`.
        y: targets, `(n, 2)`.
        xla: whether XLA compiles the passes.
    """

    def __init__(self, block: Block, x: np.ndarray, y: np.ndarray, *, xla: bool):
        self._block, self._x, self._y = block, tf.constant(x), y

        def there_and_back(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            z = block.forward_and_log_det(x)[0]
            return z, block.inverse_and_log_det(z)[0]

        self._there_and_back = tf.function(there_and_back, jit_compile=xla, autograph=False)

    def pictures(self) -> dict[str, np.ndarray]:
        """Predictions and reconstructions, `(n, 2)`."""
        predicted, reconstructed = self._there_and_back(self._x)
        return {"predicted": predicted.numpy(), "reconstructed": reconstructed.numpy()}

    def numbers(self) -> dict[str, float]:
        """Mean squared error, reconstruction errors, and the condition number where the reconstruction is worst."""
        found = self.pictures()
        errors, worst = self._errors(found["reconstructed"])
        spectrum = singular_values(self._block, self._x[worst : worst + 1], precision="float64")
        summary = summarize(errors)
        return {
            "mse": mean_squared_error(found["predicted"], self._y),
            "reconstruction_error_median": summary.median,
            "reconstruction_error_max": summary.max,
            "reconstruction_nonfinite_share": summary.nonfinite_share,
            "condition_number": float(spectrum.condition_number[0]),
            "largest_singular_value": float(spectrum.largest[0]),
            "smallest_singular_value": float(spectrum.smallest[0]),
        }

    def final(self, test: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        """Those numbers of the trained model, the error on other pairs, and what is certified."""
        found = self.pictures()
        worst = self._errors(found["reconstructed"])[1]
        points = tf.concat([self._x[worst : worst + 1], self._x[:_MEDIAN_OF]], 0)
        ball = certify(self._block, at=points.numpy(), radius=_RADIUS)
        at_centre = ball.forward_at_centre * ball.inverse_at_centre
        return {
            **self.numbers(),
            "test_mse": mean_squared_error(self._there_and_back(tf.constant(test[0]))[0].numpy(), test[1]),
            "condition_number_median": float(np.median(at_centre[1:])),
            "certified_radius": _RADIUS,
            "certified_inverse_median": float(np.median(ball.inverse[1:])),
            "certified_inverse_over_slope_median": float(np.median((ball.inverse / ball.inverse_at_centre)[1:])),
            "weights": int(sum(np.prod(w.shape) for w in self._block.trainable_weights)),
        }

    def _errors(self, reconstructed: np.ndarray) -> tuple[np.ndarray, int]:
        """Errors in l2, and which is the worst: the first that is not finite, or else the largest."""
        with np.errstate(all="ignore"):
            errors = np.linalg.norm(reconstructed.astype(np.float64) - self._x.numpy(), axis=1)
        return errors, int(np.argmax(np.where(np.isfinite(errors), errors, np.inf)))


def mean_squared_error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Over points and both dimensions."""
    return float(np.mean((predicted.astype(np.float64) - target) ** 2))
