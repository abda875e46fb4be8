"""The convolutional conditioner of Glow: 3x3, 1x1, 3x3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inntf.core.arguments import typed
from inntf.core.checkpointing import Checkpointed
from inntf.core.empty_batch import any_batch
from inntf.core.protocols import FromData
from inntf.nets.convolve import convolve
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.lipschitz import NO_WEIGHTS, lipschitz_constant, unbounded
from inntf.nets.make_conditioner import policy_of, width_of


@keras.saving.register_keras_serializable("inntf")
class ConvNet(FollowsOwner, Checkpointed, keras.layers.Layer):
    """3x3 - 1x1 - 3x3 convolutions with activations between, the last one zero at the start.

    Args:
        hidden: channels of the hidden layers: one number for both, or a sequence, one an inner layer.
        out_channels: channels of the output; `None` lets the coupling set it (and the dtype, where none is given).
        kernel_sizes: kernel sizes, one more than hidden layers.
        activation: Keras activation between layers.
        zero_last: whether the last convolution starts at zero; otherwise Glorot uniform.
        convolution: a class or function `(filters, kernel_size, **kwargs)` that makes a convolution layer,
            `keras.layers.Conv2D` by default; `SpectralConv2D` makes the network Lipschitz.
        convolution_arguments: further arguments of `convolution`, such as `{"coefficient": 0.9}`.
        normalization: a function that makes a layer put after each hidden convolution, such as a batch
            normalization or `ActNorm`; none by default.

    Call arguments: `(batch, height, width, channels)`.  Returns `(batch, height, width, out_channels)`.

    Raises:
        ValueError: if built before `out_channels` is known, or kernel sizes do not match; TypeError: if `convolution` or
            `normalization` makes no layers.

    Source: Kingma & Dhariwal, "Glow" (2018), section 5; hidden layers as in "Understanding and mitigating exploding
    inverses" (2021), supplement.

    Example:
        >>> ConvNet(8, out_channels=4)(keras.ops.ones([2, 6, 6, 3])).shape
        TensorShape([2, 6, 6, 4])
    """

    @typed
    def __init__(
        self,
        hidden: int | Sequence[int] = 64,
        *,
        out_channels: int | None = None,
        kernel_sizes: Sequence[int] = (3, 1, 3),
        activation: Any = "relu",
        zero_last: bool = True,
        convolution: Any = None,
        convolution_arguments: dict[str, Any] | None = None,
        normalization: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kernel_sizes = tuple(kernel_sizes)
        inner = len(self.kernel_sizes) - 1
        self.hidden = (int(hidden),) * inner if isinstance(hidden, int | np.integer) else tuple(int(n) for n in hidden)
        if len(self.hidden) + 1 != len(self.kernel_sizes):
            raise ValueError(
                f"ConvNet: received {len(self.hidden)} hidden layers and {len(self.kernel_sizes)} kernel sizes, expected one "
                "kernel size more. Give kernel_sizes to match."
            )
        for key, maker in (("convolution", convolution), ("normalization", normalization)):
            if maker is not None and (isinstance(maker, keras.layers.Layer) or not callable(maker)):
                raise TypeError(
                    f"ConvNet: received {key}={maker!r}, expected a function or class that makes a layer. For example "
                    "normalization=inntf.blocks.ActNorm, without brackets."
                )
        self.out_channels = out_channels
        self.activation = keras.activations.get(activation)
        self.zero_last = zero_last
        self.convolution = convolution
        self.convolution_arguments = dict(convolution_arguments or {})
        self.normalization = normalization

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the convolutions."""
        make = self.convolution or keras.layers.Conv2D
        widths = (*self.hidden, width_of(self))
        self.convolutions, self.norms = [], []
        with policy_of(self):
            for i, (width, size) in enumerate(zip(widths, self.kernel_sizes, strict=True)):
                last = i == len(widths) - 1
                start = {"kernel_initializer": "zeros"} if last and self.zero_last else {}
                self.convolutions.append(make(width, size, padding="same", **self.convolution_arguments, **start))
                if self.normalization is not None and not last:
                    self.norms.append(self.normalization())
        shape = input_shape
        for i, layer in enumerate(self.convolutions):
            layer.build(shape)
            shape = (*shape[:-1], widths[i])
            if i < len(self.norms):
                self.norms[i].build(shape)

    @any_batch
    def call(self, x: Any) -> Any:
        """Apply the network."""
        return self._run(x, lambda norm, x: norm(x))

    def initialize(self, x: Any) -> Any:
        """Data-dependent initialization of the normalizations that have one (`ActNorm`); returns the output."""
        if not self.built:
            self.build(tuple(x.shape))
        return self._run(x, lambda norm, x: norm.initialize(x) if isinstance(norm, FromData) else norm(x))

    def _run(self, x: Any, normalize: Any) -> Any:
        for i, layer in enumerate(self.convolutions):
            x = convolve(layer, x)
            if i < len(self.norms):
                x = normalize(self.norms[i], x)
            if i < len(self.convolutions) - 1:
                x = self.activation(x)
        return x

    def lipschitz_bound(self) -> tuple[float, str]:
        """Certified `(bound, reason)` of the network as it is now; see `lipschitz_constant`."""
        return lipschitz_constant(self._parts()) if self.built else unbounded(self, NO_WEIGHTS)

    def parts_in_turn(self) -> list[Any] | None:
        """Convolutions, normalizations and activations, unless a subclass applies them in another way."""
        plain = type(self).call is ConvNet.call and type(self).lipschitz_bound is ConvNet.lipschitz_bound
        return self._parts() if plain and self.built else None

    def _parts(self) -> list[Any]:
        parts: list[Any] = []
        for i, layer in enumerate(self.convolutions):
            last = i == len(self.convolutions) - 1
            parts += [layer, *self.norms[i : i + 1], *([] if last else [self.activation])]
        return parts

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "hidden": list(self.hidden),
            "out_channels": self.out_channels,
            "kernel_sizes": list(self.kernel_sizes),
            "activation": keras.activations.serialize(self.activation),
            "zero_last": self.zero_last,
            "convolution_arguments": dict(self.convolution_arguments),
            "convolution": _serialize(self.convolution),
            "normalization": _serialize(self.normalization),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConvNet:
        """A network from `get_config()`."""
        for key in ("convolution", "normalization"):
            config = {**config, key: _maker(config.get(key))}
        return cls(**config)


def _serialize(maker: Any) -> Any:
    if isinstance(maker, type):
        return {"registered_class": keras.saving.get_registered_name(maker)}
    return None if maker is None else keras.saving.serialize_keras_object(maker)


def _maker(config: Any) -> Any:
    if isinstance(config, dict) and "registered_class" in config:
        name = config["registered_class"]
        return keras.saving.get_registered_object(name) or getattr(keras.layers, name)
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
