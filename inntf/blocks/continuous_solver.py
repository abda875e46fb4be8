"""Running the equation of a continuous block, eagerly or in a graph, and saying so where it does not get through."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import tensorflow as tf

from inntf.core.eager_failure import EagerFailure
from inntf.core.noting import Notes
from inntf.core.refusals import log_dets_are_wanted, refusals_are_marked
from inntf.core.under_xla import in_xla
from inntf.nets.pure import PureNetwork
from inntf.numerics.solvers.ode import solve_ode
from inntf.numerics.trace import value_and_trace

_SHOWN = 5  # samples that a message names
_evaluations = Notes()


def _first_of(reached: tf.Tensor) -> tf.Tensor:
    return tf.where(~reached)[:_SHOWN, 0]


class Continuous(Protocol):
    """What a solver reads of its block, as it is at each call."""

    name: str
    rtol: float
    atol: float
    max_steps: int
    time: bool


class SolverNotFinished(EagerFailure):
    """The solver of a continuous block ran out of steps, or its state is not finite.

    A `tf.errors.InvalidArgumentError`, which is what the same failure raises inside a graph: one `except` serves both.

    Source: inntf.

    Example:
        >>> issubclass(SolverNotFinished, tf.errors.InvalidArgumentError)
        True
    """


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
        if refusals_are_marked():  # the samples that were given up are NaN
            return out, log_det
        all_reached = tf.reduce_all(reached)
        if tf.executing_eagerly():
            if not bool(all_reached):
                raise SolverNotFinished(self._message(_first_of(reached).numpy().tolist(), int(tf.size(reached))))
            return out, log_det
        said = self._message("the rows that follow", "the batch")
        check = tf.debugging.Assert(all_reached, [said, _first_of(reached)], summarize=_SHOWN)
        with tf.control_dependencies([check]):  # XLA drops it
            return tf.identity(out), tf.identity(log_det)

    def _message(self, samples: Any, batch: Any) -> str:
        return (
            f"SolverNotFinished: {self.block.name}: the solver has not reached the end with a finite state within "
            f"max_steps={self.block.max_steps} in samples {samples} (the first ones) of {batch}. Where their input is finite, "
            "the velocity is too steep: allow more steps or a larger rtol and atol, or keep the weights of the dynamics small."
        )

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
        block, value = self.block, given["value"]

        def velocity(s: tf.Tensor, y: tf.Tensor, weights: Any, condition: Any, noise: Any) -> Any:
            more = [tf.fill([tf.shape(y)[0], 1], 1.0 - s if inverse else s)] if block.time else []
            more += [] if condition is None else [condition]

            def network(y: tf.Tensor) -> tf.Tensor:
                out = self.network(tf.concat([y, *more], -1), weights)
                return -out if inverse else out

            return value_and_trace(network, y, noise) if wanted else network(y)

        # A function of its own is traced once, where the steps and their gradients would each trace it.  Not under XLA:
        # what goes from a call to its gradient would make all that the call was given, the weights too, constants of the
        # program, and each new weight compile it again.
        once = velocity if in_xla() else tf.function(velocity, autograph=False)

        def dynamics(s: tf.Tensor, y: tf.Tensor, weights: Any, condition: Any = None, noise: Any = None) -> Any:
            return once(s, y, weights, condition, noise)

        constants: dict[str, Any] = {name: given[name] for name in ("weights", "condition") if name in given}
        held: dict[str, Any] = {name: given[name] for name in ("noise",) if name in given}
        limits: dict[str, Any] = {"rtol": block.rtol, "atol": block.atol, "max_steps": block.max_steps}
        found = solve_ode(dynamics, value, **limits, constants=constants, held=held, integrals=wanted)
        log_det = found.integrals if wanted else tf.zeros_like(found.state[:, 0])
        return found.state, log_det, found.evaluations, found.samples_reached

    def noting(self) -> contextlib.AbstractContextManager[list[tf.Tensor]]:
        """Within it the numbers of evaluations are noted."""
        return _evaluations.noting()
