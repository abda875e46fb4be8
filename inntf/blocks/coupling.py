"""The coupling: one part of the event conditions a map of each entry of the other."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.coupling_local import coupling_in_balls
from inntf.blocks.splits import make_split
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.jacobian_products import (
    Points,
    linearized_functions,
    product_of_functions,
    pulled_back,
    pushed_forward,
)
from inntf.core.local_maps import LocalMap
from inntf.core.protocols import FromData
from inntf.core.shapes import Shape, sum_event
from inntf.core.upper_bounds import upper_product, upper_reciprocal
from inntf.core.vjp import Gradients
from inntf.nets.conditioning import dummy, merge_condition, prepare_conditioner
from inntf.nets.dense_chains import parts_in_turn
from inntf.nets.linear_map_kinds import LinearMap
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.make_conditioner import Conditioner
from inntf.numerics.norms.triangular import lower_triangular_norm
from inntf.numerics.transformers.named import make_transformer
from inntf.numerics.transformers.why_unbounded import where_bounded, why_unbounded


@keras.saving.register_keras_serializable("inntf")
class Coupling(Block):
    r"""`z_identity = x_identity`, `z_transformed = T(x_transformed; conditioner(x_identity, condition))`, entry by entry.

    `log_det = sum log T'`.  With slopes of `T` in $[l, h]$ and $m = \mathrm{Lip}(\text{conditioner})$ times the sensitivity of
    `T` to its parameters, the forward bound is the norm of $[[1, 0], [m, h]]$ and the inverse one that of
    $[[1, 0], [m / l, 1 / l]]$: everywhere for a shift, on a box (`domain`) for an affine map, none for a spline.

    Args:
        transformer: the map `T`: `"shift"`, `"affine"`, `"spline"`, a `Scale` (affine with it), or a `Transformer`, also
            your own.
        conditioner: a Keras layer, or a function of the output channels that makes one: `transformer.parameters` channels for
            each transformed one.  By default an MLP (vectors) or a 3x3-1x1-3x3 ConvNet (images), with a last layer of zeros.
        split: `"channels"`, `"halves"`, `"checkerboard"`, a list of channels to leave unchanged, or a `Split`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`; `condition`:
    `(batch, dim)` or feature maps of the identity part's height and width.

    Raises:
        ValueError: for a split that leaves a part empty, or a conditioner of the wrong width; TypeError: if `transformer` is
            none.

    Source: Dinh et al., "NICE" (2015), eq. 4-7; bounds: inntf, sharper than Table 1 of Behrmann et al., "Understanding and
    Mitigating Exploding Inverses in Invertible Neural Networks" (2021).

    Example:
        >>> block = Coupling(transformer="spline", split="halves"); x = tf.random.normal([8, 4])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5)
        True
    """

    allowed_event_ndims = (1, 3)

    def __init__(
        self, *, transformer: Any = "affine", conditioner: Conditioner | None = None, split: Any = "channels", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.transformer = make_transformer(self.name, transformer)
        self._wanted = conditioner
        split = make_split(split)
        self.split = type(split).from_config(split.get_config())
        if isinstance(conditioner, keras.layers.Layer):
            self.conditioner = conditioner

    def build(self, input_shape: Shape) -> None:
        """Part the event and make the conditioner."""
        event = tuple(input_shape[1:])
        self.split.build(event)
        identity, transformed = self.split.part(dummy(event, self.variable_dtype))
        out_channels = self.transformer.parameters * transformed.shape[-1]
        self.conditioner = prepare_conditioner(self, self._wanted, self.split.view(identity), out_channels)

    def raw_parameters(self, identity: tf.Tensor, condition: tf.Tensor | None, network: Callable | None = None) -> tf.Tensor:
        """The conditioner's output at the transformed places, `(..., parameters * channels)`, in the value's dtype."""
        raw = (network or self.conditioner)(merge_condition(self, self.split.view(identity), condition))
        return self.constrain(self.split.parameters(tf.cast(raw, identity.dtype)))

    def constrain(self, raw: tf.Tensor) -> tf.Tensor:
        """Raw parameters of all transformed entries, made to keep a law among themselves; none by default."""
        return raw

    def constraint_maps(self, raw: Sequence[np.ndarray]) -> list[LinearMap]:
        """`constrain` as maps of the conditioner's outputs, of which `raw[k]` are those of parameter `k`, entry by entry."""
        return []

    def transform(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """`T(u)` and `log T'(u)` of each entry."""
        return self.transformer.forward(u, self.transformer.from_channels(raw, u))

    def untransform(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Undo `transform`; the log-derivative is that of the inverse."""
        return self.transformer.inverse(v, self.transformer.from_channels(raw, v))

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`z` and `log|det dz/dx|`; the conditioner is evaluated once."""
        return self._apply(self.transform, x, condition)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`x` and `log|det dx/dz|`; the conditioner is evaluated once."""
        return self._apply(self.untransform, z, condition)

    def _apply(self, way: Callable, value: tf.Tensor, condition: Any, network: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        identity, entries = self.split.part(value)
        given = () if network is None else (network,)
        entries, log_derivative = way(entries, self.raw_parameters(identity, condition, *given))
        return self.split.join(identity, entries), sum_event(log_derivative, value)

    def linearize(self, value: tf.Tensor, condition: Any = None, inverse: bool = False) -> tuple[tf.Tensor, Points]:
        """As in `Block`; what goes into every layer of the conditioner is kept."""
        identity, entries = self.split.part(value)
        raw, inputs = linearized_functions(self._conditioning(condition), identity)
        out = (self.untransform if inverse else self.transform)(entries, raw)[0]
        return self.split.join(identity, out), (entries, raw, inputs)

    def jacobian_product(
        self, points: Points, vector: tf.Tensor, condition: Any = None, inverse: bool = False, transposed: bool = False
    ) -> tf.Tensor:
        """As in `Block`: the conditioner's layers in turn, and the transformer entry by entry."""
        entries, raw, inputs = points
        way = self.untransform if inverse else self.transform
        steps = self._conditioning(condition)
        d_identity, d_entries = self.split.part(vector)
        if transposed:
            d_entries, d_raw = pulled_back(lambda u, raw: way(u, raw)[0], (entries, raw), d_entries)
            return self.split.join(d_identity + product_of_functions(steps, inputs, d_raw, True), d_entries)
        d_raw = product_of_functions(steps, inputs, d_identity, False)
        return self.split.join(d_identity, pushed_forward(lambda u, raw: way(u, raw)[0], (entries, raw), (d_entries, d_raw)))

    def _conditioning(self, condition: tf.Tensor | None) -> list[Callable[[tf.Tensor], tf.Tensor]]:
        """From the identity part to the raw parameters, step by step."""
        if type(self).raw_parameters is not Coupling.raw_parameters:
            return [partial(self.raw_parameters, condition=condition)]
        dtype = self.variable_dtype

        def seen(identity: tf.Tensor) -> tf.Tensor:
            return merge_condition(self, self.split.view(identity), condition)

        parts = parts_in_turn([self.conditioner])
        return [seen, *parts, lambda raw: self.constrain(self.split.parameters(tf.cast(raw, dtype)))]

    def forward_backprop(self, z: tf.Tensor, *given: Any) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with one evaluation of the conditioner for the inverse and the gradients."""
        return self._backprop(self.untransform, self.transform, z, *given)

    def inverse_backprop(self, x: tf.Tensor, *given: Any) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with one evaluation of the conditioner for the forward map and the gradients."""
        return self._backprop(self.transform, self.untransform, x, *given)

    def _backprop(
        self,
        undo: Callable,
        redo: Callable,
        out: tf.Tensor,
        d_out: tf.Tensor,
        dlog_det: tf.Tensor,
        condition: tf.Tensor | None,
        sources: Sequence[tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        identity, entries = self.split.part(out)  # the identity part is what the conditioner saw
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch([identity, *sources])
            raw = self.raw_parameters(identity, condition)
        entries = undo(entries, raw)[0]
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch([entries, raw])
            again, log_derivative = redo(entries, raw)
            log_det = tf.cast(tf.broadcast_to(sum_event(log_derivative, out), tf.shape(dlog_det)), dlog_det.dtype)
        d_identity, d_again = self.split.part(d_out)
        d_entries, d_raw = inner.gradient([again, log_det], [entries, raw], output_gradients=[d_again, dlog_det])
        more, *d_sources = outer.gradient(raw, [identity, *sources], output_gradients=d_raw)
        d_identity = d_identity if more is None else d_identity + more
        return self.split.join(identity, entries), self.split.join(d_identity, d_entries), d_sources

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Data-dependent initialization of what the conditioner holds, whose `initialize` returns its output; `forward(x)`."""
        known = isinstance(self.conditioner, FromData) and self.conditioner.trainable  # type: ignore[attr-defined]
        return self._apply(self.transform, x, condition, self.conditioner.initialize if known else None)[0]

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Norms of `[[1, 0], [m, h]]` and of its inverse; local to the box where the transformer is bounded only there."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        local, magnitude, missing = where_bounded(self.name, self.transformer, domain)
        if missing:
            return unknown(missing)
        lipschitz, reason = lipschitz_constant(self.conditioner)
        low, high = self.transformer.slopes(magnitude)
        mixed = upper_product(lipschitz, self.transformer.sensitivity(magnitude))
        forward = lower_triangular_norm(mixed, high)
        inverse = lower_triangular_norm(upper_product(mixed, upper_reciprocal(low)), upper_reciprocal(low))
        if math.isinf(max(forward, inverse)):
            reason = reason or why_unbounded(self.name, self.transformer, magnitude)
        return LipschitzBounds(forward, inverse, "local" if local else "global", reason)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the conditioner's slopes that can change in a ball, and the transformer's."""
        found = coupling_in_balls(self, x, radius, condition, inverse)
        if isinstance(found, LocalMap):
            return found
        return dataclasses.replace(super().local_map(x, radius, condition, inverse), reason=found)

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the conditioner as the layer it has become."""
        return super().config_arguments() | ({"conditioner": self.conditioner} if self.built else {})
