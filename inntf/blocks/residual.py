"""The residual block: `x + g(x)` for a contraction `g`, with an inverse that knows its error."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.inverse_certificate import InverseCertificate, in_shape_of
from inntf.blocks.residual_branch import branch_of, default_network
from inntf.blocks.residual_inverse import ResidualInverse
from inntf.blocks.residual_local import residual_in_balls
from inntf.core import Block, LipschitzBounds
from inntf.core.arguments import Limit
from inntf.core.bounds import unknown
from inntf.core.boxes import EVERYWHERE, broadcast_box, centre_and_radius, finite_box, is_finite
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.refusals import log_dets_are_wanted
from inntf.core.shapes import Shape, is_open, last_size
from inntf.core.tags import Tags
from inntf.core.vjp import Gradients, call_context, recomputed_vjp
from inntf.nets.conditioning import merge_condition, prepare_conditioner
from inntf.nets.make_conditioner import Conditioner
from inntf.nets.norms import certify_norms, update_norms
from inntf.numerics.log_dets import ExactLogDet, RussianRoulette
from inntf.numerics.log_dets.base import LogDetEstimator

_EXACT_UP_TO = 8  # numbers in an event
_CHOICES = {"noise": ("fresh", "fixed"), "on_failure": ("raise", "flag"), "refine": (None, "float64")}


@keras.saving.register_keras_serializable("inntf")
class ResidualBlock(Block):
    r"""`z = x + g(x)` with $\mathrm{Lip}(g) = L < 1$; `log_det` is $\log|\det(I + J_g)|$, exact or estimated.

    **The inverse** solves `x = z - g(x)` by an accelerated fixed point (`inntf.numerics.solve_fixed_point`) and bounds its
    error, rounding included: $\|x - x_*\| \le (L \|r\| + \delta)/(1 - L)$.  Where the bound stays above `tolerance`, or
    L is not below 1, it raises `InverseNotReached` (in a graph the same message as a
    `tf.errors.InvalidArgumentError`; XLA drops assertions, so such samples are NaN, too); with `on_failure="flag"` it
    returns what it has, and `inverse_with_certificate` says how good that is.  Gradients are implicit: of `x`, and of the
    `log_det` of the inverse, by `z`, the weights and the condition, at the cost of a second such solve.

    **L is never stale.**  Eagerly it is `lipschitz_constant(network)` of the weights and attributes as they are (remembered
    for those that are equal; weights are compared where they are); in a graph, a loop of `Repeat` or a SavedModel it is
    computed by the graph, from the weights at the time it runs, by `lipschitz_tensor`.  Spectral normalization by power
    iteration alone does not promise L < 1 after large steps: `certify(rescale=True)` makes it hold.

    The network is evaluated as at inference, always (both directions must be one map): dropout inside does nothing.  In
    training the norms of its spectrally normalized layers are updated once a forward call.

    Args:
        network: g, a Keras layer with a certified Lipschitz constant that keeps the shape, or a function of the output
            channels that makes one; by default `LipschitzMLP((128, 128))` for vectors, and a 3x3-1x1-3x3 `ConvNet` of 64
            channels of `SpectralConv2D` for images, with `lip_swish`.  A condition is joined to its input.
        coefficient: norm that each layer of a default network may have.
        log_det: a `LogDetEstimator`: `ExactLogDet()`, `PowerSeries(...)`, `RussianRoulette(...)`; by default exact for
            events of up to 8 numbers and `RussianRoulette()`, which is unbiased, beyond.
        noise: of an estimator that draws: `"fresh"`, a new seed at each call, from a seed generator; or `"fixed"`, the
            same at each call, so that the estimate is a function of x (not for training: it would learn that one draw).
        seed: of the noise; `None` draws one (`"fixed"`: 0).
        tolerance: largest l2 error of an inverse that passes; `None`: as small as rounding lets it be.
        max_evaluations: the most evaluations of g for an inverse.
        memory: secants kept by the iteration; see `solve_fixed_point`.
        on_failure: `"raise"` or `"flag"`.
        refine: `"float64"` continues in float64, where float32 is too coarse for the tolerance: its errors are magnified
            by up to `1 / (1 - L)`.  With `None`, rounding inside g is covered by a margin, not proven.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a network that does not keep the shape, or an unknown choice; TypeError: if `log_det` is no estimator.

    Source: Behrmann et al., "Invertible Residual Networks" (2019); Chen et al., "Residual Flows" (2019).

    Example:
        >>> block = ResidualBlock(); x = tf.random.normal([5, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> back, _, certificate = block.inverse_with_certificate(z)
        >>> bool(tf.reduce_all(tf.norm(back - x, axis=1) <= certificate.error_bound))
        True
    """

    allowed_event_ndims = (1, 3)
    iterates = True
    sign = 1  # of the network in the branch

    def __init__(
        self,
        *,
        network: Conditioner | None = None,
        coefficient: float = 0.9,
        log_det: LogDetEstimator | None = None,
        noise: str = "fresh",
        seed: int | None = None,
        tolerance: Limit | None = None,
        max_evaluations: int = 2000,
        memory: int | None = None,
        on_failure: str = "raise",
        refine: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in {"noise": noise, "on_failure": on_failure, "refine": refine}.items():
            if value not in _CHOICES[name]:
                expected = " or ".join(map(repr, _CHOICES[name]))
                raise ValueError(explain(self.name, received=f"{name}={value!r}", expected=expected))
        if log_det is not None and not isinstance(log_det, LogDetEstimator):
            expected = "a LogDetEstimator: ExactLogDet(), PowerSeries(...) or RussianRoulette(...)"
            raise TypeError(explain(self.name, received=f"log_det={log_det!r}", expected=expected))
        if tolerance is not None and not tolerance > 0:
            raise ValueError(explain(self.name, received=f"tolerance={tolerance}", expected="a positive number, or None"))
        if refine and self.compute_dtype != self.variable_dtype:
            raise ValueError(
                explain(
                    self.name,
                    received=f"refine={refine!r} under the policy {self.dtype_policy.name}",
                    expected="a network that computes in float32 or float64",
                    remedy="The 16-bit network is another map than its float64 twin: use dtype='float32' or refine=None.",
                )
            )
        self.coefficient, self.noise, self.seed = float(coefficient), noise, seed
        self.log_det = log_det
        self._wanted = network
        self._root = ResidualInverse(self, tolerance, max_evaluations, memory, on_failure, refine)
        self.seed_generator = None
        if isinstance(network, keras.layers.Layer):
            self.network = network

    def build(self, input_shape: Shape) -> None:
        """Make the network, choose the estimator."""
        event = tuple(input_shape[1:])
        wanted = self._wanted
        if wanted is None:
            wanted = default_network(len(event), self.coefficient, self.dtype_policy)
        probe = tf.zeros([1, *(4 if n is None else n for n in event)], self.variable_dtype)
        self.network = prepare_conditioner(self, wanted, probe, last_size(event))
        if self.log_det is None:
            size = None if None in event else int(np.prod(event))
            self.log_det = ExactLogDet() if size is not None and size <= _EXACT_UP_TO else RussianRoulette()
        if self.tags.stochastic:
            self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """What generic checks must know: whether calls are random, and which round trips are exact."""
        draws = self.log_det is not None and self.log_det.needs_seed
        return Tags(stochastic=draws and self.noise == "fresh")

    # ---- the map --------------------------------------------------------------------------------------------

    def branch(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """`g(x)`, of the shape of `x`, with the weights as they are."""
        pure = self._root.network
        g = tf.cast(pure(merge_condition(self, x, condition), pure.values()), x.dtype)
        return g if self.sign > 0 else -g

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`x + g(x)`, without the log-determinant."""
        return x + self.branch(x, condition)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Nothing here waits for data: `value(x, condition)`."""
        return self.value(x, condition)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`x + g(x)` and `log|det(I + J_g(x))|`."""
        self._update_norms()
        return self._there(x, condition, self._next_seed())

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The `x` with `x + g(x) = z`, and `-log|det(I + J_g(x))|`."""
        return self._back(z, condition, self._next_seed())

    def inverse_with_certificate(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """The inverse, its log-determinant, and how good it is; never raises for a tolerance that is not reached.

        Args:
            z: `(..., *event)`.
            condition: as in `inverse_and_log_det`.

        Returns:
            `x`, `log_det` and an `InverseCertificate`, whose entries have the shape of `log_det`.
        """
        with self._root.noting() as noted:
            x, log_det = self.inverse_and_log_det(z, condition)
        return x, log_det, in_shape_of(log_det, noted[-1])

    def _there(self, x: tf.Tensor, condition: Any, seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        if not log_dets_are_wanted():
            return x + self.branch(x, condition), tf.zeros([], x.dtype)
        g, log_det = self._estimated(x, condition, seed)
        return x + g, log_det

    def _back(self, z: tf.Tensor, condition: Any, seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        x = self._root(z, condition)
        if not log_dets_are_wanted():
            return x, tf.zeros([], x.dtype)
        return x, -self._estimated(x, condition, seed)[1]

    def _estimated(self, x: tf.Tensor, condition: Any, seed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        return self.estimator(branch_of(self, condition), x, seed)

    @property
    def estimator(self) -> LogDetEstimator:
        """Of the log-determinant, as it was chosen or made for the block's size.

        Raises:
            ValueError: before the block is built.
        """
        if self.log_det is None:
            raise ValueError(explain(self.name, received="no estimator", expected="a block that is built"))
        return self.log_det

    def _next_seed(self) -> tf.Tensor | None:
        if not log_dets_are_wanted():
            return None
        if self.seed_generator is not None:
            return tf.bitcast(tf.cast(self.seed_generator.next(), tf.uint32), tf.int32)
        return tf.constant([self.seed or 0, 0]) if self.log_det is not None and self.log_det.needs_seed else None

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the network's slopes that can change in a ball, and what they do to the inverse."""
        found = residual_in_balls(self, x, radius, condition, inverse)
        if isinstance(found, LocalMap):
            return found
        return dataclasses.replace(super().local_map(x, radius, condition, inverse), reason=found)

    def _update_norms(self) -> None:
        if self.trainable and getattr(call_context(), "training", False):
            update_norms(self.network)

    # ---- backwards through the block ------------------------------------------------------------------------

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the norms and the noise that the forward call had."""
        self._update_norms()
        seed = self._next_seed()
        x = tf.stop_gradient(self._root(z, condition))
        return x, *recomputed_vjp(lambda x, c: self._there(x, c, seed), x, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the noise that the inverse had."""
        seed = self._next_seed()
        z = x + self.branch(x, condition)
        return z, *recomputed_vjp(lambda z, c: self._back(z, c, seed), z, dx, dlog_det, condition, sources)

    # ---- bounds ---------------------------------------------------------------------------------------------

    def certify(self, rescale: bool = False) -> float:
        """The certified Lipschitz constant of g, eagerly.

        Args:
            rescale: first scale the weights of spectrally normalized layers, if need be, so that each has at most its
                coefficient.
        """
        if rescale:
            certify_norms(self.network, rescale=True)
        return self._root.lipschitz_now()

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`1 + L` and `1 / (1 - L)` with the certified L."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        lipschitz, reason = self._root.lipschitz_and_reason()
        if lipschitz < 1:
            return LipschitzBounds(1 + lipschitz, 1 / (1 - lipschitz))
        return LipschitzBounds(
            1 + lipschitz, float("inf"), reason=reason or f"the branch of {self.name} has Lip {lipschitz:.4g}"
        )

    def image_box(self, domain: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
        """The box itself, moved by `g` at its centre and widened by `L` times half its diagonal."""
        if domain is None or not self.built:
            return None
        lipschitz = self._root.lipschitz_now()
        no_centre = self._condition_event_shape is not None or is_open(self._x_event_shape)
        if no_centre or not np.isfinite(lipschitz) or not is_finite(domain):
            return EVERYWHERE
        low, high = broadcast_box(domain, self._x_event_shape, self.name)
        centre, half = centre_and_radius((low, high), self.variable_dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = self.branch(tf.cast(centre[None], self.variable_dtype))[0].numpy().astype(np.float64)
            radius = lipschitz * np.linalg.norm(half) + 1e-6 * (1 + np.abs(moved))
            return finite_box(low + moved - radius, high + moved + radius)

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the network as the layer it has become."""
        return super().config_arguments() | ({"network": self.network, "log_det": self.log_det} if self.built else {})
