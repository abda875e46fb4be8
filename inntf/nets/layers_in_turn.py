"""A network that applies its layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.core.checkpointing import Checkpointed
from inntf.nets.lipschitz import NO_WEIGHTS, lipschitz_constant, unbounded
from inntf.nets.make_conditioner import width_of


class LayersInTurn(Checkpointed, keras.layers.Layer):
    """`layers` in order, those of `make_layers`; the width of the last one is `out_channels`."""

    out_channels: int | None

    def make_layers(self) -> Sequence[Any]:
        """The layers, not built; called once `out_channels` is known."""
        raise NotImplementedError(f"{type(self).__name__} does not define make_layers.")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layers, and build each for what the one before it returns.

        Raises:
            ValueError: if `out_channels` is not known.
        """
        width_of(self)
        self.layers = list(self.make_layers())
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], layer.units)

    def call(self, x: Any) -> Any:
        """Apply the network."""
        for layer in self.layers:
            x = layer(x)
        return x

    def parts_in_turn(self) -> Sequence[Any] | None:
        """The layers, unless a subclass applies them in another way."""
        plain = type(self).call is LayersInTurn.call and type(self).lipschitz_bound is LayersInTurn.lipschitz_bound
        return self.layers if plain and self.built else None

    def lipschitz_bound(self) -> tuple[float, str]:
        """Certified `(bound, reason)` of the network as it is now; see `lipschitz_constant`."""
        return lipschitz_constant(self.layers) if self.built else unbounded(self, NO_WEIGHTS)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], self.out_channels)
