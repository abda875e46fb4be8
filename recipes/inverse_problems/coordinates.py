"""The coordinates in which every method works: parameters mapped to the real line and standardized, observations by scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from recipes.inverse_problems.normal_scores import NormalScores
from recipes.inverse_problems.problems.problem import Problem, simulate
from recipes.inverse_problems.problems.supports import Count


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """`v = (u(x) - mean) / sd` with u the map of each parameter's support; `w` the normal scores of y.

    Where y has noise, or several draws in it, `w = (y - mean) / sd`: the noise is the same everywhere then.

    A sample of v of any size is a parameter within its support: nothing is clipped, and no density leaks out of it.
    """

    problem: Problem
    x_mean: np.ndarray
    x_sd: np.ndarray
    y_mean: np.ndarray
    y_sd: np.ndarray
    scores: NormalScores | None = None

    @classmethod
    def of(cls, problem: Problem, n: int = 100_000, seed: int = 2**31 - 1) -> Coordinates:
        """Moments of `n` simulated pairs, scores of ten times as many; constant entries keep a deviation of 1."""
        x, y = simulate(problem, n, seed)
        u = to_real(problem, x, tf.random.stateless_uniform(tf.shape(x), [seed, 1])).numpy()
        x_mean, x_sd = _moments(u, 1)
        scores = NormalScores.of(simulate(problem, 10 * n, seed)[1].numpy()) if problem.deterministic else None
        return cls(problem, x_mean, x_sd, *_moments(y.numpy(), problem.draws), scores)

    def standardized(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Parameters to model coordinates; the noise of counts is drawn by the seed."""
        noise = tf.random.stateless_uniform(tf.shape(x), seed)
        return (to_real(self.problem, x, noise) - self.x_mean) / self.x_sd

    def centred(self, x: tf.Tensor) -> tf.Tensor:
        """Parameters to model coordinates, counts without noise."""
        return (to_real(self.problem, x, tf.fill(tf.shape(x), 0.5)) - self.x_mean) / self.x_sd

    def parameters(self, v: tf.Tensor, *, rounded: bool = True) -> tf.Tensor:
        """Model coordinates to parameters.

        Args:
            v: `(..., dim x)`.
            rounded: whether counts are rounded; without, they keep the noise that `standardized` gave them.
        """
        u = v * self.x_sd + self.x_mean
        columns = [
            u_i if isinstance(s, Count) else s.from_real(u_i)
            for s, u_i in zip(self.problem.supports, tf.unstack(u, axis=-1), strict=True)
        ]
        x = tf.stack(columns, axis=-1)
        return self.rounded(x) if rounded else x

    def rounded(self, x: tf.Tensor) -> tf.Tensor:
        """Parameters whose counts have noise, to whole counts."""
        if not any(isinstance(s, Count) for s in self.problem.supports):
            return x
        columns = zip(self.problem.supports, tf.unstack(x, axis=-1), strict=True)
        return tf.stack([s.from_real(x_i) if isinstance(s, Count) else x_i for s, x_i in columns], axis=-1)

    def observed(self, y: tf.Tensor) -> tf.Tensor:
        """Observations to model coordinates."""
        return (y - self.y_mean) / self.y_sd if self.scores is None else self.scores(y)

    def log_slope(self, v: tf.Tensor) -> tf.Tensor:
        """`log|det dx/dv|` of the continuous map, to turn densities of v into those of x."""
        u = tf.unstack(v * self.x_sd + self.x_mean, axis=-1)
        slopes = [s.log_slope(u_i) for s, u_i in zip(self.problem.supports, u, strict=True)]
        return tf.add_n(slopes) + float(np.log(self.x_sd).sum())


def to_real(problem: Problem, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Each parameter by the map of its support."""
    columns = zip(problem.supports, tf.unstack(x, axis=-1), tf.unstack(noise, axis=-1), strict=True)
    return tf.stack([s.to_real(x_i, n_i) for s, x_i, n_i in columns], axis=-1)


def _moments(a: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    # Independent draws share theirs, so that their order does not matter in standardized coordinates either.
    parts = a.reshape(len(a) * draws, -1)
    sd = parts.std(0)
    return np.tile(parts.mean(0), draws), np.tile(np.where(sd > 0, sd, 1.0).astype(np.float32), draws)
