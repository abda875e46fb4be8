"""Observations by their normal scores: a monotone map that makes each entry standard normal."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from scipy.special import ndtr

_MEASURED = np.linspace(-3.5, 3.5, 71)
_SCORES = np.concatenate([[-5.5, -4.5], _MEASURED, [4.5, 5.5]])  # the first go on straight, the outermost by a deviation of y


@dataclasses.dataclass(frozen=True, eq=False)
class NormalScores:
    """`w = Phi^-1(F(y))`, F the distribution of an entry: linear between the quantiles of scores up to 3.5, straight on to 4.5.

    From there on a score is a standard deviation of y, so that what can't be observed is not infinitely far.

    Where observations are crowded and where they are rare a step of w is the same share of them.  Near a limit of y, where
    posteriors shrink with the distance from it, the noise that trainings add to w shrinks with it too: an arm's reach of 2
    has posteriors 0.06 wide at 1.997, far below 0.03 standard deviations of y.

    Attributes:
        quantiles: `(dim y, scores)`, increasing along the scores.
    """

    quantiles: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray) -> NormalScores:
        """Those of draws `(n, dim y)`; equal quantiles are moved apart by a hundred-thousandth of the entry's deviation.

        Or by some roundings, where that is more.
        """
        y = y.astype(np.float64)
        inner = np.quantile(y, ndtr(_MEASURED), axis=0).T
        sd = y.std(0)[:, None]
        sd = np.where(sd > 0, sd, 1.0)
        roundings = 4.0 * np.spacing(np.abs(y).max(0).astype(np.float32))[:, None]
        least = np.maximum(1e-5 * sd, roundings) * np.arange(len(_MEASURED))
        inner = np.maximum.accumulate(inner - least, axis=1) + least
        first = inner[:, :1] - 10.0 * (inner[:, 1:2] - inner[:, :1])
        last = inner[:, -1:] + 10.0 * (inner[:, -1:] - inner[:, -2:-1])
        return cls(np.concatenate([first - sd, first, inner, last, last + sd], axis=1).astype(np.float32))

    def __call__(self, y: tf.Tensor) -> tf.Tensor:
        """`(n, dim y)` in its scores, each entry by its own quantiles."""
        return tf.stack([self._entry(q, column) for q, column in zip(self.quantiles, tf.unstack(y, axis=-1), strict=True)], -1)

    @staticmethod
    def _entry(quantiles: np.ndarray, y: tf.Tensor) -> tf.Tensor:
        left = tf.clip_by_value(tf.searchsorted(quantiles, tf.reshape(y, [-1]), side="right") - 1, 0, len(quantiles) - 2)
        left = tf.reshape(left, tf.shape(y))
        slopes = (np.diff(_SCORES) / np.diff(quantiles.astype(np.float64))).astype(np.float32)
        starts = tf.gather(tf.constant(_SCORES, tf.float32), left)
        return starts + (y - tf.gather(tf.constant(quantiles), left)) * tf.gather(tf.constant(slopes), left)
