"""The continuous block: data flow along an ordinary differential equation whose velocity is a network."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.continuous_solver import Solver
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, Box, around, broadcast_box, centre_and_radius, is_finite
from inntf.core.errors import explain
from inntf.core.refusals import log_dets_are_wanted
from inntf.core.shapes import Shape, last_size
from inntf.core.tags import Tags
from inntf.core.upper_bounds import upper_exp, upper_product
from inntf.core.vjp import Gradients, recomputed_vjp
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.make_conditioner import Conditioner, make_conditioner
from inntf.nets.mlp import MLP
from inntf.nets.pure import PureNetwork
from inntf.numerics.log_dets.base import probes
from inntf.numerics.solvers.adaptive_steps import MOST_STEPS

_EXACT_UP_TO = 8  # entries
_CHOICES = {"trace": (None, "exact", "hutchinson"), "noise": ("fresh", "fixed"), "probe": ("rademacher", "gaussian")}


@keras.saving.register_keras_serializable("inntf")
class ContinuousBlock(Block):
    r"""`z = y(1)` for `y(0) = x` and `dy/dt = v(y, t, condition)`, a neural ODE; FFJORD with the estimated trace.

    `log_det` is $\int_0^1 \mathrm{tr}\, \partial v / \partial y\, dt$, solved along with `y`; the inverse runs the same
    equation from 1 to 0.  The solver is adaptive (`inntf.numerics.solve_ode`, Dormand-Prince): the estimated error of every
    entry and step is within `atol + rtol * |y|`, so the round trip is as good as the tolerances, not exact.  All samples share
    the steps: a sample's result depends on the rest of its batch, within the tolerances.  Gradients, of any order, are those of
    the steps taken, in memory that does not grow with their number.

    Where a sample's steps run out, or its state is not finite, it raises `SolverNotFinished`, which names the sample (in a
    graph a `tf.errors.InvalidArgumentError` of the same text; XLA drops assertions: that sample is NaN, and it alone).

    The network is evaluated as at inference (dropout inside does nothing), in the variable dtype of the policy: an adaptive
    solver takes the rounding of 16 bits for an error that no step is small enough for.

    Args:
        dynamics: v, a Keras layer from `(batch, dim [+ 1] [+ condition])` to `(batch, dim)` that is smooth, or a function of
            the output channels that makes one; by default `MLP((64, 64), activation="softplus")`, zero at the start.
        time: whether the network is given the time, as a further input after the entries.
        trace: `"exact"` (d products a step), `"hutchinson"` (one a probe, unbiased), or `None`: exact up to 8 entries.
        samples: probes of Hutchinson's estimate.
        probe: `"rademacher"` or `"gaussian"`.
        noise: of Hutchinson's probes: `"fresh"`, drawn anew at each call, or `"fixed"`, the same at each call, so that
            `log_det` is a function of x (not for training: it would learn that one draw).
        seed: of the probes; `None` draws one (`"fixed"`: 0).
        rtol, atol: tolerances; by default both 1e-5, in float64 1e-8.
        max_steps: the most steps of the solver that a sample may need, rejected ones too; at most 100,000.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`; `condition`: `(batch, width)`.  Flatten images first.

    Raises:
        ValueError: for a network of another width or of 16 bits, an unknown choice, or a condition that is no vector.

    Source: Chen et al., "Neural Ordinary Differential Equations" (2018), eqs 2-5 and 8; Grathwohl et al., "FFJORD" (2019).

    Example:
        >>> block = ContinuousBlock(dynamics=MLP((8,), activation="tanh", zero_last=False))
        >>> x = tf.random.normal([5, 2]); z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-3)
        True
    """

    allowed_event_ndims = (1,)
    iterates = True

    def __init__(
        self,
        *,
        dynamics: Conditioner | None = None,
        time: bool = True,
        trace: str | None = None,
        samples: int = 1,
        probe: str = "rademacher",
        noise: str = "fresh",
        seed: int | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        max_steps: int = 1000,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in {"trace": trace, "noise": noise, "probe": probe}.items():
            if value not in _CHOICES[name]:
                expected = " or ".join(map(repr, _CHOICES[name]))
                raise ValueError(explain(self.name, received=f"{name}={value!r}", expected=expected))
        default = 1e-8 if self.variable_dtype == "float64" else 1e-5
        rtol, atol = default if rtol is None else rtol, default if atol is None else atol
        if not (rtol > 0 and atol > 0 and 1 <= max_steps <= MOST_STEPS and samples >= 1):
            received = f"rtol={rtol}, atol={atol}, max_steps={max_steps}, samples={samples}"
            expected = f"positive numbers, at most {MOST_STEPS} steps"
            raise ValueError(
                explain(self.name, received=received, expected=expected, remedy="Leave them out for the defaults.")
            )
        self.time, self.trace, self.noise, self.seed = bool(time), trace, noise, seed
        self.samples, self.probe = int(samples), probe
        self.rtol, self.atol, self.max_steps = float(rtol), float(atol), int(max_steps)
        self.seed_generator = None
        self._wanted = dynamics
        self._solver = Solver(self)
        if isinstance(dynamics, keras.layers.Layer):
            self.dynamics = dynamics

    def build(self, input_shape: Shape) -> None:
        """Make the network."""
        dim = last_size(input_shape)
        wide = types.SimpleNamespace(name=self.name, dtype_policy=keras.DTypePolicy(self.variable_dtype))
        wanted = MLP((64, 64), activation="softplus") if self._wanted is None else self._wanted
        self.dynamics = make_conditioner(wide, wanted, dim)
        width = dim + self.time + self._condition_width()
        out = self.dynamics(tf.zeros([1, width], self.variable_dtype))
        received = expected = None
        if tuple(out.shape) != (1, dim):
            received, expected = f"an output of shape {tuple(out.shape)}", f"(1, {dim}) for an input of shape (1, {width})"
        elif tf.as_dtype(out.dtype).size < tf.as_dtype(self.variable_dtype).size:
            received, expected = f"a network that computes in {out.dtype.name}", f"{self.variable_dtype}"
        if received:
            remedy = "Leave its width and dtype out, or pass a function of the output channels."
            raise ValueError(explain(f"{self.name}: dynamics", received=received, expected=expected, remedy=remedy))
        self._solver.network = PureNetwork(self.dynamics)
        self.trace = self.trace or ("exact" if dim <= _EXACT_UP_TO else "hutchinson")
        if self.trace == "hutchinson" and self.noise == "fresh":
            self.seed_generator = keras.random.SeedGenerator(self.seed)

    def _condition_width(self) -> int:
        shape = self.condition_shape
        if shape is None:
            return 0
        if len(shape) != 1:
            raise ValueError(
                explain(
                    self.name,
                    received=f"a condition of shape {tuple(shape)}",
                    expected="a vector (batch, width)",
                    remedy="Embed it first, for instance by Flow(condition_network=...).",
                )
            )
        return last_size(shape)

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """What generic checks must know: whether calls are random, and which round trips are exact."""
        return Tags(stochastic=self.trace == "hutchinson" and self.noise == "fresh")

    # ---- the map --------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """From time 0 to 1."""
        return self._solver(x, condition, self._noise(x, self._next_seed()), inverse=False)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """From time 1 to 0."""
        return self._solver(z, condition, self._noise(z, self._next_seed()), inverse=True)

    def evaluations(self, x: Any, condition: Any = None, inverse: bool = False) -> int:
        """How often the network is evaluated for this batch, eagerly.

        Args:
            x: `(..., dim)`; of `inverse`, the latent.
            condition: as in `forward_and_log_det`.
            inverse: whether for the inverse.
        """
        with self._solver.noting() as noted:
            (self.inverse_and_log_det if inverse else self.forward_and_log_det)(x, condition)
        return int(noted[-1])

    def _next_seed(self) -> tf.Tensor | None:
        if self.trace == "exact" or not log_dets_are_wanted():
            return None
        if self.seed_generator is not None:
            return tf.bitcast(tf.cast(self.seed_generator.next(), tf.uint32), tf.int32)
        return tf.constant([self.seed or 0, 0])

    def _noise(self, x: tf.Tensor, seed: tf.Tensor | None) -> list[tf.Tensor] | None:
        return None if seed is None else list(probes(x, seed, self.probe, self.samples))

    # ---- backwards through the block ------------------------------------------------------------------------

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the noise that the forward call had."""
        return self._backprop(z, dz, dlog_det, condition, sources, inverse=False)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the noise that the inverse had."""
        return self._backprop(x, dx, dlog_det, condition, sources, inverse=True)

    def _backprop(
        self,
        out: tf.Tensor,
        d_out: tf.Tensor,
        dlog_det: tf.Tensor,
        condition: tf.Tensor | None,
        sources: Sequence[tf.Tensor],
        inverse: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        noise = self._noise(out, self._next_seed())
        value = tf.stop_gradient(self._solver(out, condition, noise, inverse=not inverse)[0])
        return value, *recomputed_vjp(
            lambda v, c: self._solver(v, c, noise, inverse=inverse), value, d_out, dlog_det, condition, sources
        )

    # ---- bounds ---------------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`exp(L)` both ways, everywhere, with the certified constant `L` of the network (Groenwall); of the exact flow."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        lipschitz, reason = lipschitz_constant(self.dynamics)
        bound = upper_exp(lipschitz)
        if math.isinf(bound) and not reason:
            reason = f"{self.name}: the network has Lip {lipschitz:.4g}, too large for e^Lip"
        return LipschitzBounds(bound, bound, "global", reason)

    def image_box(self, domain: Box | None) -> Box | None:
        """By Groenwall, unsolved: `|y(1) - x| <= (|v(c, 0)| + L) (e^L - 1) / L` at the centre, `e^L` times the rest."""
        if domain is None or not self.built:
            return None
        if self.condition_shape is not None or not is_finite(domain):
            return EVERYWHERE
        centre, radius = centre_and_radius(broadcast_box(domain, self.event_shape, self.name), self.variable_dtype)
        growth = self.lipschitz_bounds().forward
        if math.isinf(growth):
            return EVERYWHERE
        lipschitz = math.log(growth)
        given = np.concatenate([centre, [0.0] * self.time])[None]
        speed = float(np.linalg.norm(self.dynamics(tf.cast(given, self.variable_dtype)).numpy().astype(np.float64)))
        moved = upper_product(speed + lipschitz * self.time, math.expm1(lipschitz) / lipschitz if lipschitz else 1.0)
        return around(centre, moved + growth * np.linalg.norm(radius), self.variable_dtype)

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the network as the layer it has become."""
        return super().config_arguments() | ({"dynamics": self.dynamics} if self.built else {})
