"""The pair of Dormand and Prince: one step of order 5, and the estimate of its error of order 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

Slopes = list[tf.Tensor]  # of the state, (batch, dim), and, where there are integrals, theirs
Velocity = Callable[[tf.Tensor, tf.Tensor], Slopes]  # of the time and the state

EVALUATIONS_A_STEP = 6  # the last one is the next step's first
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_WEIGHTS = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
# What the weights are less those of order 4.
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def scaled_slopes(velocity: Velocity, t: tf.Tensor, step: tf.Tensor, y: tf.Tensor, first: Slopes) -> list[Slopes]:
    """The slopes of the six stages, times the step; integrals are read by no stage.

    Args:
        velocity: of the equation.
        t: scalar, where the step begins.
        step: scalar, its length.
        y: `(batch, dim)`, at `t`.
        first: the slopes at `t`.
    """
    scaled = [[step * part for part in first]]
    for row, node in zip(_STAGES, _NODES, strict=False):
        at = combined(row, [stage[0] for stage in scaled], y)
        scaled.append([step * part for part in velocity(t + node * step, at)])
    return scaled


def end_of_step(scaled: list[Slopes], start: Slopes) -> Slopes:
    """State and integrals at the end of a step, of order 5, from `start`."""
    parts = zip(*scaled, strict=True)
    return [combined(_WEIGHTS, part, at) for part, at in zip(parts, start, strict=True)]


def error_of_step(scaled: list[Slopes]) -> Slopes:
    """What the results of order 5 and 4 differ by, from the six stages and the slopes at the end, all times the step."""
    return [combined(_ERROR, part) for part in zip(*scaled, strict=True)]


def combined(weights: Sequence[float], parts: Sequence[tf.Tensor], start: tf.Tensor | None = None) -> tf.Tensor:
    """`start + sum_i weights_i parts_i`."""
    terms = [weight * part for weight, part in zip(weights, parts, strict=True) if weight]
    return tf.add_n(terms if start is None else [start, *terms])
