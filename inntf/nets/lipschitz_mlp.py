"""The fully connected network with a bounded Lipschitz constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.core.arguments import typed
from inntf.nets.activations import lip_swish
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.layers_in_turn import LayersInTurn
from inntf.nets.make_conditioner import width_of
from inntf.nets.spectral_dense import SpectralDense


@keras.saving.register_keras_serializable("inntf")
class LipschitzMLP(FollowsOwner, LayersInTurn):
    r"""`x -> W_k a(... a(W_1 x + b_1) ...) + b_k` with spectrally normalized layers: $\mathrm{Lip} \lesssim c^k$.

    The singular vectors are updated once a step by `update_norms` (a `ResidualBlock` does it), not at every call.

    Args:
        hidden: widths of the hidden layers; one number for a single one.
        out_channels: width of the output; `None` lets the block set it (and the dtype, where none is given).
        coefficient: c, the norm that each layer may have.
        activation: Keras activation between layers, 1-Lipschitz; `lip_swish` by default.

    Call arguments: `(batch, dim)`, or any shape, acting on the last axis.  Returns `(batch, out_channels)`.

    Raises:
        ValueError: if built before `out_channels` is known.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), section 2.1; Chen et al., "Residual Flows" (2019).

    Example:
        >>> network = LipschitzMLP([8], out_channels=3)
        >>> network(keras.ops.ones([2, 3])).shape, network.lipschitz_bound()[0] < 0.83
        (TensorShape([2, 3]), True)
    """

    @typed
    def __init__(
        self,
        hidden: int | Sequence[int] = (128, 128),
        *,
        out_channels: int | None = None,
        coefficient: float = 0.9,
        activation: Any = lip_swish,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        self.out_channels = out_channels
        self.coefficient = float(coefficient)
        self.activation = keras.activations.get(activation)

    def make_layers(self) -> list[SpectralDense]:
        """The dense layers."""
        common = {"coefficient": self.coefficient, "update_every_call": False, "dtype": self.dtype_policy}
        layers = [SpectralDense(n, activation=self.activation, **common) for n in self.hidden]
        return [*layers, SpectralDense(width_of(self), **common)]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "hidden": list(self.hidden),
            "out_channels": self.out_channels,
            "coefficient": self.coefficient,
            "activation": keras.activations.serialize(self.activation),
        }
