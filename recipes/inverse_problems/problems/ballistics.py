"""Inverse ballistics: from where, at what angle and how fast was something thrown that landed here?"""

from __future__ import annotations

import math
from typing import Literal

import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Count, Interval, Real

GRAVITY, RESISTANCE, MASS = 9.81, 0.25, 0.2  # the paper leaves them out; these are the released code's
_RATE = RESISTANCE / MASS  # 1/s, of the exponential approach to the terminal velocity
_GRID_SECONDS, _GRID_POINTS = 6.0, 1500
_NEWTON = 12
Variant = Literal["paper", "code"]


class Ballistics(Problem):
    """A throw with air resistance: `x = (x1, x2, angle, speed)`, y the place of impact.

        T1(t) = x1 + v1/r (1 - e^(-r t)),   T2(t) = x2 + (v2 + g/r)/r (1 - e^(-r t)) - g t / r,   r = k/m

    `y = T1(t*)` at the last root of T2.  T2 is concave, so Newton's steps from `t = (x2 r + v2 + g/r) / g`, where the
    exponential is left out, fall onto that root: exact to rounding, no grid of times.  Prior: `x1 ~ N(0, 1/4)`,
    `x2 ~ N(3/2, 1/4)`, `angle ~ U(9, 72)` degrees, `speed ~ Poisson(15)`.

    `variant="code"` is the released code: `U(9, 81)` degrees, x2 clipped at 0, the impact read off a grid of 1,500 times up
    to 6 s without interpolation (0.003 short on average).

    Throws that never reach the ground line have NaN.

    Source: Kruse et al., "Benchmarking Invertible Architectures on Inverse Problems" (2019), section 3.2; constants of its
    released code.
    """

    name = "ballistics"
    parameters = ("x", "height", "angle", "speed")
    observations = ("impact",)
    shown = (5.0,)

    def __init__(self, variant: Variant = "paper"):
        self.variant = variant
        self.angles = (math.radians(9), math.radians(72 if variant == "paper" else 81))
        self.supports = (Real(), Real(), Interval(*self.angles), Count())

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Independent draws."""
        seeds = tf.random.split(seed, 3)
        place = tf.random.stateless_normal([n, 2], seeds[0]) * 0.5 + [0.0, 1.5]
        if self.variant == "code":
            place = tf.stack([place[:, 0], tf.maximum(place[:, 1], 0.0)], axis=-1)
        angle = tf.random.stateless_uniform([n, 1], seeds[1], *self.angles)
        speed = tf.random.stateless_poisson([n, 1], seeds[2], lam=15.0, dtype=tf.float32)
        return tf.concat([place, angle, speed], axis=-1)

    def forward(self, x: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """The place of impact."""
        del seed
        time = _on_grid(x) if self.variant == "code" else _last_root(x)
        return position(x, time)[..., :1]


def position(x: tf.Tensor, time: tf.Tensor) -> tf.Tensor:
    """`(T1(t), T2(t))`, `(..., 2)`; `time` has the shape of x without its last axis, or broadcasts to it."""
    start, height, along, up = _start(x)
    gone = -tf.math.expm1(-_RATE * time)
    horizontal = start + along / _RATE * gone
    vertical = height + (up + GRAVITY / _RATE) / _RATE * gone - GRAVITY / _RATE * time
    return tf.stack([horizontal, vertical], axis=-1)


def _start(x: tf.Tensor) -> tuple[tf.Tensor, ...]:
    start, height, angle, speed = tf.unstack(x, axis=-1)
    return start, height, speed * tf.cos(angle), speed * tf.sin(angle)


def _last_root(x: tf.Tensor) -> tf.Tensor:
    _, height, _, up = _start(x)
    push = up + GRAVITY / _RATE  # T2' = push e^(-rt) - g/r
    time = (height * _RATE + push) / GRAVITY
    # The apex, where it is above the line at all: to its right T2 falls.
    apex = tf.math.log(tf.maximum(push * _RATE / GRAVITY, 1e-30)) / _RATE
    highest = position(x, tf.maximum(apex, 0.0))[..., 1]
    for step in range(_NEWTON):
        if step == _NEWTON - 1:
            time = tf.stop_gradient(time)  # the derivative of the last step is the implicit one
        slope = push * tf.exp(-_RATE * time) - GRAVITY / _RATE
        time = time - position(x, time)[..., 1] / tf.minimum(slope, -1e-6)
    return tf.where((highest >= 0.0) & (push > 0.0) & (time >= 0.0), time, math.nan)


def _on_grid(x: tf.Tensor) -> tf.Tensor:
    times = tf.linspace(0.0, _GRID_SECONDS, _GRID_POINTS)

    def one(row: tf.Tensor) -> tf.Tensor:
        height = position(row, times)[..., 1]
        top = tf.argmax(height, output_type=tf.int32)
        below = (height < 0.0) & (tf.range(_GRID_POINTS) > top)
        first = tf.argmax(below, output_type=tf.int32)
        return tf.where(tf.reduce_any(below), times[tf.maximum(first - 1, 0)], math.nan)

    flat = tf.reshape(x, [-1, 4])
    return tf.reshape(tf.vectorized_map(one, flat), tf.shape(x)[:-1])
