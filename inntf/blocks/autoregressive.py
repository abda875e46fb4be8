"""Autoregressive blocks: each entry is moved by a map whose parameters come from the entries before it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.autoregressive_local import autoregressive_in_balls
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap
from inntf.core.protocols import Sequential
from inntf.core.shapes import Shape, known_sizes, sum_event
from inntf.core.upper_bounds import upper_product, upper_reciprocal
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.make_conditioner import Conditioner, make_conditioner
from inntf.nets.masked import MaskedMLP
from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.named import make_transformer
from inntf.numerics.transformers.why_unbounded import close_to_zero, where_bounded, why_unbounded


@keras.saving.register_keras_serializable("inntf")
class MaskedAutoregressive(Block):
    """`z_i = T(x_i; conditioner(x_before_i, condition))` (MAF), or the same from the latent side (IAF).

    With `reads="data"`, the masked autoregressive flow, the network reads `x`: `forward` evaluates it once, so densities are
    fast, and `inverse` goes entry by entry.  With `reads="latent"`, the inverse autoregressive flow, it reads `z`:
    `x_i = T(z_i; conditioner(z_before_i, condition))`, so that `inverse` (sampling) takes one evaluation, and
    `forward` goes entry by entry.  The two are each other's inverse.  Entry by entry every unit of the network is still
    computed once: `dim` short steps, together about the arithmetic of one evaluation.

    The Jacobian is triangular, `log_det = sum_i log T'(x_i)`.

    Args:
        conditioner: a `MaskedMLP`, or a function of the numbers per entry that makes one; by default one of two layers of
            128.  Its `ordering` says which entries come before which.
        transformer: the map `T` of each entry: `"affine"` (`x_i * scale + shift`, with `ExpScale(2.0)`), a `Scale` for another
            one, `"spline"` (rational-quadratic, 8 bins on [-3, 3]), `"shift"`, or a `Transformer`, also your own.
        reads: `"data"` or `"latent"`: the side that the network reads.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`; `condition`: `(batch, width)`.  Flatten images first, or use
    couplings for them.

    Raises:
        ValueError: for events that are no vectors, a condition that is none, an unknown `transformer` or `reads`; TypeError:
            for a conditioner that cannot be evaluated entry by entry.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017), eqs 3-5; Kingma et al.,
    "Improved Variational Inference with Inverse Autoregressive Flow" (2016); bounds and the sequential direction: inntf.

    Example:
        >>> block = MaskedAutoregressive(transformer="spline")
        >>> x = tf.random.normal([8, 4]); z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-4)
        True
    """

    allowed_event_ndims = (1,)

    def __init__(
        self,
        *,
        conditioner: Conditioner | None = None,
        transformer: Any = "affine",
        reads: str = "data",
        **kwargs: Any,
    ):
        if "transform" in kwargs:  # what the transformer was called before
            if transformer != "affine":
                raise TypeError(
                    explain("MaskedAutoregressive", received="transformer and transform", expected="transformer alone")
                )
            transformer = self._arguments["transformer"] = self._arguments.pop("transform", kwargs.pop("transform"))
        super().__init__(**kwargs)
        if reads not in ("data", "latent"):
            raise ValueError(
                explain(
                    self.name,
                    received=f"reads={reads!r}",
                    expected="'data' (MAF: fast densities) or 'latent' (IAF: fast samples)",
                )
            )
        self.reads = reads
        self.transformer = make_transformer(self.name, transformer)
        self._wanted = conditioner
        if isinstance(conditioner, keras.layers.Layer):
            self.conditioner = conditioner

    def build(self, input_shape: Shape) -> None:
        """Make the network."""
        wanted = self._wanted if self._wanted is not None else MaskedMLP()
        self.conditioner = make_conditioner(self, wanted, self.transformer.parameters)
        if not isinstance(self.conditioner, Sequential):
            raise TypeError(
                explain(
                    self.name,
                    received=f"a conditioner of type {type(self.conditioner).__name__}",
                    expected="a MaskedMLP, or a layer with its method entry_by_entry",
                    remedy="For example conditioner=inntf.nets.MaskedMLP(hidden=(64, 64)).",
                )
            )
        probe = [tf.zeros([1, *input_shape[1:]], self.variable_dtype)]
        if self.condition_shape is not None:
            if len(self.condition_shape) != 1:
                raise ValueError(
                    explain(
                        self.name,
                        received=f"a condition of shape {tuple(self.condition_shape)}",
                        expected="a vector (batch, width)",
                        remedy="Embed it first, for instance by Flow(condition_network=...).",
                    )
                )
            probe.append(tf.zeros([1, *self.condition_shape], self.variable_dtype))
        self.conditioner(*probe)  # type: ignore[operator]

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`z` and `log|det dz/dx|`."""
        return self._at_once(x, condition) if self.reads == "data" else self._entry_by_entry(x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`x` and `log|det dx/dz|`."""
        return self._entry_by_entry(z, condition) if self.reads == "data" else self._at_once(z, condition)

    def _at_once(self, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        out, log_derivative = self.transformer.forward(value, self._raw(value, condition))
        return out, sum_event(log_derivative, value)

    def _raw(self, value: tf.Tensor, condition: tf.Tensor | None) -> Any:
        given = _given(value, condition)
        # Only where both are our own: a subclass may read parameters along the last axis.
        if type(self.transformer) in (AffineTransform, ShiftTransform) and type(self.conditioner) is MaskedMLP:
            return tuple(tf.cast(one, value.dtype) for one in self.conditioner.channel_by_channel(*given))
        return tf.cast(self.conditioner(*given), value.dtype)

    def _entry_by_entry(self, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        out, log_derivative = self.conditioner.entry_by_entry(self._entry_inverse, *_given(value, condition))
        return tf.cast(out, value.dtype), tf.reduce_sum(log_derivative, -1)

    def _entry_inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        u, log_derivative = self.transformer.inverse(v, raw)
        return u, tf.zeros_like(u) if log_derivative is None else log_derivative

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        r"""$J = D + N$ with `D` the slopes of `T` and `N` strictly triangular, $\|N\| \le M$: as in `Coupling`, on a box.

        So $\|J\| \le c + M$ and, as `N` is nilpotent, $\|J^{-1}\| \le \sum_{k<d} M^k / l^{k+1}$ for slopes in $[l, c]$.
        """
        if not self.built:
            return unknown(f"{self.name} is not built")
        local, magnitude, missing = where_bounded(self.name, self.transformer, domain)
        if missing:
            return unknown(missing)
        lipschitz, reason = lipschitz_constant(self.conditioner)
        if math.isinf(lipschitz) or math.isinf(self.transformer.sensitivity(magnitude)):
            return unknown(reason or why_unbounded(self.name, self.transformer, magnitude))
        scope = "local" if local else "global"
        if self.reads == "data":
            return self._triangular(magnitude, lipschitz, scope)
        if local:
            magnitude, reason = self._reach(magnitude, lipschitz)
        return self._triangular(magnitude, lipschitz, scope, reason).inverted()

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the network's slopes that can change in a ball, the transformer's, and what they do to the inverse."""
        found = autoregressive_in_balls(self, x, radius, condition, inverse)
        if isinstance(found, LocalMap):
            return found
        return dataclasses.replace(super().local_map(x, radius, condition, inverse), reason=found)

    def _triangular(self, magnitude: float, lipschitz: float, scope: str, reason: str = "") -> LipschitzBounds:
        """Bounds of the direction that takes one evaluation, where the entries it reads are no larger than `magnitude`."""
        (dim,) = known_sizes(self.event_shape)
        low, high = self.transformer.slopes(magnitude)
        mixed = upper_product(lipschitz, self.transformer.sensitivity(magnitude))
        if dim == 1:
            mixed = 0.0  # the only entry sees nothing
        ratio = upper_product(mixed, upper_reciprocal(low))
        with np.errstate(over="ignore"):
            powers = float(np.sum(np.float64(ratio) ** np.arange(dim)))
        inverse = upper_product(powers, upper_reciprocal(low))
        if low == 0 or math.isinf(high) or math.isinf(mixed):
            reason = reason or why_unbounded(self.name, self.transformer, magnitude)
        if math.isinf(inverse):
            reason = reason or f"{self.name}: the bound of the sequential direction grows with the power {dim} and overflows"
        return LipschitzBounds(high + mixed, inverse, scope, reason)

    def _reach(self, magnitude: float, lipschitz: float) -> tuple[float, str]:
        """How large the entries that the network reads can be, where the block's own are no larger than `magnitude`."""
        if self.condition_shape is not None:
            return math.inf, f"{self.name}: how far the latent reaches depends on the condition"
        low = self.transformer.slopes(math.inf)[0]
        if low == 0:
            return math.inf, close_to_zero(self.name, self.transformer)
        zeros = tf.zeros([1, *known_sizes(self.event_shape)], self.variable_dtype)
        # The network reads u, where v = T(u) is no larger than `magnitude`: |u_i| <= (|v_i| + |T_i(0)|) / low.
        at_zero = self.transformer.forward(zeros, tf.cast(self.conditioner(zeros), zeros.dtype))[0][0]
        shifts = np.abs(np.asarray(at_zero, np.float64))[np.argsort(self.conditioner.degrees)]
        slope = upper_product(lipschitz, self.transformer.sensitivity(0.0))
        reach = 0.0  # of the vector of the entries before: |T_i(0; u)| <= |T_i(0; 0)| + L |u|
        for shift in shifts:
            step = float(magnitude + shift + slope * reach)
            reach = math.hypot(reach, upper_product(step, upper_reciprocal(low)))
        return reach, "" if math.isfinite(reach) else f"{self.name}: the latent may reach too far"

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the network as the layer it has become."""
        return super().config_arguments() | ({"conditioner": self.conditioner} if self.built else {})


def _given(value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    return (value,) if condition is None else (value, condition)
