"""Inverse kinematics: which heights and joint angles of an arm bring its end to a given point?"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Real

LENGTHS = (0.5, 0.5, 1.0)
SDS = (0.25, 0.5, 0.5, 0.5)
Variant = Literal["paper", "code"]


class Kinematics(Problem):
    """An arm of three segments on a rail: `x = (height, angle 1, angle 2, angle 3)`, `y = (vertical, horizontal)` of its end.

        y1 = x1 + l1 sin(a1) + l2 sin(a2) + l3 sin(a3),   y2 = l1 cos(a1) + l2 cos(a2) + l3 cos(a3)

    with directions `a = (x2, x3 - x2, x4 - x2 - x3)` as printed (`variant="paper"`) or `(x2, x2 + x3, x2 + x3 + x4)` as in
    the released code (`"code"`); `x ~ N(0, diag(1/16, 1/4, 1/4, 1/4))`, lengths 1/2, 1/2, 1.

    Source: Kruse et al., "Benchmarking Invertible Architectures on Inverse Problems" (2019), section 3.1.
    """

    name = "kinematics"
    parameters = ("height", "angle 1", "angle 2", "angle 3")
    observations = ("vertical", "horizontal")
    supports = (Real(),) * 4
    shown = (0.0, 1.5)

    def __init__(self, variant: Variant = "paper"):
        self.variant = variant

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Independent normals."""
        return tf.random.stateless_normal([n, 4], seed) * tf.constant(SDS)

    def forward(self, x: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """The end of the arm."""
        del seed
        joints = self.joints(x)
        return tf.stack([joints[..., -1, 1], joints[..., -1, 0]], axis=-1)

    def joints(self, x: tf.Tensor) -> tf.Tensor:
        """Where the arm begins, bends and ends: `(..., 4, 2)`, horizontal and vertical."""
        height, first, second, third = tf.unstack(x, axis=-1)
        if self.variant == "paper":
            angles = tf.stack([first, second - first, third - first - second], axis=-1)
        else:
            angles = tf.stack([first, first + second, first + second + third], axis=-1)
        lengths = tf.constant(LENGTHS, x.dtype)
        along = tf.cumsum(lengths * tf.cos(angles), axis=-1)
        up = height[..., None] + tf.cumsum(lengths * tf.sin(angles), axis=-1)
        start = tf.stack([tf.zeros_like(height), height], axis=-1)[..., None, :]
        return tf.concat([start, tf.stack([along, up], axis=-1)], axis=-2)
