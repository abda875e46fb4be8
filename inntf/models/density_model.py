"""A flow as a keras.Model: compile, fit, evaluate, save."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.arguments import typed
from inntf.core.errors import explain
from inntf.core.initialization import under_way
from inntf.core.protocols import Regularizes
from inntf.core.shapes import Shape
from inntf.models import argument_checks, fit_data
from inntf.models.compile_arguments import OwnLoss
from inntf.models.flow import Flow
from inntf.models.flow_checkpoints import FlowHolder
from inntf.models.keras_tracking import base_parts
from inntf.models.negative_log_prob import NegativeLogProb, at_least_float32
from inntf.models.regularized import Regularized
from inntf.models.representative import representative


@keras.saving.register_keras_serializable("inntf")
class DensityModel(OwnLoss, Regularized, FlowHolder, keras.Model):
    """Maximum likelihood for a `Flow`: `fit(x)` minimizes `-mean log_prob(x)` in nats.

    The metric `bits_per_dim` is reported beside the loss.  Before the first step `fit` runs the data-dependent
    initialization on some hundred events from all over the data, which sets every ActNorm that is still as it was made:
    in a new model, a clone, a copy or one that was saved untrained, but not where weights were trained, loaded, set or frozen.
    `model.initialize(x)` sets all that are not frozen, as often as you like.

    Data of any floating dtype are cast to the flow's; those of a float64 flow are never rounded on the way.  Weights of the
    samples count in the loss as everywhere in Keras; a `y` beside them is ignored.

    Args:
        flow: a `Flow`, or a block (then `event_shape` is needed unless it is built).
        event_shape, condition_shape, condition_network: as in `Flow`, where a block is given.
        data_init: whether `fit` initializes from data.
        regularizers: of the block, such as `[inntf.stability.FiniteDifferences(0.03, every=10)]`: terms of the loss in training
            steps, reported as metrics; `evaluate` and `val_loss` are without.
        name: name of the model.

    Call arguments: `x`, or `(x, condition)`, or `{"x": x, "condition": condition}`; so `fit((x, condition))`, and datasets of
    `((x, condition),)`.  Returns `log_prob`, `(batch,)`.

    Raises:
        ValueError: on saving a flow whose base is not the default (put a `Rescale` into the block instead).

    Source: inntf; Papamakarios et al. (2021), section 2.3.1 (maximum likelihood).

    Example:
        >>> from inntf.blocks import AffineCoupling
        >>> model = DensityModel(AffineCoupling(), event_shape=(2,))
        >>> model.compile("adam")
        >>> history = model.fit(tf.random.normal([64, 2]), verbose=0)
        >>> sorted(history.history)
        ['bits_per_dim', 'loss']
    """

    @typed
    def __init__(
        self,
        flow: Flow | Block,
        *,
        event_shape: Shape | int | None = None,
        condition_shape: Shape | int | None = None,
        condition_network: keras.layers.Layer | None = None,
        data_init: bool = True,
        regularizers: Sequence[Regularizes] = (),
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.autocast = False  # likelihoods must not be computed from 16-bit data
        if event_shape is not None:
            argument_checks.shape("DensityModel", "event_shape", event_shape)
        network = flow.condition_network if isinstance(flow, Flow) else condition_network
        argument_checks.condition_shape("DensityModel", condition_shape, network)
        if isinstance(flow, Block):
            flow = Flow(flow, event_shape=event_shape, condition_shape=condition_shape, condition_network=condition_network)
        if not isinstance(flow, Flow):
            raise TypeError(
                explain("DensityModel", received=type(flow).__name__, expected="a Flow or a Block", remedy="See inntf.Flow.")
            )
        self.block = flow.block
        self.condition_network = flow.condition_network
        self.base_blocks, self.base_variables = base_parts(flow.base)
        object.__setattr__(self, "flow", flow)  # a TFP object: Keras must not track it
        self.data_init = data_init
        self.set_regularizers(regularizers)
        self._warned_of_precision = False
        self.bits_per_dim_metric = keras.metrics.Mean(name="bits_per_dim")
        self._nll = NegativeLogProb(dtype=at_least_float32(flow.dtype).name)
        self.built = True  # a flow is

    def build(self, input_shape: Any) -> None:
        """Build the block if it is not."""
        if not self.block.built:
            x, condition = input_shape if isinstance(input_shape[0], list | tuple) else (input_shape, None)
            self.block.ensure_built(x[1:], None if condition is None else condition[1:])
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """`log_prob`, `(batch,)`."""
        x, condition = self._parts(inputs)
        condition = self.flow.embed(condition)
        z, log_det = self.block.forward_and_log_det(x, condition)
        if training and self.regularizers:
            self.regularize(self.block, x, condition, (z, log_det))
        wide = at_least_float32(self.flow.dtype)
        return tf.cast(self.flow.base.log_prob(z), wide) + tf.cast(log_det, wide)

    def _parts(self, inputs: Any) -> tuple[Any, Any]:
        # x and condition, checked, and cast where they are floating: Keras' arrays come as floatx, a dataset's as they are.
        x, condition = (None if value is None else self._cast(value) for value in self._check(inputs))
        return x, condition

    def _check(self, inputs: Any) -> tuple[Any, Any]:
        x, condition = fit_data.parts(inputs, self.name)
        if self.block.built:  # before, the first call decides
            fit_data.check_condition(condition, self.block.condition_shape is not None, self.name)
        return x, condition

    def _check_validation(self, inputs: Any) -> None:
        # Before anything runs: the first look at them comes after an epoch.
        if not fit_data.are_arrays(inputs):
            return
        given = dict(zip(("x", "condition"), self._check(inputs), strict=True))
        wanted = {"x": self.flow.event_shape, "condition": self.flow.conditions.shape}
        for name, value in given.items():
            found, shape = tf.TensorShape(np.shape(value)[1:]), wanted[name]
            # A condition of another rank may be one for all, or what a network takes.
            if value is None or shape is None or found.is_compatible_with(shape) or (name != "x" and found.rank != len(shape)):
                continue
            received = f"validation data whose {name} has the shape {tuple(np.shape(value))}"
            raise ValueError(explain(f"{self.name}.fit", received=received, expected=f"{('batch', *shape)}"))

    def _cast(self, value: Any) -> tf.Tensor:
        value = tf.convert_to_tensor(value)
        return tf.cast(value, self.flow.dtype) if value.dtype.is_floating else value

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """Mean negative log-density, weighted by `sample_weight` where given."""
        column = y_pred[:, None]
        if sample_weight is not None:
            sample_weight = tf.reshape(tf.cast(sample_weight, self._nll.dtype), tf.shape(y_pred))
        loss = self._nll(tf.zeros_like(column), column, sample_weight=sample_weight)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync  # their gradients are added up
        for extra in self.losses:
            loss += tf.cast(extra, loss.dtype) / replicas
        self.bits_per_dim_metric.update_state(-y_pred / (self.flow.dim * math.log(2.0)), sample_weight=sample_weight)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Loss and bits per dimension."""
        return self.get_metrics_result()

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:  # type: ignore[override]
        """Keras' `fit`, after the data-dependent initialization of what is still as it was made."""
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        self._warn_of_precision()
        if fit_data.are_arrays(x):  # before anything runs; what a dataset gives is seen in the first step
            self._check(x)
        y, weights = fit_data.with_weights_seen(x, given.get("y"), given.get("sample_weight"))
        given |= {"x": x, "y": y, "sample_weight": weights}
        validation = given.get("validation_data")
        if isinstance(validation, list | tuple):
            val_x, val_y, val_weights = keras.utils.unpack_x_y_sample_weight(tuple(validation))
            self._check_validation(val_x)
            given["validation_data"] = (val_x, *fit_data.with_weights_seen(val_x, val_y, val_weights))
        given = fit_data.split_off(given, self.flow.dtype)
        if self.data_init and self.block.waits_for_data():
            with under_way(fresh_only=True):
                self.initialize(representative(given["x"], given["sample_weight"], self.flow.dim))
        return super().fit(**fit_data.fit_arguments(given, self.flow.dtype))

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras' `evaluate`."""
        cached = {k: kwargs.pop(k) for k in ("_use_cached_eval_dataset",) if k in kwargs}
        given = inspect.signature(super().evaluate).bind(x, *args, **kwargs).arguments
        if not cached:
            y, weights = fit_data.with_weights_seen(x, given.get("y"), given.get("sample_weight"))
            given = fit_data.evaluate_arguments(given | {"y": y, "sample_weight": weights}, self.flow.dtype)
        return super().evaluate(**given, **cached)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: int | None = None, **kwargs: Any
    ) -> Any:
        """`log_prob` as an array, batch by batch."""
        given = {"x": x, "batch_size": batch_size, "verbose": verbose, "steps": steps, **kwargs}
        return super().predict(**fit_data.evaluate_arguments(given, self.flow.dtype))

    def _warn_of_precision(self) -> None:
        # Once a model; what computes in 16 bit is not what its log-density promises.
        narrow = sorted({p.compute_dtype for p in self.block._flatten_layers() if tf.as_dtype(p.compute_dtype).size < 4})
        if not narrow or self._warned_of_precision:
            return
        self._warned_of_precision = True
        own = self.flow.dtype.name
        rounded = f"data are rounded to {own} and " if own in narrow else ""
        warnings.warn(
            f"{self.name}.fit: {rounded}the flow's networks compute in {' and '.join(narrow)}. Its log-densities are rounded "
            "accordingly (tenths of a nat; eager and compiled ones differ), and so is its inverse. Train in float32 where that "
            "matters, and look at inntf.stability.stability_report.",
            RuntimeWarning,
            stacklevel=3,
        )

    def initialize(self, inputs: Any) -> DensityModel:
        """Data-dependent initialization on a batch, `x` or `(x, condition)`; returns self."""
        self.flow.initialize(*self._parts(inputs))
        return self

    def log_prob(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`log p(x | condition)`, as `Flow.log_prob`; floating data of any dtype are cast to the flow's."""
        return self.flow.log_prob(self._cast(x), **({} if condition is None else {"condition": self._cast(condition)}))

    def sample(self, n: Any = (), condition: Any = None, seed: Any = None, temperature: float = 1.0) -> tf.Tensor:
        """`n` samples, for each condition, as `Flow.sample`."""
        condition = None if condition is None else self._cast(condition)
        return self.flow.sample(n, condition=condition, seed=seed, temperature=temperature)

    def get_config(self) -> dict[str, Any]:
        """Block, shapes, condition network."""
        if self.flow.parameters["base"] is not None:
            raise ValueError(
                explain(
                    f"{self.name}.get_config",
                    received="a base of your own",
                    expected="the standard normal, which needs no description",
                    remedy="Express the base as a block (Rescale, ActNorm) at the end of the chain, or save weights only.",
                )
            )
        network = self.condition_network
        return {
            "flow": keras.saving.serialize_keras_object(self.block),
            "event_shape": list(self.flow.event_shape),
            "condition_shape": self.flow.parameters["condition_shape"],
            "condition_network": None if network is None else keras.saving.serialize_keras_object(network),
            "data_init": self.data_init,
            **self.regularizers_config(),
            "trainable": self.trainable,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DensityModel:
        """A model from `get_config()`."""
        config = dict(config)
        regularizers = cls.regularizers_from(config)
        for key in ("flow", "condition_network", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(config[key])
        trainable = config.pop("trainable", True)
        model = cls(**config, regularizers=regularizers)
        if not trainable:
            model.trainable = False
        return model
