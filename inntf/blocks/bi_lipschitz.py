"""The residual block whose two Lipschitz constants are what the user sets, whatever its weights."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.inverse_certificate import InverseCertificate, with_rounding
from inntf.blocks.residual import ResidualBlock
from inntf.core import Block, LipschitzBounds
from inntf.core.arguments import Limit, checked_count
from inntf.core.bounds import unknown
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, built_shape
from inntf.core.tags import Tags
from inntf.nets.orthogonal_net import OrthogonalNet
from inntf.numerics.log_dets import ExactLogDet, Geometric, RussianRoulette
from inntf.numerics.log_dets.base import LogDetEstimator

_EXACT_UP_TO = 32  # numbers in an event
_LEAST_STOP = 1e-3  # of `Geometric`
_LARGEST_RATIO = {"float32": 1e5, "float64": 1e12}  # that a dtype can tell from a map that is not invertible
_REFINED_FROM = 100  # a ratio


@keras.saving.register_keras_serializable("inntf")
class BiLipschitz(Block):
    r"""`z = a (y + L h(y))`, `y = b x`, h an `OrthogonalNet`, $ab = (\mu + \nu)/2$, $L = (\nu - \mu)/(\nu + \mu)$.

    $$\mu \|x - y\| \le \|F(x) - F(y)\| \le \nu \|x - y\|, \qquad \mu = \mathtt{lower}, \; \nu = \mathtt{upper},$$

    for any weights, without constraint or normalization, since $\mathrm{Lip}(h) \le 1$.  Training reaches both ends: no slope
    is lost to a bound that is not sharp.  The maps $c(\mathrm{id} + g)$, $c = (\mu + \nu)/2$, with $\mathrm{Lip}(g) \le L$ are
    those with $\langle \Delta F - \mu \Delta x, \nu \Delta x - \Delta F \rangle \ge 0$, the set in which BiLipNet's monotone
    layers lie; their Jacobians need not be symmetric.  Every such map is strongly monotone; what turns by more comes from
    several blocks with rotations between, whose constants multiply.

    **The inverse** is that of a `ResidualBlock`: an accelerated fixed point whose error is bounded by the residual,
    $\|y - y_*\| \le (L\|r\| + \delta)/(1 - L)$ with $1 - L = \mu/c$; it raises where it stays above `tolerance`, its gradients
    are implicit, and `inverse_with_certificate` returns the bound.  Iterations and rounding grow with $\nu/\mu$: of a ratio
    beyond 100 make a chain of blocks, each with a root of it.

    At the start the block is close to $\sqrt{\mu\nu}\,x$.  A condition enters h by a trained linear map, without a bound.

    Args:
        lower: mu, above 0.
        upper: nu, at least `lower`, and at most 1e5 (in float64 1e12) times it.
        hidden: channels that h folds; by default 64, or as many as the input has, where those are more.
        depth: number of folds.
        log_det: a `LogDetEstimator`; by default exact for events of up to 32 numbers, and a `RussianRoulette` of finite
            variance beyond (exact again for ratios above 2000, where it would take 1000 terms).
        noise, seed, tolerance, max_evaluations, memory, on_failure: as in `ResidualBlock`.
        refine: as there; `"auto"` refines where the ratio is above 100 and the network does not compute in 16 bit.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for constants that are not finite, or out of order; else as `ResidualBlock`.

    Source: Wang, Dvijotham, Manchester, "Monotone, Bi-Lipschitz, and Polyak-Lojasiewicz Networks" (ICML 2024), definition 2 and
    section 4; h as in Anil, Lucas, Grosse (2019); the residual form and its certificate: inntf.

    Example:
        >>> block = BiLipschitz(lower=0.2, upper=5.0); x = tf.random.normal([4, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> block.lipschitz_bounds().forward, block.lipschitz_bounds().inverse
        (5.0, 5.0)
        >>> back, _, certificate = block.inverse_with_certificate(z)
        >>> bool(tf.reduce_all(tf.norm(back - x, axis=1) <= certificate.error_bound))
        True
    """

    allowed_event_ndims = (1, 3)

    def __init__(
        self,
        lower: float,
        upper: float,
        *,
        hidden: int | None = None,
        depth: int = 2,
        log_det: LogDetEstimator | None = None,
        noise: str = "fresh",
        seed: int | None = None,
        tolerance: Limit | None = None,
        max_evaluations: int = 2000,
        memory: int | None = None,
        on_failure: str = "raise",
        refine: str | None = "auto",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checked_count(self.name, depth=depth, **({} if hidden is None else {"hidden": hidden}))
        most = _LARGEST_RATIO.get(self.variable_dtype, 1e3)
        if not 0 < lower <= upper <= most * lower:
            raise ValueError(
                explain(
                    self.name,
                    received=f"lower={lower}, upper={upper}",
                    expected=f"0 < lower <= upper <= {most:.0e} lower",
                    remedy="For a larger ratio make a Chain of blocks, each with a root of it, or use dtype='float64'.",
                )
            )
        self.lower, self.upper, self.hidden, self.depth = float(lower), float(upper), hidden, int(depth)
        self.log_det = log_det
        if refine == "auto":
            fine = self.upper <= _REFINED_FROM * self.lower or self.compute_dtype != self.variable_dtype
            refine = None if fine else "float64"
        self.centre = self.lower + (self.upper - self.lower) / 2  # no overflow
        self.contraction = (self.upper - self.lower) / 2 / self.centre
        # A power of two divides z without rounding, which the inverse would magnify by as much as upper / lower.
        self.outer = 2.0 ** round(math.log2(self.centre))
        self.inner = self.centre / self.outer
        self.residual = ResidualBlock(
            network=self._network,
            log_det=log_det,
            noise=noise,
            seed=seed,
            tolerance=None if tolerance is None else self.inner * tolerance,
            max_evaluations=max_evaluations,
            memory=memory,
            on_failure=on_failure,
            refine=refine,
            name=self.name,
            dtype=self.dtype_policy,
        )
        self.embedding: keras.layers.Layer | None = None

    def _network(self, channels: int) -> OrthogonalNet:
        # sqrt(lower upper) = centre (1 + L slope)
        low, high = math.sqrt(self.lower), math.sqrt(self.upper)
        return OrthogonalNet(
            self.hidden or max(64, channels),
            self.depth,
            out_channels=channels,
            coefficient=self.contraction,
            initial_slope=(low - high) / (low + high),
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Shape) -> None:
        """Make h, and what embeds the condition; choose the estimator."""
        event, condition = tuple(input_shape[1:]), self.condition_shape
        if condition is not None:
            self.embedding = keras.layers.Dense(
                condition[-1], use_bias=False, kernel_initializer="identity", dtype=self.variable_dtype, name="embedding"
            )
            self.embedding.build((None, *condition))
        if self.residual.log_det is None:
            self.residual.log_det = self._estimator(None if None in event else int(np.prod(event)))
        self.residual.ensure_built(event, condition)

    def _estimator(self, size: int | None) -> LogDetEstimator:
        stop = (1 - self.contraction**2) / 2  # below 1 - L^2 the variance is finite
        if stop < _LEAST_STOP or (size is not None and size <= _EXACT_UP_TO):
            return ExactLogDet()
        return RussianRoulette(Geometric(stop), gradient="neumann")

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """As of `ResidualBlock`."""
        return self.residual.tags

    # ---- the map ------------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`a (y + L h(y))` and `log|det|` of its Jacobian."""
        z, log_det = self.residual.forward_and_log_det(self.inner * x, self._embedded(condition))
        return self.outer * z, log_det + self._log_volume(x, log_det.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The `x` with `a (y + L h(y)) = z`, and the log-determinant there, with the other sign."""
        y, log_det = self.residual.inverse_and_log_det(z / self.outer, self._embedded(condition))
        return y / self.inner, log_det - self._log_volume(z, log_det.dtype)

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`z`, without the log-determinant."""
        return self.outer * self.residual.value(self.inner * x, self._embedded(condition))

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Nothing here waits for data: `value(x, condition)`."""
        return self.value(x, condition)

    def inverse_with_certificate(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """The inverse, its log-determinant, and how good it is; never raises for a tolerance that is not reached.

        Args:
            z: `(..., *event)`.
            condition: as in `inverse_and_log_det`.

        Returns:
            `x`, `log_det` and an `InverseCertificate`, whose entries have the shape of `log_det`.
        """
        z = tf.convert_to_tensor(z)
        condition = None if condition is None else tf.convert_to_tensor(condition)
        if not self.built:
            self._build_from(z, condition, forward=False)
        y, log_det, found = self.residual.inverse_with_certificate(z / self.outer, self._embedded(condition))
        x = y / self.inner
        certificate = with_rounding(found, x, len(built_shape(self.event_shape)), self.inner)
        batch = tf.reshape(x, tf.concat([[-1], tf.shape(x)[x.shape.rank - len(built_shape(self.event_shape)) :]], 0))
        return x, log_det - self._log_volume(batch, log_det.dtype), certificate

    def _embedded(self, condition: Any) -> Any:
        return condition if condition is None or self.embedding is None else self.embedding(condition)

    def _log_volume(self, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return tf.cast(tf.reduce_prod(tf.shape(x)[1:]), dtype) * math.log(self.centre)

    # ---- what is certain -----------------------------------------------------------------------------------------

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`upper` and `1 / lower`, whatever the weights, as long as they are finite."""
        reason = self.residual.network.lipschitz_bound()[1] if self.residual.built else f"{self.name} is not built"
        return unknown(reason) if reason else LipschitzBounds(self.upper, 1 / self.lower)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As of `ResidualBlock`, with the scale."""
        if condition is not None:
            condition = self._embedded(tf.convert_to_tensor(condition, tf.float64))
        first, last = (1 / self.outer, 1 / self.inner) if inverse else (self.inner, self.outer)
        found, c = self.residual.local_map(x * first, radius * first, condition, inverse), first * last
        bounds = self.lipschitz_bounds()
        return dataclasses.replace(
            found,
            value=last * found.value,
            jacobian=c * found.jacobian,
            deviation=c * found.deviation,
            error=last * found.error,
            bound=bounds.inverse if inverse else bounds.forward,
        )
