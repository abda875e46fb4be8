"""Steps from time 0 to 1, as long as the error allows: one length for all samples, and no sample that stops the others."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from inntf.numerics.solvers import dormand_prince as pair
from inntf.numerics.solvers.dormand_prince import Slopes, Velocity
from inntf.numerics.solvers.kept_states import Keeper, KeptStates

_ORDER = 5
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_MEMORY = 0.02  # the power of the error before; that of the error is 1/5 less three quarters of it
_CALM = 0.1  # a smaller error before says nothing
_AT_REST = 0.05  # the first step where that is not known
_STRETCH = 1.05  # of the last steps, where that saves one
MOST_STEPS = 100_000  # that may be asked for: what a loop carries grows with them
_LEAST_SHARE = 0.25  # of a step that others ask for: so many times max_steps are taken at most


class Path(NamedTuple):
    """The steps of a solution, to take them again.

    Attributes:
        taken: int32, how many.
        steps: `(most, 2)`: where each begins, and its length.
        kept: some of the states where they begin.
        alive: `(batch,)`, which samples have come to the end.
    """

    taken: tf.Tensor
    steps: tf.Tensor
    kept: KeptStates
    alive: tf.Tensor


class _Loop(NamedTuple):
    t: tf.Tensor
    h: tf.Tensor
    ends: Slopes
    slopes: Slopes
    before: tf.Tensor  # the error of the step before
    refused: tf.Tensor  # whether the last attempt was
    spent: tf.Tensor  # (batch,), steps that each sample has asked for
    attempts: tf.Tensor
    taken: tf.Tensor
    steps: tf.Tensor
    storage: tf.Tensor
    alive: tf.Tensor


@dataclasses.dataclass(frozen=True)
class AdaptiveSteps:
    """Tolerances, and how many steps a sample may ask for."""

    rtol: float
    atol: float
    max_steps: int

    def ratio(self, error: Slopes, start: Slopes, end: Slopes | None = None) -> tf.Tensor:
        """`(batch,)`: the largest of what is measured, in units of what is allowed; infinite where it is no number."""
        size = lambda i: tf.abs(start[i]) if end is None else tf.maximum(tf.abs(start[i]), tf.abs(end[i]))  # noqa: E731
        found = [tf.reduce_max(tf.abs(e) / (self.atol + self.rtol * size(i)), -1) for i, e in enumerate(error)]
        worst = found[0] if len(found) == 1 else tf.maximum(*found)
        return tf.where(worst < np.inf, worst, np.inf)

    def first_step(self, velocity: Velocity, start: Slopes, slopes: Slopes, alive: tf.Tensor) -> tf.Tensor:
        """The shortest of what the samples could begin with, from one more evaluation.

        By Hairer's rule `(0.01 / s)^(1/5)`, in units of what is allowed, with the larger one `s` of speed and change of speed.
        It knows no time in which the velocity changes; speed over its change is one, and where that gives a longer step, an
        error of `0.1 h^5 s (s / speed)^3`, it is that.
        """
        speed = self.ratio(slopes, start)
        place = self.ratio(start[:1], start[:1])
        probe = tf.where((place >= 1e-5) & (speed >= 1e-5), 0.01 * place / speed, 1e-6)
        probe = tf.reduce_min(tf.where(alive, probe, 1.0))
        there = velocity(probe, start[0] + probe * slopes[0])
        change = self.ratio([b - a for a, b in zip(slopes, there, strict=True)], start) / probe
        s = tf.maximum(speed, change)
        step = (tf.maximum(10 * (speed / s) ** 3, 0.01) / s) ** (1 / _ORDER)
        return tf.minimum(tf.reduce_min(tf.where(alive & (s > 1e-15) & (s < np.inf), step, _AT_REST)), 1.0)

    def solve(self, velocity: Velocity, y: tf.Tensor) -> tuple[Slopes, Path, tf.Tensor]:
        """From `y`, `(batch, dim)`, at 0 to the end at 1.

        The error of a sample is that of its worst number.  A step that is too long for one sample is taken anew, shorter, for
        all.  A sample is given up, and heeded no more, where the step that it needs is lost in the rounding of the time, where
        a start is not finite, and where it has asked for `max_steps` steps: one of full length for each that was as short as
        it needs, less where others asked for shorter ones.

        Returns:
            State and integrals at the end, the path, and the number of evaluations.
        """
        one, eps = tf.ones([], y.dtype), float(np.finfo(y.dtype.as_numpy_dtype).eps)
        slopes = velocity(0 * one, y)
        start = [y, *(tf.zeros_like(part) for part in slopes[1:])]
        finite = [tf.reduce_all(tf.math.is_finite(part), -1) for part in (y, *slopes)]
        alive = tf.reduce_all(tf.stack(finite), 0)
        most = int(self.max_steps / _LEAST_SHARE) + 1
        keeper = Keeper(most)

        def body(*flat: tf.Tensor) -> _Loop:
            now = _Loop(*flat)
            left = 1.0 - now.t
            count = tf.maximum(tf.math.ceil(left / (_STRETCH * now.h)), 1.0)
            step, last = left / count, count <= 1.0
            scaled = pair.scaled_slopes(velocity, now.t, step, now.ends[0], now.slopes)
            ends = pair.end_of_step(scaled, now.ends)
            slopes = velocity(now.t + step, ends[0])
            error = pair.error_of_step([*scaled, [step * part for part in slopes]])
            ratio = self.ratio(error, now.ends, ends)
            worst = tf.reduce_max(tf.where(now.alive, ratio, 0.0))
            taken = worst <= 1.0

            share = tf.where(ratio < worst, tf.maximum((ratio / worst) ** (1 / _ORDER), _LEAST_SHARE), 1.0)
            spent = now.spent + share
            lost = ((ratio > 1.0) & (step <= 16 * eps)) | ((spent >= self.max_steps) & ~(taken & last))
            wanted = _SAFETY * worst ** (0.75 * _MEMORY - 1 / _ORDER) * now.before**_MEMORY
            wanted = tf.clip_by_value(wanted, _SHRINK, tf.where(now.refused | ~taken, one, _GROW * one))

            return _Loop(
                tf.where(taken, tf.where(last, one, now.t + step), now.t),
                step * wanted,
                [tf.where(taken, b, a) for a, b in zip(now.ends, ends, strict=True)],
                [tf.where(taken, b, a) for a, b in zip(now.slopes, slopes, strict=True)],
                tf.where(taken, tf.maximum(worst, _CALM), now.before),
                ~taken,
                spent,
                now.attempts + 1,
                now.taken + tf.cast(taken, tf.int32),
                tf.tensor_scatter_nd_update(now.steps, tf.reshape(now.taken, [1, 1]), tf.reshape([now.t, step], [1, 2])),
                keeper.kept(now.storage, now.taken, now.ends[0]),
                now.alive & ~lost,
            )

        begin = _Loop(
            0 * one,
            self.first_step(velocity, start, slopes, alive),
            start,
            slopes,
            _CALM * one,
            tf.constant(False),
            tf.zeros_like(y[:, 0]),
            tf.zeros([], tf.int32),
            tf.zeros([], tf.int32),
            tf.zeros([most, 2], y.dtype),
            keeper.empty(y),
            alive,
        )
        end = tf.while_loop(
            lambda *flat: (flat[0] < 1.0) & tf.reduce_any(_Loop(*flat).alive),
            body,
            begin,
            parallel_iterations=1,
            maximum_iterations=most,
        )
        path = Path(end.taken, end.steps, keeper.found(end.storage, end.taken), end.alive & (end.t >= 1.0))
        return end.ends, path, 2 + pair.EVALUATIONS_A_STEP * end.attempts
