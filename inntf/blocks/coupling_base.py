"""What all couplings share: parting the event, merging the condition, evaluating the conditioner once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.splits import make_split
from inntf.core import Block
from inntf.core.backprop import Gradients
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.nets.convnet import ConvNet
from inntf.nets.making import Conditioner, make_conditioner
from inntf.nets.mlp import MLP


class Coupling(Block):
    """`kept -> kept`, `moved -> T(moved; conditioner(kept, condition))` for an elementwise invertible `T`.

    Subclasses set `parameters_per_channel` and define `transform(moved, raw)` and `untransform(moved, raw)`, both
    returning the new values and the log-derivative (or `None` for volume-preserving maps), elementwise.

    Source: Dinh et al., "NICE" (2015), eq. 4-7.
    """

    allowed_event_ndims = (1, 3)
    parameters_per_channel = 1

    def __init__(self, *, conditioner: Conditioner | None = None, split: Any = "channels", **kwargs: Any):
        super().__init__(**kwargs)
        self._wanted = conditioner
        split = make_split(split)
        self.split = type(split).from_config(split.get_config())
        if isinstance(conditioner, keras.layers.Layer):
            self.conditioner = conditioner

    def build(self, input_shape: Shape) -> None:
        """Part the event and make the conditioner."""
        event = tuple(input_shape[1:])
        self.split.build(event)
        kept, moved = self.split.part(_probe(event, self.variable_dtype))
        self.conditioner = prepare_conditioner(
            self, self._wanted, self.split.view(kept), self.parameters_per_channel * moved.shape[-1]
        )

    def transform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Move; returns the new values and the elementwise log-derivative."""
        raise NotImplementedError

    def untransform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Undo `transform`; the log-derivative is that of the inverse."""
        raise NotImplementedError

    def raw_parameters(self, kept: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        """The conditioner's output at the moved places, `(..., parameters_per_channel * channels)`, in the value's dtype."""
        return self._raw_parameters(self.conditioner, kept, condition)

    def _raw_parameters(self, network: Callable, kept: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        raw = network(merge_condition(self, self.split.view(kept), condition))
        return self.split.parameters(tf.cast(raw, kept.dtype))

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`z` and `log|det dz/dx|`; the conditioner is evaluated once."""
        kept, moved = self.split.part(x)
        moved, log_derivative = self.transform(moved, self.raw_parameters(kept, condition))
        return self.split.join(kept, moved), sum_event(log_derivative, x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`x` and `log|det dx/dz|`; the conditioner is evaluated once."""
        kept, moved = self.split.part(z)
        moved, log_derivative = self.untransform(moved, self.raw_parameters(kept, condition))
        return self.split.join(kept, moved), sum_event(log_derivative, z)

    def forward_backprop(
        self, z: tf.Tensor, dz: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with one evaluation of the conditioner for the inverse and the gradients."""
        return self._backprop(self.untransform, self.transform, z, dz, dlog_det, condition, sources)

    def inverse_backprop(
        self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, condition: tf.Tensor | None, sources: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, Gradients]:
        """As in `Block`, with one evaluation of the conditioner for the forward map and the gradients."""
        return self._backprop(self.transform, self.untransform, x, dx, dlog_det, condition, sources)

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
        kept, moved = self.split.part(out)  # the kept part has not changed: the conditioner sees what it saw
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch([kept, *sources])
            raw = self.raw_parameters(kept, condition)
        moved = undo(moved, raw)[0]
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch([moved, raw])
            again, log_derivative = redo(moved, raw)
            log_det = tf.cast(tf.broadcast_to(sum_event(log_derivative, out), tf.shape(dlog_det)), dlog_det.dtype)
        d_kept, d_again = self.split.part(d_out)
        d_moved, d_raw = inner.gradient([again, log_det], [moved, raw], output_gradients=[d_again, dlog_det])
        more, *d_sources = outer.gradient(raw, [kept, *sources], output_gradients=d_raw)
        d_kept = d_kept if more is None else d_kept + more
        return self.split.join(kept, moved), self.split.join(d_kept, d_moved), d_sources

    def initialize(self, x: Any, condition: Any = None) -> tf.Tensor:
        """Data-dependent initialization of what the conditioner holds, whose `initialize` returns its output; `forward(x)`."""
        if not (hasattr(self.conditioner, "initialize") and self.conditioner.trainable):
            return self.forward_and_log_det(x, condition)[0]
        kept, moved = self.split.part(x)
        raw = self._raw_parameters(self.conditioner.initialize, kept, condition)
        return self.split.join(kept, self.transform(moved, raw)[0])

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments, with the conditioner as the layer it has become."""
        return super().config_arguments() | ({"conditioner": self.conditioner} if self.built else {})


def prepare_conditioner(block: Block, wanted: Conditioner | None, view: tf.Tensor, out_channels: int) -> keras.layers.Layer:
    """Make and build the conditioner for a view of the kept part; by default an MLP (vectors) or a ConvNet (images)."""
    if wanted is None:
        wanted = MLP((128, 128), dtype=block.dtype_policy) if view.shape.rank == 2 else ConvNet(64, dtype=block.dtype_policy)
    layer = make_conditioner(block, wanted, out_channels)
    probe = view
    if block.condition_shape is not None:
        probe = merge_condition(block, view, _probe(block.condition_shape, view.dtype))
    out = layer(probe)  # builds every kind of layer, and shows its width
    if out.shape[-1] != out_channels or out.shape.rank != view.shape.rank:
        raise ValueError(
            explain(
                f"{block.name}: conditioner {layer.name}",
                received=f"an output of shape {tuple(out.shape)} for an input of shape {tuple(probe.shape)}",
                expected=f"{out_channels} output channels and rank {view.shape.rank}",
                remedy="Pass a function of the number of output channels: conditioner=lambda channels: ...",
            )
        )
    return layer


def merge_condition(block: Block, view: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """Join view and condition along the channels; a vector is spread over the pixels of an image.

    Raises:
        ValueError: if an image condition does not have the view's height and width.
    """
    if condition is None:
        return view
    condition = tf.cast(condition, view.dtype)
    if view.shape.rank == 4 and condition.shape.rank == 2:
        shape = tf.concat([tf.shape(view)[:3], tf.shape(condition)[-1:]], 0)
        condition = tf.broadcast_to(condition[:, None, None, :], shape)
    if condition.shape.rank != view.shape.rank or not view.shape[1:-1].is_compatible_with(condition.shape[1:-1]):
        raise ValueError(
            explain(
                block.name,
                received=f"a condition of shape {tuple(condition.shape)}",
                expected=f"a vector, or feature maps of height and width {tuple(view.shape[1:-1])}"
                if view.shape.rank == 4
                else "a vector (batch, dim)",
                remedy="Embed it first: Flow(condition_network=...) for vectors, "
                "Multiscale(condition_network=ConditionPyramid(...)) for images.",
            )
        )
    return tf.concat([view, condition], -1)


def sum_event(values: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """Sum over all but the batch dimension, in float32 at least; zero for `None`."""
    if values is None:
        return tf.zeros([], like.dtype)
    if values.dtype.size < 4:
        values = tf.cast(values, tf.float32)
    return tf.reduce_sum(values, list(range(1, values.shape.rank)))


def _probe(event_shape: Shape, dtype: Any) -> tf.Tensor:
    return tf.zeros([1, *(4 if n is None else n for n in event_shape)], dtype)
