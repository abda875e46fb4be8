"""The inverse of a residual block: which Lipschitz constant, which precision, what happens on failure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks.inverse_certificate import InverseCertificate, InverseNotReached
from inntf.core import Block
from inntf.core.noting import Notes
from inntf.core.refusals import refusals_are_marked, weights_are_constants
from inntf.nets.conditioning import merge_condition
from inntf.nets.lipschitz_cache import RememberedConstant
from inntf.nets.lipschitz_tensor import lipschitz_tensor
from inntf.nets.pure import PureNetwork
from inntf.nets.structure import structure_of
from inntf.numerics.shared_traces import run_shared
from inntf.numerics.solvers.fixed_point import ROUNDING, FixedPoint, solve_fixed_point
from inntf.numerics.solvers.implicit import contraction_inverse

_certificates = Notes()


class ResidualInverse:
    """Solves `x + g(x) = z` for one block; a plain object, out of sight of trackers.

    Args:
        block: the block.
        tolerance, max_evaluations, memory, on_failure, refine: as in `ResidualBlock`.
    """

    def __init__(
        self,
        block: Block,
        tolerance: float | None,
        max_evaluations: int,
        memory: int | None,
        on_failure: str,
        refine: str | None,
    ):
        self.block, self.tolerance, self.on_failure = block, tolerance, on_failure
        self.refine = refine is not None and block.variable_dtype != "float64"
        self.options: dict[str, Any] = {"max_evaluations": int(max_evaluations), "memory": memory}
        self._pure: PureNetwork | None = None
        self._constant = RememberedConstant()

    @property
    def network(self) -> PureNetwork:
        """The block's network, as a function of its weights."""
        if self._pure is None or self._pure.network is not self.block.network:
            self._pure = PureNetwork(self.block.network)
        return self._pure

    # ---- the constant ---------------------------------------------------------------------------------------

    def lipschitz_and_reason(self) -> tuple[float, str]:
        """The certified constant of the weights as they are, eagerly, and why it is infinite where it is."""
        bound, reason = self._constant(self.network.network)
        return bound * self._margin, reason

    def lipschitz_now(self) -> float:
        """The certified constant of the weights as they are, eagerly."""
        return self.lipschitz_and_reason()[0]

    @property
    def _margin(self) -> float:
        # The network normalizes its kernels in its own precision.
        return 1 + (1e-12 if self.block.variable_dtype == "float64" else 1e-6)

    def lipschitz(self) -> tf.Tensor:
        """The certified constant, a float64 scalar: a constant in eager mode, computed by the graph in a graph."""
        if tf.executing_eagerly():
            return tf.constant(self.lipschitz_now(), tf.float64)
        return tf.stop_gradient(lipschitz_tensor(self.network.network)) * self._margin

    # ---- the solution ---------------------------------------------------------------------------------------

    def __call__(self, z: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        """The differentiable inverse, checked."""
        lipschitz = self.lipschitz()
        given = [] if condition is None else [condition]
        values = self.network.values()
        floats = [i for i, v in enumerate(values) if v.dtype.is_floating]

        def branch(network: Any, x: tf.Tensor, *sources: tf.Tensor) -> tf.Tensor:
            condition = sources[0] if given else None
            now = list(values)
            for i, value in zip(floats, sources[len(given) :], strict=True):
                now[i] = value
            g = network(merge_condition(self.block, x, condition), now)
            return g if self.block.sign > 0 else -g

        def g(x: tf.Tensor, *sources: tf.Tensor) -> tf.Tensor:
            return branch(self.network, x, *sources)

        def solve(lipschitz: tf.Tensor, z: tf.Tensor, sources: Sequence[tf.Tensor]) -> FixedPoint:
            rounding = self._rounding(z.dtype)
            found = solve_fixed_point(
                lambda x: g(x, *sources), z, lipschitz, tolerance=self.tolerance, rounding=rounding, **self.options
            )
            if not self.refine:
                return found
            return self._refined(lambda x: branch(self.network.wide, x, *sources), z, lipschitz, found)

        if self.refine:  # its variables must not be made inside a custom gradient
            self.network.widen(tuple(merge_condition(self.block, z, condition).shape[1:]))
        weights = [values[i] for i in floats]
        found = contraction_inverse(
            g,
            z,
            [*given, *weights],
            lipschitz,
            solve,
            rounding=self._rounding(z.dtype),
            run=self._run(z, condition),
            constants=len(weights) if weights_are_constants() else 0,
        )
        return self._checked(found, lipschitz)

    def _run(self, z: tf.Tensor, condition: tf.Tensor | None) -> Callable[..., Any]:
        """Who calls the loops: eagerly they are traces that blocks with equal networks share."""
        structure = structure_of(self.network.network) if tf.executing_eagerly() else None
        shapes = z.shape[1:], None if condition is None else condition.shape[1:], z.dtype
        key = structure, self.block.sign, str(shapes), self.tolerance, self.refine, str(self.options), self._rounding(z.dtype)

        def run(name: str, function: Callable[..., Any], *tensors: Any) -> Any:
            return run_shared(None if structure is None else (name, *key), function, *tensors)

        return run

    def _rounding(self, dtype: tf.DType) -> float:
        """Of the network, in units of the value's epsilon."""
        compute = tf.as_dtype(self.block.compute_dtype)
        if compute == dtype or compute.size >= dtype.size:
            return ROUNDING
        return ROUNDING * float(compute_epsilon(compute)) / float(np.finfo(dtype.as_numpy_dtype).eps)

    def _refined(self, wide: Any, z: tf.Tensor, lipschitz: tf.Tensor, found: FixedPoint) -> FixedPoint:
        eps = float(np.finfo(z.dtype.as_numpy_dtype).eps)
        start = tf.cast(found.x, tf.float64)
        # What is returned must be rounded in the end, by up to eps / 2 of its size.
        rounded = 0.55 * eps * _norm(start)
        if self.tolerance is None:
            tolerance = rounded + 1e-30
        else:
            tolerance = tf.maximum(self.tolerance * (1 - 1e-5) - rounded, 0.1 * self.tolerance)
        better = solve_fixed_point(wide, tf.cast(z, tf.float64), lipschitz, tolerance=tolerance, start=start, **self.options)
        x = tf.cast(better.x, z.dtype)
        bound = better.error_bound + _norm(tf.cast(x, tf.float64) - better.x)
        bound = tf.cast(bound * (1 + 4 * eps), z.dtype)
        reached = better.converged if self.tolerance is None else bound <= self.tolerance
        return FixedPoint(x, bound, found.evaluations + better.evaluations, reached)

    def _checked(self, found: FixedPoint, lipschitz: tf.Tensor) -> tf.Tensor:
        certificate = InverseCertificate(found.error_bound, found.converged, found.evaluations, lipschitz)
        if _certificates.asked:
            _certificates.note(certificate)
            return found.x
        if self.on_failure == "flag":
            return found.x
        if refusals_are_marked():
            return self._reached_only(found)
        fine = tf.reduce_all(found.converged)
        if tf.executing_eagerly():
            if not bool(fine):
                raise InverseNotReached(self._message(certificate))
            return found.x
        worst = tf.reduce_max(found.error_bound)
        message = f"InverseNotReached: {self.block.name}: the inverse has not reached {self._wanted}. {_REMEDY}"
        check = tf.debugging.Assert(fine, [message, "Lipschitz constant:", lipschitz, "error bound:", worst])
        with tf.control_dependencies([check]):
            # XLA drops the assertion; a wrong number must not pass for an inverse there either.
            return self._reached_only(found)

    @staticmethod
    def _reached_only(found: FixedPoint) -> tf.Tensor:
        rank = found.x.shape.rank - 1
        shape = tf.concat([tf.shape(found.x)[:1], tf.ones([rank], tf.int32)], 0)
        return tf.where(tf.reshape(found.converged, shape), found.x, math.nan * tf.ones_like(found.x))

    @property
    def _wanted(self) -> str:
        return "the accuracy of its dtype" if self.tolerance is None else f"tolerance={self.tolerance:.3g}"

    def _message(self, certificate: InverseCertificate) -> str:
        lipschitz, reason = self.lipschitz_and_reason()
        worst = float(tf.reduce_max(certificate.error_bound))
        lost = int(tf.reduce_sum(tf.cast(~certificate.reached, tf.int32)))
        most = int(tf.reduce_max(certificate.evaluations))
        return (
            f"{self.block.name}: received {lost} samples whose inverse has not reached {self._wanted}: the error is bounded by "
            f"{worst:.3g} after {most} evaluations, with the certified Lipschitz constant {lipschitz:.6g}"
            f"{f' ({reason})' if reason else ''}. {_REMEDY}"
        )

    def noting(self) -> contextlib.AbstractContextManager[list[InverseCertificate]]:
        """Within it certificates are noted, and nothing raises."""
        return _certificates.noting()


_REMEDY = (
    "It needs a constant below 1: certify(rescale=True) makes spectrally normalized layers keep their coefficients. Close to 1 "
    "use refine='float64', or a larger tolerance or max_evaluations; on_failure='flag' with inverse_with_certificate goes on."
)


def compute_epsilon(dtype: tf.DType) -> float:
    """The epsilon of a compute dtype, bfloat16 included."""
    return 2.0**-7 if dtype == tf.bfloat16 else float(np.finfo(dtype.as_numpy_dtype).eps)


def _norm(value: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(value), list(range(1, value.shape.rank))))
