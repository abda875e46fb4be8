"""Where a parameter lives: the real line, an interval, or the counts; each with its map to the real line."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Real:
    """Any real number; the map is the identity."""

    def to_real(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """The same number."""
        del noise
        return x

    def from_real(self, u: tf.Tensor) -> tf.Tensor:
        """The same number."""
        return u

    def log_slope(self, u: tf.Tensor) -> tf.Tensor:
        """`log dx/du`: zero."""
        return tf.zeros_like(u)


@dataclasses.dataclass(frozen=True)
class Interval:
    """`low < x < high`; the map `u = Phi^-1((x - low) / (high - low))` takes a uniform prior to the standard normal.

    No sample can leave the interval, so nothing is clipped.
    """

    low: float
    high: float

    def to_real(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """The normal quantile; an x at an end counts as one a rounding inside of it."""
        del noise
        share = (x - self.low) / (self.high - self.low)
        tiny = 1e-7
        lower = tf.clip_by_value(share, tiny, 0.5)
        upper = tf.clip_by_value((self.high - x) / (self.high - self.low), tiny, 0.5)
        return tf.where(share <= 0.5, tf.math.ndtri(lower), -tf.math.ndtri(upper))

    def from_real(self, u: tf.Tensor) -> tf.Tensor:
        """The normal distribution function, stretched."""
        share = 0.5 * tf.math.erfc(-u / math.sqrt(2.0))
        return self.low + (self.high - self.low) * share

    def log_slope(self, u: tf.Tensor) -> tf.Tensor:
        """`log dx/du`: the log density of a standard normal, and the width."""
        return -0.5 * tf.square(u) + math.log((self.high - self.low) / math.sqrt(2 * math.pi))


@dataclasses.dataclass(frozen=True)
class Count:
    """0, 1, 2, ...; the map adds uniform noise, `u = x + U(-1/2, 1/2)`, and its inverse rounds.

    With it a density over u is a mass over counts: dequantization, as for the levels of a pixel.
    """

    def to_real(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """With noise; `noise` is uniform on [0, 1)."""
        return x + noise - 0.5

    def from_real(self, u: tf.Tensor) -> tf.Tensor:
        """The nearest count."""
        return tf.maximum(tf.round(u), 0.0)

    def log_slope(self, u: tf.Tensor) -> tf.Tensor:
        """Zero: a cell has width 1."""
        return tf.zeros_like(u)


Support = Real | Interval | Count
