"""The fully connected conditioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.nets.activations import quick
from inntf.nets.angle_features import AngleFeatures, checked_angles
from inntf.nets.clip import Clip, checked_input_bound
from inntf.nets.follows_owner import FollowsOwner
from inntf.nets.layers_in_turn import LayersInTurn


@keras.saving.register_keras_serializable("inntf")
class MLP(FollowsOwner, LayersInTurn):
    """`x -> W_k a(... a(W_1 x + b_1) ...) + b_k`, the last layer zero at the start.

    With a zero last layer a coupling starts as the identity (or as its scale at zero).

    Args:
        hidden: widths of the hidden layers; one number for a single one.
        out_channels: width of the output; `None` lets the coupling set it (and the dtype, where none is given).
        activation: Keras activation between layers.
        zero_last: whether the last layer starts at zero; otherwise Glorot uniform.
        angles: which inputs are angles in radians, seen by their cosine and sine (`AngleFeatures`); `True` for all.
        input_bound: half-width of the interval that inputs are clipped to (`Clip`), so that outliers move no further.
        bounded_inputs: how many of them are clipped, from the first on; `None` for all.  Conditions come behind the entries.

    Call arguments: `(batch, dim)`, or any shape, acting on the last axis.  Returns `(batch, out_channels)`.

    Raises:
        ValueError: if built before `out_channels` is known, for angles that are none of the inputs, a bound that is none, or
            `bounded_inputs` without one.

    Source: Kingma & Dhariwal, "Glow" (2018), section 3.3 (zero initialization).

    Example:
        >>> MLP([8, 8], out_channels=4)(keras.ops.ones([2, 3])).shape
        TensorShape([2, 4])
    """

    @typed
    def __init__(
        self,
        hidden: int | Sequence[int] = (128, 128),
        *,
        out_channels: int | None = None,
        activation: Any = "relu",
        zero_last: bool = True,
        angles: Any = False,
        input_bound: float | None = None,
        bounded_inputs: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden = (int(hidden),) if isinstance(hidden, int | np.integer) else tuple(int(n) for n in hidden)
        self.out_channels = out_channels
        self.activation = keras.activations.get(activation)
        self.zero_last = zero_last
        self.angles = angles if isinstance(angles, bool) else checked_angles(self.name, angles)
        self.input_bound = checked_input_bound(self.name, input_bound, self.angles)
        if bounded_inputs is not None and input_bound is None:
            received, expected = f"bounded_inputs={bounded_inputs} without input_bound", "a bound for them"
            raise ValueError(explain(self.name, received=received, expected=expected, remedy="For example input_bound=3.0."))
        self.bounded_inputs = bounded_inputs

    def make_layers(self) -> list[keras.layers.Layer]:
        """The dense layers."""
        last = "zeros" if self.zero_last else "glorot_uniform"
        policy = self.dtype_policy
        layers = [keras.layers.Dense(n, activation=quick(self.activation), dtype=policy) for n in self.hidden]
        layers = [*layers, keras.layers.Dense(self.out_channels, kernel_initializer=last, dtype=policy)]
        if self.input_bound is not None:
            return [Clip(self.input_bound, self.bounded_inputs, dtype=policy), *layers]
        if self.angles is False:
            return layers
        return [AngleFeatures(None if self.angles is True else self.angles, dtype=policy), *layers]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "hidden": list(self.hidden),
            "out_channels": self.out_channels,
            "activation": keras.activations.serialize(self.activation),
            "zero_last": self.zero_last,
            "angles": self.angles,
            "input_bound": self.input_bound,
            "bounded_inputs": self.bounded_inputs,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MLP:
        """A network from `get_config()`; files of before may hold a count of bounded inputs without a bound."""
        if config.get("input_bound") is None:
            config = {key: value for key, value in config.items() if key != "bounded_inputs"}
        return super().from_config(config)
