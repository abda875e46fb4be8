"""The inverse of `x + g(x)` as a differentiable function: gradients from the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.numerics.jacobian import Linearization
from inntf.numerics.pullback import Pullback, recording
from inntf.numerics.solvers.fixed_point import ROUNDING, FixedPoint, solve_fixed_point

Solve = Callable[[tf.Tensor, tf.Tensor, Sequence[tf.Tensor]], FixedPoint]
Run = Callable[..., Any]


def contraction_inverse(
    function: Callable[..., tf.Tensor],
    z: tf.Tensor,
    sources: Sequence[tf.Tensor],
    lipschitz: Any,
    solve: Solve | None = None,
    rounding: float = ROUNDING,
    run: Run | None = None,
    constants: int = 0,
    **options: Any,
) -> FixedPoint:
    r"""Solve $x + g(x; s) = z$, with gradients of $x$ by `z` and by every source that do not pass through the iterations.

    $$\partial x = (I + J)^{-1}(\partial z - \partial_s g),\qquad J = \partial g / \partial x,$$

    so a gradient $v$ by $x$ becomes $w = (I + J)^{-\top} v$ by `z`, and $-(\partial_s g)^\top w$ by the sources.  The linear
    equation $w = v - J^\top w$ is a contraction with the same constant, solved by the same accelerated iteration on
    vector-Jacobian products until rounding weighs more than what is left; a sample where that fails gets NaN.  Second
    derivatives are right, too, and so are Jacobian-vector products by two backward passes.

    Args:
        function: `g(x, *sources)`, from `(batch, *event)` to the same shape, sample by sample; nothing else that wants a
            gradient may be hidden in it.
        z: `(batch, *event)`.
        sources: float tensors: a condition, weights.
        lipschitz: bound of the Lipschitz constant in `x`, a number or a scalar tensor; it gets no gradient.
        solve: how to find the root, `(lipschitz, z, sources) -> FixedPoint`; `solve_fixed_point` with `options` by default.
        rounding: of the function, as in `solve_fixed_point`.
        run: who calls a loop, `run(name, function, *tensors)`: a function of these tensors alone, which may be traced and
            used again (`inntf.numerics.shared_traces`).
        constants: so many sources, the last ones, get no gradient.
        **options: further arguments of `solve_fixed_point`.

    Returns:
        The `FixedPoint`; its `x` is differentiable.

    Raises:
        TypeError, ValueError: as `solve_fixed_point`.

    Source: the implicit function theorem, as in Bai, Kolter, Koltun, "Deep Equilibrium Models" (2019), theorem 1.

    Example:
        >>> a, z = tf.constant(0.5), tf.constant([[3.0]])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch([a, z])
        ...     x = contraction_inverse(lambda x, a: a * x, z, [a], 0.5).x
        >>> [round(float(tf.squeeze(g)), 4) for g in tape.gradient(x, [z, a])]  # x = z / (1 + a)
        [0.6667, -1.3333]
    """

    def by_iteration(lipschitz: tf.Tensor, z: tf.Tensor, sources: Sequence[tf.Tensor]) -> FixedPoint:
        return solve_fixed_point(lambda x: function(x, *sources), z, lipschitz, rounding=rounding, **options)

    free = len(sources) - constants
    implicit = _Implicit(function, lipschitz, solve or by_iteration, rounding, run or _at_once, list(sources[free:]))
    return implicit(z, list(sources[:free]))


class _Implicit:
    """The root and the linear solves behind its derivatives."""

    def __init__(
        self, function: Callable[..., tf.Tensor], lipschitz: Any, solve: Solve, rounding: float, run: Run, constants: list
    ):
        self.all, self.solve, self.rounding, self.run, self.constants = function, solve, rounding, run, constants
        self.lipschitz = tf.stop_gradient(tf.convert_to_tensor(lipschitz))

    def function(self, x: tf.Tensor, *sources: tf.Tensor) -> tf.Tensor:
        return self.all(x, *sources, *self.constants)

    def __call__(self, z: tf.Tensor, sources: list[tf.Tensor], known: FixedPoint | None = None) -> FixedPoint:
        @tf.custom_gradient
        def root(z: tf.Tensor, *sources: tf.Tensor) -> Any:
            with record.stop_recording():
                found = known
                if found is None:
                    found = FixedPoint(*self.run("solve", self._solve, self.lipschitz, z, [*sources, *self.constants]))

            def backward(dx: tf.Tensor, *_: Any) -> list[tf.Tensor | None]:
                # The root once more, from itself: its own derivative is there for second derivatives.
                x = self._again(z, list(sources), found.x)
                w = self.transposed_solve(dx, x, list(sources))
                if not sources:
                    return w
                # Tensors of its own: in the gradient of a loop those of the loop's body come by other ways than the tape sees.
                given = [tf.identity(source) for source in sources]
                with recording(), tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(given)
                    g = self.function(x, *given)
                return [w, *tape.gradient(g, given, output_gradients=-w)]

            return (found.x, found.error_bound, found.evaluations, found.converged), backward

        return FixedPoint(*root(z, *sources))

    def _again(self, z: tf.Tensor, sources: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        return self(z, sources, _known(tf.identity(x))).x

    def transposed_solve(self, v: tf.Tensor, x: tf.Tensor, sources: list[tf.Tensor]) -> tf.Tensor:
        """`(I + J)^-T v`."""

        @tf.custom_gradient
        def solve(v: tf.Tensor, x: tf.Tensor, *sources: tf.Tensor) -> Any:
            held = [*sources, *self.constants]
            with record.stop_recording():
                w = self.run("transposed", self._transposed, self.lipschitz, v, x, held)

            def backward(u: tf.Tensor) -> list[tf.Tensor | None]:
                with record.stop_recording():
                    p = self.run("tangent", self._tangent, self.lipschitz, u, x, held)
                at, *given = (tf.identity(source) for source in (x, *sources))
                with recording(), tf.GradientTape(watch_accessed_variables=False) as outer:
                    outer.watch([at, *given])
                    with tf.GradientTape(watch_accessed_variables=False) as inner:
                        inner.watch(at)
                        g = self.function(at, *given)
                    pulled = inner.gradient(g, at, output_gradients=w, unconnected_gradients="zero")
                grads = outer.gradient(pulled, [at, *given], output_gradients=-p)
                return [_last(p), *(None if grad is None else _last(grad) for grad in grads)]

            return w, backward

        return solve(v, x, *sources)

    # ---- the loops: functions of the tensors that they are given alone ---------------------------------------

    def _solve(self, lipschitz: tf.Tensor, z: tf.Tensor, sources: list[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        found = self.solve(lipschitz, z, sources)
        return found.x, found.error_bound, found.evaluations, found.converged

    def _transposed(self, lipschitz: tf.Tensor, v: tf.Tensor, x: tf.Tensor, sources: list[tf.Tensor]) -> tf.Tensor:
        return self._linear(lipschitz, Pullback(lambda x: self.all(x, *sources), x), v)

    def _tangent(self, lipschitz: tf.Tensor, u: tf.Tensor, x: tf.Tensor, sources: list[tf.Tensor]) -> tf.Tensor:
        with recording():
            at = Linearization(lambda x: self.all(x, *sources), x)
        return self._linear(lipschitz, at.jvp, u)

    def _linear(self, lipschitz: tf.Tensor, product: Callable[[tf.Tensor], tf.Tensor], v: tf.Tensor) -> tf.Tensor:
        found = solve_fixed_point(product, v, lipschitz, rounding=self.rounding)
        axes = list(range(1, v.shape.rank))
        size = tf.sqrt(tf.reduce_sum(tf.square(found.x), axes))
        accuracy = np.sqrt(self.rounding * np.finfo(v.dtype.as_numpy_dtype).eps)
        fine = found.converged | (found.error_bound <= accuracy * size)
        fine = tf.reshape(fine, tf.concat([tf.shape(v)[:1], tf.ones([len(axes)], tf.int32)], 0))
        return tf.where(fine, found.x, np.nan * tf.ones_like(v))


def _at_once(name: str, function: Callable, *tensors: Any) -> Any:
    return function(*tensors)


def _known(x: tf.Tensor) -> FixedPoint:
    zeros = tf.zeros(tf.shape(x)[:1], x.dtype)
    return FixedPoint(x, zeros, tf.zeros_like(zeros, tf.int32), tf.zeros_like(zeros, tf.bool))


def _last(grad: tf.Tensor) -> tf.Tensor:
    message = "inntf: the inverse of a contraction has first and second derivatives, no third."
    return tf.raw_ops.PreventGradient(input=grad, message=message)
