"""Where a parameter lives: the real line, an interval, or the counts; each with its map to the real line."""

from __future__ import annotations

import dataclasses
import functools

import tensorflow as tf

from inntf.blocks import Bounded


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
    """`low < x < high`; the map is that of `inntf.Bounded`, which takes a uniform prior to the standard normal.

    No sample can leave the interval, so nothing is clipped.
    """

    low: float
    high: float

    def to_real(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """The normal quantile; an x at an end counts as one a rounding inside of it."""
        del noise
        return _bounded(self.low, self.high).forward_and_log_det(x[..., None])[0][..., 0]

    def from_real(self, u: tf.Tensor) -> tf.Tensor:
        """The normal distribution function, stretched."""
        return _bounded(self.low, self.high).inverse_and_log_det(u[..., None])[0][..., 0]

    def log_slope(self, u: tf.Tensor) -> tf.Tensor:
        """`log dx/du`: the log density of a standard normal, and the width."""
        return _bounded(self.low, self.high).inverse_and_log_det(u[..., None])[1]


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


@functools.cache
def _bounded(low: float, high: float) -> Bounded:
    return Bounded(low, high)
