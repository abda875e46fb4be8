"""Running the equation of a continuous block, eagerly or in a graph, and saying so where it does not get through."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from inntf.core.noting import Notes
from inntf.core.refusals import log_dets_are_wanted, refusals_are_marked
from inntf.nets.pure import PureNetwork
from inntf.numerics.solvers.ode import solve_ode
from inntf.numerics.trace import value_and_trace

_evaluations = Notes()


class Continuous(Protocol):
    """What a solver reads of its block, as it is at each call."""

    name: str
    rtol: float
    atol: float
    max_steps: int
    time: bool


class SolverNotFinished(tf.errors.InvalidArgumentError):
    """The solver of a continuous block ran out of steps, or its state is not finite.

    A `tf.errors.InvalidArgumentError`, which is what the same failure raises inside a graph: one `except` serves both.

    Source: inntf.

    Example:
        >>> issubclass(SolverNotFinished, tf.errors.InvalidArgumentError)
        True
    """

    def __init__(self, message: str):
        super().__init__(None, None, message)


def _in_xla() -> bool:
    """Whether a `tf.function` with `jit_compile=True` is being traced."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


class Solver:
    """Solves the equation of one block; a plain object, out of sight of trackers.

    Called eagerly it runs a graph traced once a direction, for any batch size: a solver's loop of single operations
    takes minutes.  Where no log-determinant is looked at, none is integrated, and it is zero.

    Args:
        block: the block.
    """

    def __init__(self, block: Continuous):
        self.block = block
        self.network: PureNetwork  # set where the block is built
        self._traced: dict[Any, Any] = {}

    def __call__(
        self, value: tf.Tensor, condition: tf.Tensor | None, noise: list[tf.Tensor] | None, inverse: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The value at the other end, and the log-determinant; checked."""
        given = {"value": value, "weights": tuple(self.network.values())}
        if condition is not None:
            given["condition"] = tf.cast(condition, value.dtype)
        if noise is not None:
            given["noise"] = tuple(noise)
        wanted = log_dets_are_wanted()
        if tf.executing_eagerly():
            out, log_det, evaluations, reached = self._graph(given, inverse, wanted)(given)
        else:
            out, log_det, evaluations, reached = self._solve(given, inverse, wanted)
        _evaluations.note(evaluations)
        message = (
            f"SolverNotFinished: {self.block.name}: the solver has not reached the end with a finite state within "
            f"max_steps={self.block.max_steps}. Where the input is finite, the velocity is too steep: allow more steps or a "
            "larger rtol and atol, or keep the weights of the dynamics small."
        )
        if refusals_are_marked():
            lost = tf.where(reached, tf.zeros([], out.dtype), tf.constant(float("nan"), out.dtype))
            return out + lost, log_det + tf.cast(lost, log_det.dtype)
        if tf.executing_eagerly():
            if not bool(reached):
                raise SolverNotFinished(message)
            return out, log_det
        check = tf.debugging.Assert(reached, [message])
        with tf.control_dependencies([check]):  # under XLA, which drops it, the numbers are NaN
            return tf.identity(out), tf.identity(log_det)

    def _graph(self, given: dict[str, Any], inverse: bool, wanted: bool) -> Any:
        key = (inverse, wanted, *sorted(given))
        if key not in self._traced:
            any_batch = {
                name: tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), part)
                for name, part in given.items()
                if name != "weights"
            }
            weights = tuple(tf.TensorSpec(w.shape, w.dtype) for w in given["weights"])
            self._traced[key] = tf.function(
                lambda given: self._solve(given, inverse, wanted),
                input_signature=[{**any_batch, "weights": weights}],
                autograph=False,
            )
        return self._traced[key]

    def _solve(self, given: dict[str, Any], inverse: bool, wanted: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        block, value, weights = self.block, given["value"], given["weights"]
        floats = [i for i, w in enumerate(weights) if w.dtype.is_floating]
        constants: dict[str, Any] = {"floats": tuple(weights[i] for i in floats)}
        if "condition" in given:
            constants["condition"] = given["condition"]
        sign = tf.constant(-1.0 if inverse else 1.0, value.dtype)

        def velocity(s: tf.Tensor, y: tf.Tensor, floats_now: Any, condition: Any, noise: Any) -> tuple[tf.Tensor, ...]:
            now = list(weights)
            for i, w in zip(floats, floats_now, strict=True):
                now[i] = w
            more = [tf.fill([tf.shape(y)[0], 1], 1.0 - s if inverse else s)] if block.time else []
            more += [] if condition is None else [condition]

            def network(y: tf.Tensor) -> tf.Tensor:
                return self.network(tf.concat([y, *more], -1), now)

            if not wanted:
                return (sign * network(y),)
            v, trace = value_and_trace(network, y, noise)
            return sign * v, sign * trace

        # A function of its own is traced once, where the solver's stages and the adjoint would each trace it.  Not under XLA:
        # what goes from a call to its gradient would make all that the call was given, the weights too, constants of the
        # program, and each new weight compile it again.
        once = velocity if _in_xla() else tf.function(velocity, autograph=False)

        def dynamics(s: tf.Tensor, state: Any, floats: Any, condition: Any = None) -> tuple[tf.Tensor, ...]:
            return once(s, state[0], floats, condition, given.get("noise"))

        none = tf.zeros_like(value[:, 0])
        start = (value, none) if wanted else (value,)
        found = solve_ode(dynamics, start, rtol=block.rtol, atol=block.atol, max_steps=block.max_steps, constants=constants)
        out, log_det = found.state if wanted else (*found.state, none)
        return out, log_det, found.evaluations, found.reached

    def noting(self) -> contextlib.AbstractContextManager[list[tf.Tensor]]:
        """Within it the numbers of evaluations are noted."""
        return _evaluations.noting()
