"""Roots of `x + g(x) = z` for contractions `g`: accelerated, per sample, with an error bound that holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.numerics.solvers.secants import Secants

Function = Callable[[tf.Tensor], tf.Tensor]

ROUNDING = 2.0  # default of `rounding`, in units of the dtype's epsilon
_LONGEST_WAIT = 64  # plain steps after the last of many rejections


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """What `solve_fixed_point` returns, one entry per sample.

    Attributes:
        x: the solution, the shape of `z`.
        error_bound: `(batch,)`, no less than the l2 distance to the true solution.
        evaluations: `(batch,)` int32, evaluations of `g` until the sample was done.
        converged: `(batch,)` bool, whether the bound is within the tolerance.
    """

    x: tf.Tensor
    error_bound: tf.Tensor
    evaluations: tf.Tensor
    converged: tf.Tensor


def solve_fixed_point(
    function: Function,
    z: tf.Tensor,
    lipschitz: Any,
    *,
    tolerance: Any = None,
    max_evaluations: int = 2000,
    memory: int | None = None,
    start: tf.Tensor | None = None,
    rounding: float = ROUNDING,
) -> FixedPoint:
    r"""Solve $x = z - g(x)$ for each sample, $\mathrm{Lip}(g) \le L < 1$, and bound the error that is left.

    With the residual $r(x) = z - g(x) - x$ the true solution $x_*$ satisfies $\|x - x_*\| \le \|r(x)\| / (1 - L)$ for
    **any** x, however it was found, because $x \mapsto x + g(x)$ shrinks no distance below the factor $1 - L$.  What is
    returned is $x + r(x) = z - g(x)$, one plain step further at no cost, and for it

    $$\|x + r(x) - x_*\| = \|g(x_*) - g(x)\| \le \frac{L}{1-L}\|r(x)\|.$$

    The usual form, $L/(1-L)$ times the last *step*, is this one for the plain iteration, where the step is $r(x)$; an
    accelerated step is no residual, and the usual form would not hold for it.  Rounding enters as $\delta$, which bounds
    the error of the computed $z - g(x)$: `error_bound` is $(L\|r\| + \delta)/(1 - L)$ with
    $\delta$ = `rounding` eps $(\|z\| + \|g(x)\| + \|x\|)$.  A tolerance below $\delta/(1-L)$ is never reached, and said so.

    The iteration is Anderson's: the next point is the plain step from where, by the secants of the last `memory` steps,
    the residual is smallest.  The secants are kept orthonormal, so there is no system to solve.  A point whose residual is
    not below the last is rejected: the iteration takes a plain step from the last good one, which cannot fail, and forgets
    its secants.  While the residual is above `L^n` times the first, what `n` evaluations of the plain iteration guarantee,
    each further rejection doubles the number of plain steps before the next attempt (up to 64): so the method needs at
    most a few evaluations in a hundred more than that guarantee, whatever the function.  With as many secants as dimensions a
    linear `g` is solved in `dim + 2` evaluations; with fewer, no method that only evaluates `g` can beat the
    plain iteration on every block (a rotation of all coordinates in turn is the counterexample).  Samples that are done
    stay as they are.

    Args:
        function: $g$, from `(batch, *event)` to the same shape, sample by sample.
        z: `(batch, *event)`, float32 or float64; the batch may be empty or of unknown size.
        lipschitz: $L$, a true bound: a number, a scalar tensor, or `(batch,)`.  With 1 or more nothing converges.
        tolerance: largest error that passes, a number or `(batch,)`; `None` goes on until rounding weighs more than the
            residual (and a sample has then converged).
        max_evaluations: the most evaluations of `g`, at least 1.
        memory: number of secants kept; by default the dimension up to 64, and 10 beyond; 0 is the plain iteration.
        start: where to start; `z` by default.
        rounding: $\delta$ in units of the dtype's epsilon, as above.  The default is meant for functions of a few layers;
            where rounding decides, compute in float64.

    Returns:
        `FixedPoint`: `x`, `error_bound`, `evaluations`, `converged`.

    Raises:
        TypeError: for a dtype that is not float32 or float64; ValueError: for counts that are too small.

    Source: Anderson, "Iterative procedures for nonlinear integral equations" (1965); the bound: Behrmann et al., "Invertible
        Residual Networks" (2019), eq. 1, in a form that holds for accelerated points; safeguard: inntf.

    Example:
        >>> z = tf.constant([[1.0, 2.0]], tf.float64)
        >>> found = solve_fixed_point(lambda x: 0.9 * tf.reverse(x, [1]), z, 0.9, tolerance=1e-8)
        >>> bool(tf.norm(found.x + 0.9 * tf.reverse(found.x, [1]) - z) < 1e-8), int(found.evaluations[0]) < 6
        (True, True)
    """
    z = tf.convert_to_tensor(z)
    _check(z, max_evaluations, memory)
    problem = _Problem(function, z, lipschitz, tolerance, rounding, memory)
    state = problem.first(problem.flat(z if start is None else start))

    def go_on(state: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.logical_not(tf.reduce_all(state["done"]))

    def body(state: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor]]:
        return (problem.step(state),)

    (state,) = tf.while_loop(go_on, body, (state,), maximum_iterations=max_evaluations - 1, parallel_iterations=1)
    return problem.result(state)


class _Problem:
    """One equation a sample, on flat values `(batch, size)`."""

    def __init__(self, function: Function, z: tf.Tensor, lipschitz: Any, tolerance: Any, rounding: float, memory: int | None):
        self.function, self.shape, self.known = function, tf.shape(z), z.shape
        self.size = z.shape[1:].num_elements()
        self.dtype = z.dtype
        self.z = self.flat(z)
        self.z_norm = tf.norm(self.z, axis=1)
        # In float64 and rounded up: 1 - L loses digits in float32.
        wide = tf.cast(lipschitz, tf.float64)
        wide = tf.where(tf.math.is_finite(wide) & (wide >= 0), wide, tf.ones_like(wide))
        below = wide < 1
        self.eps = float(np.finfo(z.dtype.as_numpy_dtype).eps)
        inverse = tf.where(below, 1 / tf.where(below, 1 - wide, tf.ones_like(wide)), np.inf * tf.ones_like(wide))
        self.inverse = tf.cast(inverse * (1 + 4 * self.eps), z.dtype)
        self.lipschitz = tf.cast(wide * (1 + 4 * self.eps), z.dtype)
        self.contracts = tf.broadcast_to(below, tf.shape(self.z_norm))
        self.tolerance = None if tolerance is None else tf.cast(tolerance, z.dtype)
        self.rounding = float(rounding) * self.eps
        slots = Secants.count(memory, self.size)
        self.secants = Secants(slots, self.shape[0], self.known[0], self.size, tf.shape(self.z)[1], z.dtype)

    def flat(self, value: tf.Tensor) -> tf.Tensor:
        """`(batch, size)`."""
        size = self.size if self.size is not None else tf.reduce_prod(self.shape[1:])
        return tf.ensure_shape(tf.reshape(value, [self.shape[0], size]), [self.known[0], self.size])

    def unflat(self, value: tf.Tensor) -> tf.Tensor:
        """The event's shape."""
        return tf.ensure_shape(tf.reshape(value, self.shape), self.known)

    def residual(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`r(x)`, its norm, and the bound `delta` of what rounding may have done to it."""
        g = self.flat(tf.cast(self.function(self.unflat(x)), self.dtype))
        r = (self.z - g) - x
        delta = self.rounding * (self.z_norm + tf.norm(g, axis=1) + tf.norm(x, axis=1))
        return r, tf.norm(r, axis=1), delta

    def finished(self, norm: tf.Tensor, delta: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether a sample has reached its tolerance, and whether it can get no further."""
        left = self.lipschitz * norm
        lost = left <= delta  # more steps would at most halve the bound
        if self.tolerance is None:
            return lost & self.contracts, lost
        return (left + delta) * self.inverse <= self.tolerance, left <= 0.125 * delta

    def first(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """The state after one evaluation."""
        r, norm, delta = self.residual(x)
        reached, stuck = self.finished(norm, delta)
        count = tf.ones_like(reached, tf.int32)
        history = self.secants.none()
        return {
            "k": tf.constant(0),
            "x": x,  # the last good point, its residual, ...
            "r": r,
            "norm": norm,
            "first": norm,
            "delta": delta,
            "trial": x + r,  # ... and the next to be tried
            "moves": history,  # orthonormalised changes of the residual, and the moves that made them
            "changes": history,
            "wait": tf.zeros_like(count),  # plain steps to take before the next accelerated one
            "penalty": tf.ones_like(count),
            "plain": tf.ones_like(reached),  # whether the trial is a plain step
            "evaluations": count,
            "done": reached | stuck | ~self.contracts | ~tf.math.is_finite(norm),
        }

    def step(self, s: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One evaluation."""
        active = ~s["done"]
        r, norm, delta = self.residual(s["trial"])
        good = norm < s["norm"]  # false for NaN
        take = _column(active & good)
        new = dict(s)
        new["x"], new["r"] = tf.where(take, s["trial"], s["x"]), tf.where(take, r, s["r"])
        new["norm"] = tf.where(active & good, norm, s["norm"])
        new["delta"] = tf.where(active & good, delta, s["delta"])
        reached, stuck = self.finished(new["norm"], new["delta"])
        # A plain step that does not help has met rounding (or L is no bound): nothing better will come.
        stuck |= s["plain"] & ~good
        new["evaluations"] = s["evaluations"] + tf.cast(active, tf.int32)
        new["k"] = s["k"] + 1
        rejected = active & ~good
        new["penalty"] = tf.where(rejected, tf.minimum(2 * s["penalty"], _LONGEST_WAIT), s["penalty"])
        new["wait"] = tf.where(rejected, s["penalty"], tf.maximum(s["wait"] - 1, 0))
        plain_next = new["x"] + new["r"]
        if self.secants.slots:
            slot = s["k"] % self.secants.slots
            kept = self.secants.remembered((s["moves"], s["changes"]), s["trial"] - s["x"], r - s["r"], slot, good)
            new["moves"], new["changes"] = kept
            better = plain_next - self.secants.correction(kept, new["r"])
            ahead = tf.math.log(s["first"] / new["norm"]) > -tf.math.log(self.lipschitz) * tf.cast(new["k"] + 1, self.dtype)
            new["plain"] = rejected | ((new["wait"] > 0) & ~ahead)
            plain_next = tf.where(_column(new["plain"]), plain_next, better)
        new["trial"] = tf.where(_column(active), plain_next, s["trial"])
        new["done"] = s["done"] | reached | stuck
        return new

    def result(self, s: dict[str, tf.Tensor]) -> FixedPoint:
        """One plain step further, with its bound."""
        x = s["x"] + s["r"]
        bound = (self.lipschitz * s["norm"] + s["delta"]) * self.inverse * (1 + 16 * self.eps)
        bound = tf.where(self.contracts & tf.math.is_finite(bound), bound, np.inf * tf.ones_like(bound))
        # Without a tolerance: as far as rounding lets it, with a little room for a model of rounding that is too kind.
        lost = self.lipschitz * s["norm"] <= 8 * s["delta"]
        reached = lost if self.tolerance is None else bound <= self.tolerance
        return FixedPoint(self.unflat(x), bound, s["evaluations"], reached & tf.math.is_finite(bound))


def _column(mask: tf.Tensor) -> tf.Tensor:
    return mask[:, None]


def _check(z: tf.Tensor, max_evaluations: int, memory: int | None) -> None:
    if z.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"solve_fixed_point: received {z.dtype.name}, expected float32 or float64. Cast it.")
    if z.shape.rank is None or z.shape.rank < 2:
        raise ValueError(f"solve_fixed_point: received shape {z.shape}, expected (batch, *event). Add the batch dimension.")
    if max_evaluations < 1 or (memory is not None and memory < 0):
        raise ValueError(
            f"solve_fixed_point: received max_evaluations={max_evaluations}, memory={memory}, expected at least 1 and 0. "
            "Give it more."
        )
