"""What a block is to Keras: a layer that returns `z`, with shapes, a configuration, and weights that checkpoints find."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core import checks, configuration, shapes
from inntf.core.arguments import refuse_unnamed
from inntf.core.checkpointing import Checkpointed
from inntf.core.tfp_bridge import is_tfp, tfb

_PLAIN = frozenset({bool, int, float, str, type(None), tf.TensorShape})


class KerasSide(Checkpointed):
    """Mixin of `Block`: the methods that Keras calls."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras searches every value for layers and variables; plain ones hold none, and deep models make many blocks.
        if type(value) in _PLAIN and "_tracker" in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Of a bijector or a distribution: TFP's composition; of a tensor, symbolic or not: the Keras layer."""
        if args and is_tfp(args[0]):
            return tfb.Bijector.__call__(self, *args, **kwargs)
        args = tuple(self._tensor(a) for a in args)
        kwargs |= {name: self._tensor(kwargs[name]) for name in ("x", "condition") if name in kwargs}
        if not args and "x" in kwargs:  # Keras hands on by position what it calls
            args = (kwargs.pop("x"),)
        if not self.built:
            given = dict(zip(("x", "condition"), args, strict=False)) | kwargs
            if given.get("x") is not None:
                self._build_from(_with_shape(given["x"]), _with_shape(given.get("condition")), forward=True)
        return super().__call__(*args, **kwargs)

    def _tensor(self, value: Any) -> Any:
        return value if value is None or isinstance(value, keras.KerasTensor) else checks.as_tensor(self, value)

    def call(self, x: Any, condition: Any = None, training: bool | None = None) -> tf.Tensor:
        """The Keras call: `z` alone."""
        return self.forward_and_log_det(x, condition)[0]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, serialized."""
        return {**keras.layers.Layer.get_config(self), **configuration.serialize(self.config_arguments())}

    def config_arguments(self) -> dict[str, Any]:
        """What `get_config` serializes; a block that has turned a function into a layer puts the layer here.

        Raises:
            TypeError: for a block that was made with `*args`: they have no names.
        """
        if self._has_unnamed:
            refuse_unnamed(self.name)
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new, unbuilt block from `get_config()`."""
        return cls(**configuration.deserialize(config))

    def get_build_config(self) -> dict[str, Any] | None:
        """Shapes needed to make the weights before they are loaded."""
        if self._x_event_shape is None:
            return None
        return {"event_shape": list(self._x_event_shape), "condition_shape": _list(self._condition_event_shape)}

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Build from `get_build_config()`."""
        if config:
            self.ensure_built(config["event_shape"], config.get("condition_shape"))

    def compute_output_shape(self, input_shape: shapes.Shape, condition_shape: shapes.Shape | None = None) -> shapes.Shape:
        """Shape of `forward(x)`, batch dimensions included."""
        ndims = self._event_ndims or checks.infer_event_ndims(self, len(input_shape))
        cut = len(input_shape) - ndims
        return (*input_shape[:cut], *shapes.static(self._forward_event_shape(tf.TensorShape(input_shape[cut:]))))

    def compute_output_spec(self, x: Any, condition: Any = None, training: bool | None = None) -> keras.KerasTensor:
        """Symbolic output of the Keras call; the dtype of the value is kept, whatever the compute dtype."""
        dtype = x.dtype if keras.backend.is_float_dtype(x.dtype) else self.variable_dtype
        return keras.KerasTensor(self.compute_output_shape(tuple(x.shape)), dtype=dtype)


def _with_shape(value: Any) -> Any:
    return tf.TensorSpec(value.shape, value.dtype) if isinstance(value, keras.KerasTensor) else value


def _list(shape: shapes.Shape | None) -> list | None:
    return None if shape is None else list(shape)
