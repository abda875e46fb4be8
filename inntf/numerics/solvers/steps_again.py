"""The steps of a solution taken again, and backwards: gradients that are exact for the steps taken, of every order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.numerics.pullback import recording
from inntf.numerics.solvers.adaptive_steps import Path
from inntf.numerics.solvers.dormand_prince import Slopes, Velocity, end_of_step, scaled_slopes
from inntf.numerics.solvers.kept_states import Keeper

Equation = Callable[[tf.Tensor, tf.Tensor, Sequence[tf.Tensor]], Slopes]  # velocity of the time, the state and the constants
Run = Callable[[Velocity, tf.Tensor], tuple[Slopes, Path]]


def differentiable(
    equation: Equation, run: Run, y: tf.Tensor, constants: Sequence[tf.Tensor], held: Sequence[tf.Tensor] = ()
) -> Slopes:
    """The ends that `run` comes to, NaN where it gave up, with gradients by `y` and the constants: those of the steps taken.

    Args:
        equation: `(t, y, [*constants, *held])` to the slopes.
        run: `(velocity, y)` to the state and the integrals at the end, and the path.
        y: `(batch, dim)`.
        constants: float tensors.
        held: tensors that get no gradient.
    """
    free = len(constants)

    @tf.custom_gradient
    def solved(y: tf.Tensor, *values: tf.Tensor) -> Any:
        y, *own = _here([y, *values])
        still = [tf.stop_gradient(c) for c in own]
        ends, path = run(lambda t, y: equation(t, y, still), tf.stop_gradient(y))
        path = _here(path)

        def backward(*cotangents: tf.Tensor, variables: Any = None) -> Any:
            found = _pulled_back(equation, path, y, own[:free], own[free:], list(cotangents))
            found = [*found, *(None for _ in held)]
            return found if variables is None else (found, [None] * len(variables))

        return tuple(tf.where(path.alive[:, tf.newaxis], end, np.nan) for end in ends), backward

    return list(solved(y, *constants, *held))


def _here(tensors: Any) -> Any:
    # The gradient of a gradient is built in a graph that reaches the tensors of the graph before it, and no earlier ones: what
    # a closure is to hand on must be a tensor of its own graph.
    return tf.nest.map_structure(tf.identity, tensors)


def along(path: Path) -> Run:
    """A run along a known path."""

    def run(velocity: Velocity, y: tf.Tensor) -> tuple[Slopes, Path]:
        first = velocity(path.steps[0, 0], y)
        start = [y, *(tf.zeros_like(part) for part in first[1:])]

        keeper = Keeper(path.steps.shape[0])

        def body(n: tf.Tensor, ends: Slopes, storage: tf.Tensor) -> tuple:
            return n + 1, _one_step(velocity, path.steps[n], ends), keeper.kept(storage, n, ends[0])

        begin = (tf.zeros([], tf.int32), start, keeper.empty(y))
        _, ends, storage = tf.while_loop(lambda n, *_: n < path.taken, body, begin, parallel_iterations=1)
        return ends, path._replace(kept=keeper.found(storage, path.taken))

    return run


def _one_step(velocity: Velocity, step: tf.Tensor, start: Slopes) -> Slopes:
    scaled = scaled_slopes(velocity, step[0], step[1], start[0], velocity(step[0], start[0]))
    return end_of_step([stage[: len(start)] for stage in scaled], start)


def _pulled_back(
    equation: Equation,
    path: Path,
    y: tf.Tensor,
    constants: list[tf.Tensor],
    held: list[tf.Tensor],
    cotangents: list[tf.Tensor],
) -> list[tf.Tensor]:
    """Gradients by `y` and the constants, themselves differentiable by those and by the cotangents."""
    flat, number = tf.nest.flatten(path), len(cotangents)

    @tf.custom_gradient
    def pulled(*given: tf.Tensor) -> Any:
        y, cotangents, constants_now, held_now, along_it = _in_groups(
            _here(list(given)), [1, number, len(constants), len(held)]
        )
        path_now = tf.nest.pack_sequence_as(path, along_it)
        still = [tf.stop_gradient(c) for c in [*constants_now, *held_now]]
        found = _backwards(equation, path_now, [tf.stop_gradient(c) for c in cotangents], still, len(constants))

        def backward(*upstream: tf.Tensor, variables: Any = None) -> Any:
            found = _tangents(equation, path_now, y[0], cotangents, constants_now, held_now, upstream)
            grads = [*found, *(None for _ in [*held, *flat])]
            return grads if variables is None else (grads, [None] * len(variables))

        return tuple(found), backward

    return list(pulled(y, *cotangents, *constants, *held, *flat))


def _in_groups(values: list, sizes: list[int]) -> list[list]:
    groups = []
    for size in sizes:
        groups.append(values[:size])
        values = values[size:]
    return [*groups, values]


def _backwards(equation: Equation, path: Path, cotangents: Slopes, values: list[tf.Tensor], free: int) -> list[tf.Tensor]:
    constants = values[:free]
    alive = path.alive[:, tf.newaxis]
    asked = [tf.reduce_any(~alive & (c != 0)) for c in cotangents]
    d_y, *d_integrals = [tf.where(alive, c, 0) for c in cotangents]

    def velocity(t: tf.Tensor, y: tf.Tensor) -> Slopes:  # no row that was given up can spoil the gradients of the constants
        return equation(t, tf.where(alive, y, 0), values)

    def reverse(n: tf.Tensor, m: tf.Tensor, y: tf.Tensor, kept: Any, d_y: tf.Tensor, d_constants: list) -> tuple:
        with recording(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([y, *constants])
            start = [y, *(tf.zeros_like(part) for part in d_integrals)]
            ends = _one_step(velocity, path.steps[n], start)
        zero = tf.UnconnectedGradients.ZERO
        d_y, *more = tape.gradient(ends, [y, *constants], [d_y, *d_integrals], unconnected_gradients=zero)
        kept = kept.up_to(n - 1)
        m = tf.maximum(kept.last(), 0)
        return n - 1, m, kept.at(m), kept, d_y, [a + tf.convert_to_tensor(b) for a, b in zip(d_constants, more, strict=True)]

    def advance(n: tf.Tensor, m: tf.Tensor, y: tf.Tensor, kept: Any, d_y: tf.Tensor, d_constants: list) -> tuple:
        (y,) = _one_step(lambda t, y: velocity(t, y)[:1], path.steps[m], [y])
        # Every state between is wanted once: what places are free are spread evenly over them.
        base, places = kept.last(), kept.free() + 1
        apart = (n - base + places - 1) // places
        return n, m + 1, y, kept.put(m + 1, y, (m + 1 < n) & (m + 1 - base >= apart)), d_y, d_constants

    def body(n: tf.Tensor, m: tf.Tensor, *rest: Any) -> Any:
        return tf.cond(m == n, lambda: reverse(n, m, *rest), lambda: advance(n, m, *rest))

    last = path.taken - 1
    m = tf.maximum(path.kept.last(), 0)
    begin = (last, m, path.kept.at(m), path.kept, d_y, [tf.zeros_like(c) for c in constants])
    end = tf.while_loop(lambda n, *_: n >= 0, body, begin, parallel_iterations=1)
    lost = tf.where(tf.reduce_any(tf.stack(asked)), tf.constant(np.nan, d_y.dtype), 0)
    return [tf.where(alive, end[4], cotangents[0] * lost), *(c + tf.cast(lost, c.dtype) for c in end[5])]


def _tangents(
    equation: Equation,
    path: Path,
    y: tf.Tensor,
    cotangents: Slopes,
    constants: list[tf.Tensor],
    held: list[tf.Tensor],
    upstream: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """What the gradients by `y` and the constants, each times its upstream, change by with `y`, cotangents and constants."""
    # Their sum is the tangent of the ends along upstream, times the cotangents; and the tangent is where the same steps of the
    # equation of state and tangent end.
    half, dim = len(constants), y.shape[-1]

    def both(t: tf.Tensor, y: tf.Tensor, values: Sequence[tf.Tensor]) -> Slopes:
        at, direction = [y[:, :dim], *values[:half]], [y[:, dim:], *values[half : 2 * half]]
        zero = tf.UnconnectedGradients.ZERO
        with recording(), tf.GradientTape(watch_accessed_variables=False) as outer:
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(at)
                slopes = equation(t, at[0], [*at[1:], *values[2 * half :]])
            zeros = [tf.zeros_like(part) for part in slopes]
            outer.watch(zeros)
            pulled = inner.gradient(slopes, at, zeros, unconnected_gradients=zero)
        moved = outer.gradient(pulled, zeros, direction, unconnected_gradients=zero)
        return [tf.concat([slopes[0], moved[0]], -1), *moved[1:]]

    with recording(), tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([y, *constants])
        ends = differentiable(both, along(path), tf.concat([y, upstream[0]], -1), [*constants, *upstream[1:]], held)
        moved = [ends[0][:, dim:], *ends[1:]]
    d_y, *d_constants = tape.gradient(moved, [y, *constants], cotangents)
    return [d_y, *moved, *d_constants]
