"""The functions a served model answers: traced once, with fixed event shapes and any batch size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.compose.backprop import backprop_mode
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models.flow import Flow

_POSITIVE_INT = 0x7FFFFFFF


@dataclasses.dataclass(frozen=True)
class Served:
    """What of a model is served: the block, and the flow around it if there is one.

    Attributes:
        block: the block, built.
        flow: the flow; `None` where the model is a block alone.
        condition_shape: shape of one condition as the caller passes it, before a condition network.
        kind: name of the model's class.
        name: the model's own name.
    """

    block: Block
    flow: Flow | None
    condition_shape: Shape | None
    kind: str
    name: str

    @classmethod
    def of(cls, model: Any) -> Served:
        """Look into a `Flow`, a keras.Model around one (in `.flow`), or a `Block`.

        Raises:
            TypeError: for anything else; ValueError: for a block that is not built, or a flow that cannot be served.
        """
        flow = model if isinstance(model, Flow) else getattr(model, "flow", None)
        block = flow.block if isinstance(flow, Flow) else model
        if not isinstance(block, Block):
            raise TypeError(
                explain(
                    "export",
                    received=type(model).__name__,
                    expected="a Flow, a model with a Flow in .flow (DensityModel), or a Block",
                    remedy="Pass the flow or the block itself.",
                )
            )
        if not block.built:
            raise ValueError(
                explain(
                    "export",
                    received=f"{block.name}, which is not built",
                    expected="a model that knows its event shape",
                    remedy="Call it once on data, or ensure_built(event_shape).",
                )
            )
        flow = flow if isinstance(flow, Flow) else None
        if flow is not None and flow.base.batch_shape.rank != 0:
            raise ValueError(
                explain(
                    "export",
                    received=f"{flow.name}, a batch of distributions of shape {flow.base.batch_shape}",
                    expected="one distribution",
                    remedy="Wrap the base in tfd.Independent, or make one flow of each.",
                )
            )
        return cls(block, flow, _condition_shape(block, flow), type(model).__name__, str(model.name))

    @property
    def dtype(self) -> str:
        """Dtype of values."""
        return self.block.variable_dtype

    @property
    def x_shape(self) -> Shape:
        """Shape of one `x`."""
        return tuple(self.block.event_shape)

    @property
    def z_shape(self) -> Shape:
        """Shape of one `z`."""
        return tuple(self.block._z_event_shape)

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        """What the block gets for a condition."""
        return condition if self.flow is None else self.flow.embed(condition)


def trace(served: Served) -> tuple[Any, dict[str, Any]]:
    """The object to save, which holds every variable, and its signatures (concrete functions) by name.

    The object holds variables and functions only, none of our classes: nothing of inntf, TFP or Keras is asked for when it is
    loaded, and `trainable_variables` of the loaded object can be trained on.
    """
    root = tf.__internal__.tracking.AutoTrackable()
    with backprop_mode("stored"):  # a served graph holds no reversible gradient functions: they drag the training along
        functions = _map_functions(served)
        if served.flow is not None:
            functions |= _density_functions(served, functions["forward"])
    for name, function in functions.items():
        setattr(root, name, function)
    found = {id(v): v for function in functions.values() for v in function.variables}
    root.variables = list(found.values())
    root.trainable_variables = [v for v in root.variables if v.trainable]
    default = functions["log_prob" if served.flow is not None else "forward"]
    return root, {**functions, "serving_default": default}


def _function(served: Served, function: Callable, *inputs: tf.TensorSpec) -> Any:
    if served.condition_shape is not None:
        inputs = (*inputs, tf.TensorSpec([None, *served.condition_shape], served.dtype, name="condition"))
    return tf.function(function, input_signature=inputs).get_concrete_function()  # a tf.function would be traced twice


def _map_functions(served: Served) -> dict[str, Any]:
    x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
    z_spec = tf.TensorSpec([None, *served.z_shape], served.dtype, name="z")

    def forward(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        z, log_det = served.block.forward_and_log_det(x, served.embed(condition))
        return {"z": z, "log_det": log_det}

    def inverse(z: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        x, log_det = served.block.inverse_and_log_det(z, served.embed(condition))
        return {"x": x, "log_det": log_det}

    # The other functions call these two, so a deep block is traced, stored and loaded once a direction.
    forward, inverse = _function(served, forward, x_spec), _function(served, inverse, z_spec)

    def reconstruct(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        given = () if condition is None else (condition,)
        back = inverse(forward(x, *given)["z"], *given)["x"]
        difference = tf.cast(x, tf.float64) - tf.cast(back, tf.float64)  # squares of float32 overflow on their own
        error = tf.sqrt(tf.reduce_sum(difference**2, list(range(1, x.shape.rank))))
        return {"x": back, "reconstruction_error": tf.cast(error, x.dtype)}

    return {"forward": forward, "inverse": inverse, "reconstruct": _function(served, reconstruct, x_spec)}


def _density_functions(served: Served, forward: Any) -> dict[str, Any]:
    flow = served.flow

    def log_prob(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        found = forward(x) if condition is None else forward(x, condition)
        value = flow.base.log_prob(found["z"]) + tf.cast(found["log_det"], flow.base.dtype)
        return {"log_prob": value, "bits_per_dim": -value / tf.cast(flow.dim * math.log(2.0), value.dtype)}

    def sample(
        n: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, condition: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        message = "sample: expected a temperature >= 0; 1 is the model itself."
        with tf.control_dependencies([tf.debugging.assert_non_negative(temperature, message)]):
            temperature = tf.identity(temperature)
        given = {} if condition is None else {"condition": condition}
        x = flow.sample(n, seed=_pair(seed), temperature=temperature, **given)
        known = tf.TensorShape([None] * (1 if condition is None else 2)).concatenate(flow.event_shape)
        return {"x": tf.ensure_shape(x, known)}

    scalars = (
        tf.TensorSpec([], tf.int32, "n"),
        tf.TensorSpec(None, tf.int32, "seed"),
        tf.TensorSpec([], tf.float32, "temperature"),
    )
    x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
    return {"log_prob": _function(served, log_prob, x_spec), "sample": _function(served, sample, *scalars)}


def _pair(seed: tf.Tensor) -> tf.Tensor:
    """A seed of one or two int32; one alone becomes the pair that `Flow.sample` makes of an integer."""
    flat = tf.reshape(seed, [-1])
    wrong = tf.debugging.Assert(
        (tf.size(flat) == 1) | (tf.size(flat) == 2), ["sample: expected a seed of one or two integers."]
    )
    with tf.control_dependencies([wrong]):
        high = tf.bitwise.bitwise_and(tf.bitwise.right_shift(flat, 31), _POSITIVE_INT)
    alone = tf.concat([tf.bitwise.bitwise_and(flat, _POSITIVE_INT), high], 0)[:2]
    return tf.reshape(tf.where(tf.size(flat) == 1, alone, tf.concat([flat, flat], 0)[:2]), [2])


def _condition_shape(block: Block, flow: Flow | None) -> Shape | None:
    if flow is None or flow.condition_network is None:
        return block.condition_shape
    shape = flow.parameters["condition_shape"]
    if shape is None:
        raise ValueError(
            explain(
                "export",
                received=f"{flow.name}, with a condition network and no condition_shape",
                expected="to know the shape of conditions before the network",
                remedy="Make the Flow with condition_shape=...",
            )
        )
    return (shape,) if isinstance(shape, int) else tuple(shape)
