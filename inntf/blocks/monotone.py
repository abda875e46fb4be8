"""The monotone block: the Cayley transform of a contraction, which reaches steeper slopes than a residual block."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.inverse_certificate import InverseCertificate, in_shape_of, with_rounding
from inntf.blocks.residual import ResidualBlock
from inntf.blocks.residual_branch import branch_of
from inntf.core import Block, LipschitzBounds
from inntf.core.arguments import Limit
from inntf.core.bounds import unknown
from inntf.core.local_maps import LocalMap
from inntf.core.refusals import log_dets_are_wanted
from inntf.core.shapes import Shape, built_shape
from inntf.core.tags import Tags
from inntf.core.vjp import Gradients, recomputed_vjp
from inntf.nets.make_conditioner import Conditioner
from inntf.numerics.log_dets.base import LogDetEstimator


@keras.saving.register_keras_serializable("inntf")
class MonotoneBlock(Block):
    r"""`F = (I - g) (I + g)^-1` with $\mathrm{Lip}(g) = L < 1$: a strongly monotone map, at the start (g small) the identity.

    With the `w` of $w + g(w) = 2x$ it is `z = w - x`, and with the `w` of $w - g(w) = 2z$ its inverse is `x = w - z`.

    $$\mathtt{log\_det} = \log|\det(I - J_g(w))| - \log|\det(I + J_g(w))|$$

    Slopes lie between $(1 - L)/(1 + L)$ and $(1 + L)/(1 - L)$, where a residual block has $1 \pm L$: at L = 0.9 the same
    contraction stretches by 19 instead of 1.9, and shrinks as much.  **Both directions** are found by the accelerated fixed
    point of `ResidualBlock`, each with its proven error, and refuse as it does; gradients are implicit.  Where one direction
    must be cheap, `ResidualBlock` costs half; where the constants are to be set, `BiLipschitz` has them.

    Args:
        network: g, as in `ResidualBlock`; a condition is joined to its input.
        coefficient: norm that each layer of a default network may have.
        log_det: as in `ResidualBlock`: exact for events of up to 8 numbers, `RussianRoulette()` beyond; g is evaluated once
            for both determinants, and of a series only the odd terms are left.
        noise, seed, max_evaluations, memory, on_failure, refine: as in `ResidualBlock`.
        tolerance: largest l2 error of `w`, and so of either direction; `None`: as small as rounding lets it be.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError, TypeError: as `ResidualBlock`.

    Source: Ahn, Kim, Hong, Ko, "Invertible Monotone Operators for Normalizing Flows" (2022), section 3; resolvents: Bauschke
    and Combettes, "Convex Analysis and Monotone Operator Theory" (2017), chapter 23.

    Example:
        >>> block = MonotoneBlock(); x = tf.random.normal([4, 3])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> back, _, certificate = block.inverse_with_certificate(z)
        >>> bool(tf.reduce_all(tf.norm(back - x, axis=1) <= 1e-5 + certificate.error_bound))
        True
    """

    allowed_event_ndims = (1, 3)
    iterates = True

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
        self._options = {
            "noise": noise,
            "seed": seed,
            "tolerance": tolerance,
            "max_evaluations": max_evaluations,
            "memory": memory,
            "on_failure": on_failure,
            "refine": refine,
            "dtype": self.dtype_policy,
        }
        self.plus = ResidualBlock(
            network=network, coefficient=coefficient, log_det=log_det, name=f"{self.name}_plus", **self._options
        )

    def build(self, input_shape: Shape) -> None:
        """Make the network, and with the same one the block of the other sign."""
        event = tuple(input_shape[1:])
        self.plus.ensure_built(event, self.condition_shape)
        self.minus = _Opposite(network=self.plus.network, log_det=self.plus.log_det, name=f"{self.name}_minus", **self._options)
        self.minus.ensure_built(event, self.condition_shape)

    @property
    def tags(self) -> Tags:  # type: ignore[override]
        """As of `ResidualBlock`."""
        return self.plus.tags

    @property
    def network(self) -> keras.layers.Layer | None:
        """g, once built."""
        return self.plus.network if self.plus.built else None

    # ---- the map ------------------------------------------------------------------------------------------------

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`w - x` with `w + g(w) = 2x`."""
        self.plus._update_norms()
        return self._through(self.plus, x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`w - z` with `w - g(w) = 2z`."""
        return self._through(self.minus, z, condition)

    def _through(self, solved: ResidualBlock, value: tf.Tensor, condition: Any) -> tuple[tf.Tensor, tf.Tensor]:
        w = solved._root(2 * value, condition)
        if not log_dets_are_wanted():
            return w - value, tf.zeros([], value.dtype)
        return w - value, self.plus.estimator.cayley(branch_of(solved, condition), w, solved._next_seed())[1]

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the norms that the forward call had."""
        self.plus._update_norms()
        x = tf.stop_gradient(self.inverse_value(z, condition))
        return x, *recomputed_vjp(lambda x, c: self._through(self.plus, x, c), x, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with the norms that the inverse had: it updates none."""
        z = tf.stop_gradient(self.plus._root(2 * x, condition) - x)
        return z, *recomputed_vjp(self.inverse_and_log_det, z, dx, dlog_det, condition, sources)

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Nothing here waits for data: `value(x, condition)`."""
        return self.value(x, condition)

    def forward_with_certificate(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """As `inverse_with_certificate`, of `z`."""
        return self._certified(self.plus, self.forward_and_log_det, x, condition)

    def inverse_with_certificate(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        """The inverse, its log-determinant, and how good it is; never raises for a tolerance that is not reached.

        Args:
            z: `(..., *event)`.
            condition: as in `inverse_and_log_det`.

        Returns:
            `x`, `log_det` and an `InverseCertificate`, whose entries have the shape of `log_det`.
        """
        return self._certified(self.minus, self.inverse_and_log_det, z, condition)

    def _certified(
        self, solved: ResidualBlock, way: Any, value: Any, condition: Any
    ) -> tuple[tf.Tensor, tf.Tensor, InverseCertificate]:
        with solved._root.noting() as noted:
            image, log_det = way(value, condition)
        return image, log_det, with_rounding(in_shape_of(log_det, noted[-1]), image, len(built_shape(self.event_shape)))

    # ---- what is certain ----------------------------------------------------------------------------------------

    def certify(self, rescale: bool = False) -> float:
        """The certified Lipschitz constant of g, as `ResidualBlock.certify`."""
        return self.plus.certify(rescale)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`(1 + L) / (1 - L)` both ways, with the certified L."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        lipschitz, reason = self.plus._root.lipschitz_and_reason()
        if lipschitz < 1:
            return LipschitzBounds((1 + lipschitz) / (1 - lipschitz), (1 + lipschitz) / (1 - lipschitz))
        return unknown(reason or f"the network of {self.name} has Lip {lipschitz:.4g}")

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        r"""As in `Block`: $2 (I \pm J_g)^{-1} - I$, of the inverse of a residual block in a ball twice as wide."""
        found = (self.minus if inverse else self.plus).local_map(2 * x, 2 * radius, condition, True)
        size = found.jacobian.shape[-1]
        bound = self.lipschitz_bounds().forward
        jacobian = 2 * found.jacobian - np.eye(size)
        return dataclasses.replace(found, value=found.value - x, jacobian=jacobian, deviation=2 * found.deviation, bound=bound)

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the network as the layer it has become."""
        made = {"network": self.plus.network, "log_det": self.plus.log_det} if self.built else {}
        return super().config_arguments() | made


class _Opposite(ResidualBlock):
    """`x - g(x)`."""

    sign = -1
