"""An initial value problem from time 0 to 1, solved adaptively for a whole batch, with the gradients of the steps taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.numerics.solvers.adaptive_steps import MOST_STEPS, AdaptiveSteps, Path
from inntf.numerics.solvers.dormand_prince import Slopes, Velocity
from inntf.numerics.solvers.steps_again import differentiable


@dataclasses.dataclass(frozen=True)
class OdeSolution:
    """What `solve_ode` returns.

    Attributes:
        state: at time 1, the structure of the initial state; NaN in samples that were given up.
        evaluations: int32 scalar, evaluations of the velocity.
        reached: bool scalar, whether every sample has come to time 1 with a finite state.
        integrals: of the integrands, their structure; `None` where there are none.
        samples_reached: bool, `(batch,)`: which samples have.
    """

    state: Any
    evaluations: tf.Tensor
    reached: tf.Tensor
    integrals: Any
    samples_reached: tf.Tensor


@typed
def solve_ode(
    velocity: Callable[..., Any],
    state: Any,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
    constants: dict[str, Any] | None = None,
    held: dict[str, Any] | None = None,
    integrals: bool = False,
) -> OdeSolution:
    r"""Solve $dy/dt = v(t, y)$, from the state at 0 to that at 1, by the adaptive method of Dormand and Prince.

    The estimated error of **every** number and step is within `atol + rtol * |y|`: one bad sample does not hide among good
    ones.  All samples share the steps.  A sample that cannot be solved does not take the others with it: where its velocity is
    not finite, where it needs steps that are lost in the rounding of the time, and where it needs more than `max_steps`, it is
    given up, and NaN.

    Gradients by the initial state and by `constants` are those of the steps that were taken (of their lengths, none), exact
    to rounding, and so are second and higher ones.  At most 12 states are kept for them, others are computed again.  Samples
    that were given up have the gradient NaN, and so have the constants, unless nothing depends on those samples.  What the
    velocity closes over gets no gradient.

    Args:
        velocity: `(t, state, **constants) -> d state / dt`, sample by sample; `t` is a scalar.
        state: at time 0, a tensor or a structure of tensors of one float dtype, all of one batch, which is their first axis.
        rtol: tolerance relative to `|y|`, a step; at least 8 epsilon of the dtype counts.
        atol: absolute tolerance, a step.
        max_steps: the most steps that a sample may need, rejected ones too.  Steps that are a quarter of what it needs or
            less, because of other samples, count as a quarter.
        constants: tensors (or structures of them) handed to the velocity, with gradients.
        held: the same without gradients.  For second derivatives inside a `tf.function` a velocity closes over no tensors.
        integrals: whether the velocity returns a pair, `(d state / dt, integrands)`: what is to be integrated along, but no
            stage of a step needs to know.

    Returns:
        `OdeSolution`: `state`, `evaluations`, `reached`, `integrals`, `samples_reached`.

    Raises:
        ValueError: for tolerances or a number of steps that are not positive, a state without one batch and one float dtype, or
            a velocity of another structure or shape.

    Source: Dormand & Prince, "A family of embedded Runge-Kutta formulae" (1980); step lengths: Hairer, Norsett & Wanner,
        "Solving Ordinary Differential Equations I" (1993), II.4.

    Example:
        >>> solution = solve_ode(lambda t, y: y, tf.ones([1], tf.float64), rtol=1e-9, atol=1e-9)
        >>> bool(abs(solution.state[0] - np.e) < 1e-7)
        True
    """
    if not (rtol > 0 and atol > 0 and 1 <= max_steps <= MOST_STEPS):
        raise ValueError(
            f"solve_ode: received rtol={rtol}, atol={atol}, max_steps={max_steps}, expected positive numbers, and at most "
            f"{MOST_STEPS} steps. 1e-5 is usual in float32, 1e-9 in float64."
        )
    given = tf.nest.map_structure(tf.convert_to_tensor, state)
    rows = _Rows(given)
    both = [constants or {}, held or {}]
    flat = [tf.convert_to_tensor(c) for c in tf.nest.flatten(both)]
    free = [c.dtype.is_floating and i < len(tf.nest.flatten(both[0])) for i, c in enumerate(flat)]
    order = [*(i for i, is_free in enumerate(free) if is_free), *(i for i, is_free in enumerate(free) if not is_free)]
    integrands: list[_Rows] = []

    def equation(t: tf.Tensor, y: tf.Tensor, values: Sequence[tf.Tensor]) -> Slopes:
        now = dict(zip(order, values, strict=True))
        given, more = tf.nest.pack_sequence_as(both, [now[i] for i in range(len(now))])
        found = velocity(t, rows.unpacked(y), **given, **more)
        found, *more = found if integrals else (found,)
        integrands[:] = [_Rows(part) for part in more]
        return [rows.packed(found), *(integrands[0].packed(part) for part in more)]

    eps = float(np.finfo(rows.dtype.as_numpy_dtype).eps)
    adaptive, path, evaluations = AdaptiveSteps(max(rtol, 8 * eps), atol, max_steps), [], []

    def run(velocity: Velocity, y: tf.Tensor) -> tuple[Slopes, Path]:
        ends, found, count = adaptive.solve(velocity, y)
        path.append(found)
        evaluations.append(count)
        return ends, found

    values = [flat[i] for i in order]
    ends = differentiable(equation, run, rows.packed(given), values[: sum(free)], values[sum(free) :])
    alive = path[0].alive
    along = integrands[0].unpacked(ends[1]) if integrals else None
    return OdeSolution(rows.unpacked(ends[0]), evaluations[0], tf.reduce_all(alive), along, alive)


class _Rows:
    """A structure of tensors of one batch as rows, `(batch, dim)`: their shapes alone."""

    def __init__(self, like: Any):
        parts = [tf.convert_to_tensor(part) for part in tf.nest.flatten(like)]
        self.structure = tf.nest.map_structure(lambda _: 0, like)
        self.shapes, self.dtype = [part.shape for part in parts], parts[0].dtype
        self.sizes = [shape[1:].num_elements() for shape in self.shapes]
        one = all(p.dtype == self.dtype and p.shape[:1].is_compatible_with(self.shapes[0][:1]) for p in parts)
        if not one or None in self.sizes or not self.dtype.is_floating:
            received = ", ".join(f"{part.dtype.name} {part.shape}" for part in parts)
            expected = "one float dtype, one batch as the first axis, and known sizes of the others"
            raise ValueError(explain("solve_ode", received=received, expected=expected))

    def packed(self, structure: Any) -> tf.Tensor:
        """As rows, of a structure like this one."""
        tf.nest.assert_same_structure(self.structure, structure)
        rows = []
        for part, shape, size in zip(tf.nest.flatten(structure), self.shapes, self.sizes, strict=True):
            part = tf.convert_to_tensor(part, self.dtype)
            if not part.shape.is_compatible_with(shape):
                remedy = "The slopes have the shape of what they change."
                raise ValueError(
                    explain("solve_ode: velocity", received=f"shape {part.shape}", expected=f"{shape}", remedy=remedy)
                )
            rows.append(part if shape.rank == 2 else tf.reshape(part, [-1, size]))
        return rows[0] if len(rows) == 1 else tf.concat(rows, -1)

    def unpacked(self, rows: tf.Tensor) -> Any:
        """The structure that these rows hold."""
        parts = [rows] if len(self.sizes) == 1 else tf.split(rows, self.sizes, -1)
        shaped = []
        for part, shape in zip(parts, self.shapes, strict=True):
            if shape.rank != 2:
                part = tf.reshape(part, [-1, *shape[1:]] if shape.rank else [])
            shaped.append(tf.ensure_shape(part, shape))
        return tf.nest.pack_sequence_as(self.structure, shaped)
