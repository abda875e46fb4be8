"""The functions a served model answers: traced once, with fixed event shapes and any batch size."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.compose.backprop import backprop_mode
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models.flow import Flow
from inntf.models.invertible_autoencoder import InnAutoencoder
from inntf.models.invertible_classifier import IResNetClassifier
from inntf.serving.autoencoder_signatures import autoencoder_functions
from inntf.serving.input_checks import checked, checked_count, checked_seed, checked_temperature, same_batch
from inntf.stability.find_block import find_subject


@dataclasses.dataclass(frozen=True)
class Served:
    """What of a model is served: the block, and what is around it, if anything.

    Attributes:
        block: the block, built.
        flow: the flow; `None` where the model has a block without a density.
        classifier: the classifier around the block, if it is one.
        autoencoder: the autoencoder around the block, if it is one.
        condition_shape: shape of one condition as the caller passes it, before a condition network.
        kind: name of the model's class.
        name: the model's own name.
        steps: how many steps the model's optimizer has made; `None` where there is no optimizer to ask.
    """

    block: Block
    flow: Flow | None
    classifier: IResNetClassifier | None
    autoencoder: InnAutoencoder | None
    condition_shape: Shape | None
    kind: str
    name: str
    steps: int | None

    @classmethod
    def of(cls, model: Any) -> Served:
        """Look into a `Flow`, a `Block`, or whatever holds one, see `inntf.stability.find_block`.

        Raises:
            TypeError: for anything else; ValueError: for a block that is not built, several blocks, or a flow that cannot be
            served.
        """
        subject = find_subject(model)
        flow = subject if isinstance(subject, Flow) else None
        block = subject if flow is None else flow.block
        if not block.built:
            raise ValueError(
                explain(
                    "export",
                    received=f"{block.name}, which is not built",
                    expected="a model that knows its event shape",
                    remedy="Call it once on data, or ensure_built(event_shape).",
                )
            )
        if flow is not None and flow.base.batch_shape.rank != 0:
            raise ValueError(
                explain(
                    "export",
                    received=f"{flow.name}, a batch of distributions of shape {flow.base.batch_shape}",
                    expected="one distribution",
                    remedy="Wrap the base in tfd.Independent, or make one flow of each.",
                )
            )
        return cls(
            block,
            flow,
            model if isinstance(model, IResNetClassifier) else None,
            model if isinstance(model, InnAutoencoder) else None,
            _condition_shape(block, flow),
            type(model).__name__,
            str(getattr(model, "name", None) or type(model).__name__),
            _steps(model),
        )

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

    @property
    def default(self) -> str:
        """The signature that answers where none is named."""
        holders = {"log_prob": self.flow, "classify": self.classifier, "reconstruct": self.autoencoder}
        return next((name for name, holder in holders.items() if holder is not None), "forward")

    @property
    def subject(self) -> Block | Flow | InnAutoencoder:
        """What knows where the model's own samples come from: the flow or the autoencoder, or the block alone."""
        return next((holder for holder in (self.flow, self.autoencoder) if holder is not None), self.block)


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
        if served.classifier is not None:
            functions["classify"] = _classify(served)
        if served.autoencoder is not None:
            functions |= autoencoder_functions(served.autoencoder, functools.partial(_function, served), functions)
    for name, function in functions.items():
        setattr(root, name, function)
    found = {id(v): v for function in functions.values() for v in function.variables}
    root.variables = list(found.values())
    root.trainable_variables = [v for v in root.variables if v.trainable]
    return root, {**functions, "serving_default": functions[served.default]}


def _function(served: Served, name: str, function: Callable, *inputs: tf.TensorSpec) -> Any:
    """A concrete function of the inputs and, where the model has one, the condition, all compared with their specs."""
    if served.condition_shape is not None:
        inputs = (*inputs, tf.TensorSpec([None, *served.condition_shape], served.dtype, name="condition"))

    @functools.wraps(function)  # signatures take the names of their inputs from it
    def guarded(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(*_compared(name, values, inputs))

    return tf.function(guarded, input_signature=inputs).get_concrete_function()  # a tf.function would be traced twice


def _compared(name: str, values: tuple, specs: tuple[tf.TensorSpec, ...]) -> list[tf.Tensor]:
    values = list(values[: len(specs)])  # a condition that the model has not comes as its default
    batched = [i for i, spec in enumerate(specs) if spec.shape.rank]  # the rest are numbers of `sample`
    for i in batched:
        values[i] = checked(name, values[i], specs[i])
    if len(batched) == 2:
        values[batched[1]] = same_batch(name, condition=values[batched[1]], value=values[batched[0]])
    return values


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
    forward, inverse = _function(served, "forward", forward, x_spec), _function(served, "inverse", inverse, z_spec)

    def reconstruct(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        given = () if condition is None else (condition,)
        back = inverse(forward(x, *given)["z"], *given)["x"]
        difference = tf.cast(x, tf.float64) - tf.cast(back, tf.float64)  # squares of float32 overflow on their own
        error = tf.sqrt(tf.reduce_sum(difference**2, list(range(1, x.shape.rank))))
        return {"x": back, "reconstruction_error": tf.cast(error, x.dtype)}

    return {"forward": forward, "inverse": inverse, "reconstruct": _function(served, "reconstruct", reconstruct, x_spec)}


def _classify(served: Served) -> Any:
    def classify(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": served.classifier(x, training=False)}

    return _function(served, "classify", classify, tf.TensorSpec([None, *served.x_shape], served.dtype, name="x"))


def _density_functions(served: Served, forward: Any) -> dict[str, Any]:
    flow = served.flow
    tempered = _has_mean(flow.base)

    def log_prob(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        found = forward(x) if condition is None else forward(x, condition)
        value = flow.base.log_prob(found["z"]) + tf.cast(found["log_det"], flow.base.dtype)
        return {"log_prob": value, "bits_per_dim": -value / tf.cast(flow.dim * math.log(2.0), value.dtype)}

    def sample(
        n: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, condition: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        given = {} if condition is None else {"condition": condition}
        n, seed, temperature = checked_count(n), checked_seed(seed), checked_temperature(temperature, tempered)
        x = flow.sample(n, seed=seed, temperature=temperature if tempered else 1.0, **given)
        known = tf.TensorShape([None] * (1 if condition is None else 2)).concatenate(flow.event_shape)
        return {"x": tf.ensure_shape(x, known)}

    scalars = (
        tf.TensorSpec([], tf.int32, "n"),
        tf.TensorSpec(None, tf.int32, "seed"),
        tf.TensorSpec([], tf.float32, "temperature"),
    )
    x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
    return {
        "log_prob": _function(served, "log_prob", log_prob, x_spec),
        "sample": _function(served, "sample", sample, *scalars),
    }


def _condition_shape(block: Block, flow: Flow | None) -> Shape | None:
    if flow is None or flow.condition_network is None:
        return block.condition_shape
    shape = flow.conditions.shape
    if shape is None:
        shape = _built_for(flow.condition_network)
    if shape is None:
        raise ValueError(
            explain(
                "export",
                received=f"{flow.name}, with a condition network and no condition_shape",
                expected="to know the shape of conditions before the network",
                remedy="Make the Flow with condition_shape=..., or call it once.",
            )
        )
    return tuple(shape)


def _has_mean(base: Any) -> bool:
    """Whether samples can be drawn towards the base's mean: a Cauchy distribution has none."""
    try:
        return bool(np.all(np.isfinite(base.mean())))
    except NotImplementedError:
        return False


def _built_for(network: keras.layers.Layer) -> Shape | None:
    """Shape of one input of a layer, from the shape that Keras built it with."""
    if not network.built:
        return None
    given = (network.get_build_config() or {}).get("input_shape") or getattr(network, "input_shape", None)
    if not isinstance(given, list | tuple) or any(isinstance(size, list | tuple) for size in given):
        return None  # a network of several inputs
    return tuple(given[1:])


def _steps(model: Any) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))
