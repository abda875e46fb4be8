"""A trained method as a sampler of parameters: observations in, posterior samples out, in the problem's own units."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.methods.method import Method

_ROWS = 100_000  # of one call


@dataclasses.dataclass
class Posterior:
    """`p(x | y)` as a trained method has it."""

    coordinates: Coordinates
    method: Method

    def __post_init__(self) -> None:
        self._draw = tf.function(self.method.sample_posterior, reduce_retracing=True, autograph=False)
        self._density = tf.function(self.method.log_prob, reduce_retracing=True, autograph=False)

    def sample(self, y: np.ndarray, n: int, seed: int, *, rounded: bool = True) -> np.ndarray:
        """`n` samples for each observation.

        Args:
            y: `(observations, dim y)`.
            n: samples for each.
            seed: the same seed gives the same samples.
            rounded: whether counts are rounded.

        Returns:
            `(observations, n, dim x)`, float32.
        """
        w = self.coordinates.observed(tf.constant(y, tf.float32)).numpy()
        each = max(1, _ROWS // n)
        parts = []
        for begin in range(0, len(w), each):
            rows = np.repeat(w[begin : begin + each], n, axis=0)
            v = self._draw(tf.constant(rows), tf.constant([seed, begin]))
            parts.append(self.coordinates.parameters(v, rounded=rounded).numpy().reshape(-1, n, self.method.dim_x))
        return np.concatenate(parts)

    def log_prob(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """`log p(x | y)` in the problem's units, for x `(n, dim x)` and y `(n, dim y)`; counts at the centre of their cell.

        Raises:
            NotImplementedError: for a method without a density.
        """
        coordinates = self.coordinates
        v = coordinates.centred(tf.constant(x, tf.float32))
        w = coordinates.observed(tf.constant(y, tf.float32))
        return (self._density(v, w) - coordinates.log_slope(v)).numpy()
