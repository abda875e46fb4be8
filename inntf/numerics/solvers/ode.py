"""An initial value problem from time 0 to 1, solved adaptively for a whole batch, with adjoint gradients."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.core.arguments import typed

_FIRST_STEP = 0.05


@dataclasses.dataclass(frozen=True)
class OdeSolution:
    """What `solve_ode` returns.

    Attributes:
        state: at time 1, the structure of the initial state; NaN where the solver has given up.
        evaluations: int32 scalar, evaluations of the velocity.
        reached: bool scalar, whether time 1 was reached with a finite state.
    """

    state: Any
    evaluations: tf.Tensor
    reached: tf.Tensor


@typed
def solve_ode(
    velocity: Callable[..., Any],
    state: Any,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
    constants: dict[str, Any] | None = None,
) -> OdeSolution:
    r"""Solve $dy/dt = v(t, y)$, from the state at 0 to that at 1, by the adaptive method of Dormand and Prince.

    It is TFP's solver with four things made good.  Its acceptance test averages over all numbers of the state (the root of the
    mean fourth power, as it comes out), so that one bad sample hides among good ones; here the tolerances are divided by the
    fourth root of their number, and then the estimated error of **every** number and step is within `atol + rtol * |y|`.  It
    chooses the next step by the square of that norm as if it were the norm, so that steps shrink and grow too much; here by
    the norm, to the power of 1/5.  It steps past the end and interpolates back; here the last step ends at 1.  And where it
    would go on for ever (NaN, a step that shrinks to nothing; under XLA also when the steps run out, for assertions are dropped
    there) it stops with NaN, and `reached` says so.

    Gradients by the initial state and by `constants` are those of the adjoint equation, solved backwards with the same
    tolerances; they are no derivatives of the steps taken, and are of first order.  What the velocity closes over gets none.

    Args:
        velocity: `(t, state, **constants) -> d state / dt`, sample by sample; `t` is a scalar.
        state: at time 0, a tensor or a structure of tensors of one float dtype.
        rtol: tolerance relative to `|y|`, a step; at least 8 epsilon of the dtype counts.
        atol: absolute tolerance, a step.
        max_steps: the most steps, rejected ones too.
        constants: tensors (or structures of them) handed to the velocity, with gradients.

    Returns:
        `OdeSolution`: `state`, `evaluations`, `reached`.

    Raises:
        ValueError: for tolerances or a number of steps that are not positive.

    Source: Dormand & Prince, "A family of embedded Runge-Kutta formulae" (1980); adjoint: Chen et al., "Neural
        Ordinary Differential Equations" (2018), section 2.

    Example:
        >>> solution = solve_ode(lambda t, y: y, tf.ones([1], tf.float64), rtol=1e-9, atol=1e-9)
        >>> bool(abs(solution.state[0] - np.e) < 1e-7)
        True
    """
    if not (rtol > 0 and atol > 0 and max_steps >= 1):
        raise ValueError(
            f"solve_ode: received rtol={rtol}, atol={atol}, max_steps={max_steps}, expected positive numbers. 1e-5 is usual in "
            "float32, 1e-9 in float64."
        )
    parts = tf.nest.flatten(tf.nest.map_structure(tf.convert_to_tensor, state))
    dtype = parts[0].dtype
    number = tf.cast(tf.add_n([tf.size(part) for part in parts]), dtype)
    share = tf.stop_gradient(tf.maximum(number, 1.0) ** -0.25)
    floor = 8 * float(np.finfo(dtype.as_numpy_dtype).eps)
    tolerances = {"rtol": tf.maximum(rtol * share, floor), "atol": atol * share}

    def adjoint() -> _DormandPrince:  # it runs in minus t, from -1 to 0
        return _DormandPrince(0.0, max_steps, first_step_size=_FIRST_STEP, **tolerances)

    solver = _DormandPrince(1.0, max_steps, first_step_size=_FIRST_STEP, make_adjoint_solver_fn=adjoint, **tolerances)
    found = solver.solve(
        velocity, tf.zeros([], dtype), state, solution_times=tf.ones([1], dtype), constants=constants if constants else None
    )
    end = tf.nest.map_structure(lambda part: part[0], found.states)
    end = tf.nest.map_structure(lambda part, at: tf.ensure_shape(part, at.shape), end, state)
    finite = [tf.reduce_all(tf.math.is_finite(part)) for part in tf.nest.flatten(end)]
    return OdeSolution(end, 1 + tf.cast(found.diagnostics.num_ode_fn_evaluations, tf.int32), tf.reduce_all(tf.stack(finite)))


def _amended(step: types.FunctionType) -> types.FunctionType:
    # TFP's step, two of its names bound anew; TFP's own stays as it is.  Its coefficients, Python floats, become float32 before
    # they are cast: in float64 2e-8 would be left of every step at any tolerance.  And the error ratio that it chooses the next
    # step by is the square of a norm: a root of twice the order makes it the root of the order again.
    tableau, helpers = step.__globals__["_TABLEAU"], step.__globals__["util"]
    wide = {name: _widened(value) for name, value in tableau._asdict().items() if name != "a"}

    def next_step_size(step_size: Any, order: int, squared_ratio: Any, *limits: Any) -> Any:
        return helpers.next_step_size(step_size, 2 * order - 1, squared_ratio, *limits)  # it adds one to the order

    named = types.SimpleNamespace(**{**vars(helpers), "next_step_size": next_step_size})
    scope = {**step.__globals__, "_TABLEAU": tableau._replace(**wide), "util": named}
    copy = types.FunctionType(step.__code__, scope, step.__name__, step.__defaults__, step.__closure__)
    copy.__kwdefaults__ = step.__kwdefaults__
    return copy


def _widened(weights: Any) -> Any:
    return [_widened(w) for w in weights] if isinstance(weights, list) else np.float64(weights)


class _DormandPrince(tfp.math.ode.DormandPrince):
    """TFP's solver towards one final time: its last step ends there, and it always ends."""

    def __init__(self, target: float, max_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._target, self._most = target, int(max_steps) * self.ODE_FN_EVALS_PER_STEP

    _amended_step = _amended(tfp.math.ode.DormandPrince._step)

    def _step(self, solver_state: Any, diagnostics: Any, **kwargs: Any) -> tuple[Any, Any]:
        dt, start = solver_state.step_size, solver_state.current_time
        # A hair beyond: TFP goes on until the time is past the target, and a step of length zero would never end.
        left = self._target - start + 8 * float(np.finfo(dt.dtype.as_numpy_dtype).eps)
        state, diagnostics = self._amended_step(solver_state._replace(step_size=tf.minimum(dt, left)), diagnostics, **kwargs)
        lost = (diagnostics.num_ode_fn_evaluations > self._most) | ~tf.math.is_finite(state.step_size)
        lost = lost & (state.current_time <= self._target)

        def spoil(part: tf.Tensor) -> tf.Tensor:
            return tf.where(lost, tf.constant(np.nan, part.dtype), part)

        state = state._replace(
            current_time=tf.where(lost, tf.constant(np.inf, dt.dtype), state.current_time),
            current_state=tf.nest.map_structure(spoil, state.current_state),
            interpolating_coefficients=tf.nest.map_structure(spoil, state.interpolating_coefficients),
        )
        return state, diagnostics
