"""Autoregressive blocks: each entry is moved by a map whose parameters come from the entries before it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.making import Conditioner, make_conditioner
from inntf.nets.masked import MaskedMLP
from inntf.numerics.boxes import NO_FINITE_BOX, largest_magnitude
from inntf.numerics.elementwise import AffineTransform, Elementwise, make_elementwise
from inntf.numerics.upper_bounds import upper_product, upper_reciprocal


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
        transform: the map `T` of each entry: `"affine"` (`x_i * scale + shift`, with `ExpScale(2.0)`), a `Scale` for another
            one, `"spline"` (rational-quadratic, 8 bins on [-3, 3]), or an `Elementwise` such as `SplineTransform(4, 5.0)`.
        reads: `"data"` or `"latent"`: the side that the network reads.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)`; `log_det`: `(batch,)`; `condition`: `(batch, width)`.  Flatten images first, or use
    couplings for them.

    Raises:
        ValueError: for events that are no vectors, a condition that is none, an unknown `transform` or `reads`; TypeError:
            for a conditioner that cannot be evaluated entry by entry.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017), eqs 3-5; Kingma et al.,
    "Improved Variational Inference with Inverse Autoregressive Flow" (2016); bounds and the sequential direction: inntf.

    Example:
        >>> block = MaskedAutoregressive(transform="spline")
        >>> x = tf.random.normal([8, 4]); z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-4)
        True
    """

    allowed_event_ndims = (1,)

    def __init__(
        self,
        *,
        conditioner: Conditioner | None = None,
        transform: str | Elementwise | Any = "affine",
        reads: str = "data",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if reads not in ("data", "latent"):
            raise ValueError(
                explain(
                    self.name,
                    received=f"reads={reads!r}",
                    expected="'data' (MAF: fast densities) or 'latent' (IAF: fast samples)",
                    remedy="Spell it so.",
                )
            )
        self.reads = reads
        self.transform = make_elementwise(self.name, transform)
        self._wanted = conditioner
        if isinstance(conditioner, keras.layers.Layer):
            self.conditioner = conditioner

    def build(self, input_shape: Shape) -> None:
        """Make the network."""
        wanted = self._wanted if self._wanted is not None else MaskedMLP()
        self.conditioner = make_conditioner(self, wanted, self.transform.parameters)
        if not hasattr(self.conditioner, "entry_by_entry"):
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
        self.conditioner(*probe)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`z` and `log|det dz/dx|`."""
        return self._at_once(x, condition) if self.reads == "data" else self._entry_by_entry(x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`x` and `log|det dx/dz|`."""
        return self._entry_by_entry(z, condition) if self.reads == "data" else self._at_once(z, condition)

    def _at_once(self, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.cast(self.conditioner(*_given(value, condition)), value.dtype)
        out, log_derivative = self.transform.forward(value, raw)
        return out, tf.reduce_sum(log_derivative, -1)

    def _entry_by_entry(self, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        out, log_derivative = self.conditioner.entry_by_entry(self.transform.inverse, *_given(value, condition))
        return tf.cast(out, value.dtype), tf.reduce_sum(log_derivative, -1)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        r"""For affine maps on a box: $J = D + N$ with `D` the scales and `N` strictly triangular, $\|N\| \le M$.

        So $\|J\| \le c + M$ and, as `N` is nilpotent, $\|J^{-1}\| \le \sum_{k<d} M^k / l^{k+1}$ for scales in $[l, c]$.
        """
        if not self.built:
            return unknown(f"{self.name} is not built")
        if not isinstance(self.transform, AffineTransform):
            return unknown(f"{self.name}: the dependence of {self.transform!r} on its parameters has no bound here")
        if domain is None:
            return unknown(f"{self.name}: an affine map is only locally Lipschitz in its parameters; pass domain=(low, high)")
        lipschitz, reason = lipschitz_constant(self.conditioner)
        scale = self.transform.scale
        if math.isinf(lipschitz) or math.isinf(scale.lipschitz):
            return unknown(reason or f"{self.name}: {scale!r} has no bounded slope")
        magnitude = largest_magnitude(domain)
        if math.isinf(magnitude):
            return unknown(f"{self.name}: {NO_FINITE_BOX}")
        if self.reads == "data":
            return self._triangular(magnitude, lipschitz, "local")
        magnitude, reason = self._reach(magnitude, lipschitz)
        return self._triangular(magnitude, lipschitz, "local", reason).inverted()

    def _triangular(self, magnitude: float, lipschitz: float, scope: str, reason: str = "") -> LipschitzBounds:
        """Bounds of the direction that takes one evaluation, where the entries it reads are no larger than `magnitude`."""
        scale, dim = self.transform.scale, self.event_shape[0]
        # [shift, raw] together have the constant L, so |x * d scale + d shift| <= L sqrt(1 + (|x| slope)^2).
        mixed = upper_product(lipschitz, math.hypot(1.0, upper_product(magnitude, scale.lipschitz)))
        if dim == 1:
            mixed = 0.0  # the only entry sees nothing
        ratio = upper_product(mixed, upper_reciprocal(scale.low))
        with np.errstate(over="ignore"):
            powers = float(np.sum(np.float64(ratio) ** np.arange(dim)))
        inverse = upper_product(powers, upper_reciprocal(scale.low))
        if scale.low == 0:
            reason = reason or f"{scale!r} comes arbitrarily close to zero"
        if math.isinf(scale.high):
            reason = reason or f"{scale!r} has no upper end"
        if math.isinf(mixed):
            reason = reason or f"{self.name}: a bound beyond float range"
        if math.isinf(inverse):
            reason = reason or f"{self.name}: the bound of the sequential direction grows with the power {dim} and overflows"
        return LipschitzBounds(scale.high + mixed, inverse, scope, reason)

    def _reach(self, magnitude: float, lipschitz: float) -> tuple[float, str]:
        """How large the entries that the network reads can be, where the block's own are no larger than `magnitude`."""
        if self.condition_shape is not None:
            return math.inf, f"{self.name}: how far the latent reaches depends on the condition"
        if self.transform.scale.low == 0:
            return math.inf, f"{self.transform.scale!r} comes arbitrarily close to zero"
        at_zero = self.conditioner(tf.zeros([1, *self.event_shape], self.variable_dtype))[0, :, 0]
        shifts = np.abs(np.asarray(at_zero, np.float64))[np.argsort(self.conditioner.degrees)]
        reach = 0.0  # of the vector of the entries before: |shift_i(u)| <= |shift_i(0)| + L |u|
        for shift in shifts:
            step = float(magnitude + shift + lipschitz * reach)
            reach = math.hypot(reach, upper_product(step, upper_reciprocal(self.transform.scale.low)))
        return reach, "" if math.isfinite(reach) else f"{self.name}: the latent may reach too far"

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the network as the layer it has become."""
        out = super().config_arguments() | {"transform": self.transform}
        return out | ({"conditioner": self.conditioner} if self.built else {})


def _given(value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    return (value,) if condition is None else (value, condition)
