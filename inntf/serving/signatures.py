"""The functions a served model answers: traced once, with fixed event shapes and any batch size."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.compose.backprop import backprop_mode
from inntf.models.base_draws import can_draw
from inntf.models.flow import Flow
from inntf.models.invertible_classifier import IResNetClassifier
from inntf.serving.autoencoder_signatures import autoencoder_functions
from inntf.serving.input_checks import checked, checked_count, checked_seed, checked_temperature, finite, same_batch
from inntf.serving.maps import Maps, given
from inntf.serving.score_signature import data_scale, score_function
from inntf.serving.served import Served
from inntf.stability.reconstruction import distance
from inntf.stability.verdict import VISIBLE


def trace(served: Served, x: Any = None, condition: Any = None) -> tuple[Any, dict[str, Any]]:
    """The object to save, which holds every variable, and its signatures (concrete functions) by name.

    The object holds variables and functions only, none of our classes: nothing of inntf, TFP or Keras is asked for when it is
    loaded, and `trainable_variables` of the loaded object can be trained on.

    Args:
        served: the model.
        x: data, whose spread `score` compares errors with; without, that of the model's own samples.
        condition: that belongs to `x`.

    Returns:
        The object, with `error_limit` where there is a `score`; and the signatures.
    """
    root = tf.__internal__.tracking.AutoTrackable()
    make = functools.partial(concrete, served)
    with backprop_mode("stored"):  # a served graph holds no reversible gradient functions: they drag the training along
        maps = Maps.of(served, functools.partial(concrete, served, guarded=False))
        functions = _map_functions(served, maps, make)
        if served.flow is not None:
            functions |= _density_functions(served, served.flow, maps, make)
            root.error_limit = VISIBLE * data_scale(served, maps, functions.get("sample"), x, condition)
            functions["score"] = score_function(served, served.flow, maps, make, root.error_limit)
        if served.classifier is not None:
            functions["classify"] = classify_function(served, served.classifier, make)
        if served.autoencoder is not None:
            functions |= autoencoder_functions(served.autoencoder, make, {"forward": maps.forward, "inverse": maps.inverse})
    for name, function in functions.items():
        setattr(root, name, function)
    found = {id(v): v for function in functions.values() for v in function.variables}
    root.variables = list(found.values())
    root.trainable_variables = [v for v in root.variables if v.trainable]
    return root, {**functions, "serving_default": functions[served.default]}


def concrete(served: Served, name: str, function: Callable, *inputs: tf.TensorSpec, guarded: bool = True) -> Any:
    """A concrete function of the inputs and, where the model has one, the condition; if guarded, all are looked at first."""
    if served.condition_shape is not None:
        inputs = (*inputs, tf.TensorSpec([None, *served.condition_shape], served.dtype, name="condition"))

    @functools.wraps(function)  # signatures take the names of their inputs from it
    def looked_at(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(*_compared(name, values, inputs))

    # A tf.function would be traced twice.
    return tf.function(looked_at if guarded else function, input_signature=inputs, autograph=False).get_concrete_function()


def _compared(name: str, values: tuple, specs: tuple[tf.TensorSpec, ...]) -> list[tf.Tensor]:
    found = list(values[: len(specs)])  # a condition that the model has not comes as its default
    batched = [i for i, spec in enumerate(specs) if spec.shape.rank]  # the rest are numbers of `sample`
    for i in batched:
        found[i] = finite(name, specs[i].name, checked(name, found[i], specs[i]))
    if len(batched) == 2:
        found[batched[1]] = same_batch(name, condition=found[batched[1]], value=found[batched[0]])
    return found


def _map_functions(served: Served, maps: Maps, make: Callable[..., Any]) -> dict[str, Any]:
    x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
    z_spec = tf.TensorSpec([None, *served.z_shape], served.dtype, name="z")

    def forward(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return maps.forward(x, *given(condition))

    def inverse(z: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return maps.inverse(z, *given(condition))

    def reconstruct(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        back = maps.inverse(maps.forward(x, *given(condition))["z"], *given(condition))["x"]
        return {"x": back, "reconstruction_error": distance(x, back)}

    return {
        "forward": make("forward", forward, x_spec),
        "inverse": make("inverse", inverse, z_spec),
        "reconstruct": make("reconstruct", reconstruct, x_spec),
    }


def classify_function(served: Served, classifier: IResNetClassifier, make: Callable[..., Any]) -> Any:
    """`classify`: `x` to `logits`, by `make(name, function, spec)`."""

    def classify(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": classifier.head(served.computed.value(x), training=False)}

    return make("classify", classify, tf.TensorSpec([None, *served.x_shape], served.dtype, name="x"))


def _density_functions(served: Served, flow: Flow, maps: Maps, make: Callable[..., Any]) -> dict[str, Any]:
    tempered = _has_mean(flow.base)

    def log_prob(x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        found = maps.forward(x, *given(condition))
        value = flow.base.log_prob(found["z"]) + tf.cast(found["log_det"], flow.base.dtype)
        return {"log_prob": value, "bits_per_dim": -value / tf.cast(flow.dim * math.log(2.0), value.dtype)}

    def sample(
        n: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor, condition: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        conditions = {} if condition is None else {"condition": condition}
        copies = 1 if condition is None else tf.shape(condition)[0]
        n = checked_count(n, flow.dim * copies)
        seed, temperature = checked_seed(seed), checked_temperature(temperature, tempered)
        x = flow.sample(n, seed=seed, temperature=temperature if tempered else 1.0, **conditions)
        known = tf.TensorShape([None] * (1 if condition is None else 2)).concatenate(flow.event_shape)
        return {"x": tf.ensure_shape(x, known)}

    scalars = (
        tf.TensorSpec([], tf.int32, "n"),
        tf.TensorSpec(None, tf.int32, "seed"),
        tf.TensorSpec([], tf.float32, "temperature"),
    )
    x_spec = tf.TensorSpec([None, *served.x_shape], served.dtype, name="x")
    found = {"log_prob": make("log_prob", log_prob, x_spec)}
    return found | {"sample": make("sample", sample, *scalars)} if can_draw(flow.base) else found


def _has_mean(base: Any) -> bool:
    """Whether samples can be drawn towards the base's mean: a Cauchy distribution has none."""
    try:
        return bool(np.all(np.isfinite(base.mean())))
    except NotImplementedError:
        return False
