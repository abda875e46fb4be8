"""A flow as a keras.Model: compile, fit, evaluate, save."""

from __future__ import annotations

import math
import zlib
from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models.flow import Flow
from inntf.models.flow_checkpoints import FlowHolder


class NegativeLogProb(keras.losses.Loss):
    """`-log_prob`, nats per sample; the reduction is Keras', so distribution strategies scale it right."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`y_pred` is the log-density, `(batch, 1)`; `y_true` is ignored."""
        return -y_pred[:, 0]


@keras.saving.register_keras_serializable("inntf")
class DensityModel(FlowHolder, keras.Model):
    """Maximum likelihood for a `Flow`: `fit(x)` minimizes `-mean log_prob(x)` in nats.

    The metric `bits_per_dim` is reported beside the loss.  Before the first step `fit` runs the data-dependent
    initialization (ActNorm) on the first batch, once, unless the weights have changed since the model was made (loaded, or
    trained by hand); `model.flow.initialize(x)` does it by hand, as often as you like.

    Args:
        flow: a `Flow`, or a block (then `event_shape` is needed unless it is built).
        event_shape, condition_shape, condition_network: as in `Flow`, where a block is given.
        data_init: whether `fit` initializes from data at its first call; say `False` for a flow that was trained before.
        name: name of the model.

    Call arguments: `x`, or `(x, condition)`, or `{"x": x, "condition": condition}`.  Returns `log_prob`, `(batch,)`.

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

    def __init__(
        self,
        flow: Flow | Block,
        *,
        event_shape: Shape | None = None,
        condition_shape: Shape | None = None,
        condition_network: keras.layers.Layer | None = None,
        data_init: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.autocast = False  # likelihoods must not be computed from 16-bit data
        if isinstance(flow, Block):
            flow = Flow(flow, event_shape=event_shape, condition_shape=condition_shape, condition_network=condition_network)
        if not isinstance(flow, Flow):
            raise TypeError(
                explain("DensityModel", received=type(flow).__name__, expected="a Flow or a Block", remedy="See inntf.Flow.")
            )
        self.block = flow.block
        self.condition_network = flow.condition_network
        self.base_variables = [keras.Variable(v, trainable=v.trainable) for v in flow.base.variables]
        object.__setattr__(self, "flow", flow)  # a TFP object: Keras must not track it
        self.data_init = data_init
        self._initialized_from_data = False
        self.bits_per_dim_metric = keras.metrics.Mean(name="bits_per_dim")
        self._nll = NegativeLogProb(dtype=self.block.variable_dtype)
        weights = [w for w in self.block.weights if w.trainable]
        object.__setattr__(self, "_as_made", (weights, _fingerprint(weights)))
        self.built = True  # a flow is

    def build(self, input_shape: Any) -> None:
        """Build the block if it is not."""
        shape = _parts(input_shape, shapes=True)
        if not self.block.built:
            self.block.ensure_built(shape[0][1:], None if shape[1] is None else shape[1][1:])
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """`log_prob`, `(batch,)`."""
        x, condition = _parts(inputs)
        condition = self.flow.embed(condition)
        z, log_det = self.block.forward_and_log_det(x, condition)
        base = self.flow.base.log_prob(z)
        return base + tf.cast(log_det, base.dtype)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """Mean negative log-density, weighted by `sample_weight` where given."""
        column = y_pred[:, None]
        loss = self._nll(tf.zeros_like(column), column, sample_weight=sample_weight)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync  # their gradients are added up
        for extra in self.losses:
            loss += tf.cast(extra, loss.dtype) / replicas
        self.bits_per_dim_metric.update_state(-y_pred / (self.flow.dim * math.log(2.0)), sample_weight=sample_weight)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Loss and bits per dimension."""
        return self.get_metrics_result()

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' `fit`, after the data-dependent initialization on the first batch."""
        weights, fingerprint = self._as_made
        if self.data_init and not self._initialized_from_data and _fingerprint(weights) == fingerprint:
            self.initialize(_first_batch(x, kwargs.get("batch_size") or (args[1] if len(args) > 1 else None) or 32))
        return super().fit(x, *args, **kwargs)

    def initialize(self, inputs: Any) -> DensityModel:
        """Data-dependent initialization on a batch, `x` or `(x, condition)`; returns self."""
        x, condition = _parts(inputs)
        self.flow.initialize(x, condition)
        self._initialized_from_data = True
        return self

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
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DensityModel:
        """A model from `get_config()`; it does not initialize from data again."""
        config = dict(config)
        for key in ("flow", "condition_network", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(config[key])
        model = cls(**config)
        model._initialized_from_data = True
        return model


def _parts(inputs: Any, shapes: bool = False) -> tuple[Any, Any]:
    if isinstance(inputs, dict):
        return inputs["x"], inputs.get("condition")
    if isinstance(inputs, list | tuple) and not (shapes and not isinstance(inputs[0], list | tuple)):
        return inputs[0], inputs[1] if len(inputs) > 1 else None
    return inputs, None


def _fingerprint(weights: list[keras.Variable]) -> int:
    out = 0
    for weight in weights:
        out = zlib.crc32(weight.numpy().tobytes(), out)
    return out


def _first_batch(x: Any, batch_size: int) -> Any:
    if isinstance(x, tf.data.Dataset):
        batch = next(iter(x.take(1)))
        # Keras reads (x, y, ...) from a dataset of tuples: the inputs are the first entry.
        return batch[0] if isinstance(batch, tuple) else batch
    if hasattr(x, "__iter__") and not hasattr(x, "shape") and not isinstance(x, dict | list | tuple):
        raise ValueError(
            "DensityModel.fit: received a generator, expected arrays or a tf.data.Dataset, since a batch taken for the "
            "initialization would be lost. Call initialize(batch) first, or set data_init=False."
        )
    return tf.nest.map_structure(lambda part: part[:batch_size], x)
