"""The residual conditioner of neural spline flows."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain
from inntf.core.shapes import last_size
from inntf.nets.convolve import convolve
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.make_conditioner import policy_of, width_of


@keras.saving.register_keras_serializable("inntf")
class ResidualNet(FollowsOwner, Checkpointed, keras.layers.Layer):
    r"""$h_0 = W x + b$, then $h \leftarrow h + g \cdot (V_2\, a(V_1\, a(h) + b_1) + b_2)$ `depth` times, then a last layer.

    Dense layers for vectors; for images 1x1 convolutions at the ends and 3x3 ones between.  With `gate_channels` the gate is
    $g = \mathrm{sigmoid}(G c + b_g)$ of the last channels $c$ of the input, where a coupling puts its condition; otherwise 1.

    Args:
        hidden: width of `h`.
        depth: number of residual steps.
        out_channels: width of the output; `None` lets the coupling set it (and the dtype, where none is given).
        gate_channels: how many of the last channels of the input gate the steps.
        activation: Keras activation `a`.
        zero_last: whether the last layer starts at zero; otherwise Glorot uniform.

    Call arguments: `(batch, dim)` or `(batch, height, width, channels)`.  Returns the same with `out_channels`.

    Raises:
        ValueError: if built before `out_channels` is known, or with more gating channels than channels.

    Source: Durkan et al., "Neural Spline Flows" (2019), appendix B.1; pre-activation steps: He et al., "Identity Mappings in
        Deep Residual Networks" (2016); gates: Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017).

    Example:
        >>> ResidualNet(8, out_channels=4)(keras.ops.ones([2, 3])).shape
        TensorShape([2, 4])
    """

    @typed
    def __init__(
        self,
        hidden: int = 128,
        depth: int = 2,
        *,
        out_channels: int | None = None,
        gate_channels: int = 0,
        activation: Any = "relu",
        zero_last: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        checked_count("ResidualNet", hidden=hidden)
        checked_count("ResidualNet", 0, depth=depth, gate_channels=gate_channels)
        self.hidden, self.depth, self.gate_channels = hidden, depth, gate_channels
        self.out_channels = out_channels
        self.activation = keras.activations.get(activation)
        self.zero_last = zero_last

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layers: the first, two and perhaps a gate for each step, the last."""
        width, channels, images = width_of(self), last_size(input_shape), len(input_shape) == 4
        if self.gate_channels > channels:
            expected = f"at most {channels}, the channels of the input"
            raise ValueError(explain(self.name, received=f"gate_channels={self.gate_channels}", expected=expected))

        def made(width: int, size: int, inputs: int, **given: Any) -> keras.layers.Layer:
            layer = keras.layers.Conv2D(width, size, padding="same", **given) if images else keras.layers.Dense(width, **given)
            layer.build((*input_shape[:-1], inputs))
            return layer

        zeros = {"kernel_initializer": "zeros"} if self.zero_last else {}
        with policy_of(self):
            self.layers = [made(self.hidden, 1, channels)]  # flat: Keras saves no lists within lists
            for _ in range(self.depth):
                self.layers += [made(self.hidden, 3, self.hidden) for _ in range(2)]
                self.layers += [made(self.hidden, 1, self.gate_channels)] if self.gate_channels else []
            self.layers.append(made(width, 1, self.hidden, **zeros))

    def call(self, x: Any) -> Any:
        """Apply the network."""
        condition = x[..., x.shape[-1] - self.gate_channels :]
        first, *steps, last = self.layers
        h, n = convolve(first, x), 3 if self.gate_channels else 2
        for before, after, *gate in zip(*(steps[i::n] for i in range(n)), strict=True):
            step = convolve(after, self.activation(convolve(before, self.activation(h))))
            h = h + (step * tf.sigmoid(convolve(gate[0], condition)) if gate else step)
        return convolve(last, h)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        names = ("hidden", "depth", "out_channels", "gate_channels", "zero_last")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "activation": keras.activations.serialize(self.activation)}
