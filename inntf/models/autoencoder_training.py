"""How an autoencoder trains: the terms of its loss, each a metric, and the steps of `fit` and `evaluate`."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.whole_batch import mean_of_part, whole_batch
from inntf.models import fit_data
from inntf.models.compile_arguments import OwnLoss
from inntf.models.step_seeds import step_seeds
from inntf.numerics.mmd import mmd_squared

TERMS = ("loss", "reconstruction", "padding", "prior")


class AutoencoderTraining(OwnLoss):
    """Mixin of `InnAutoencoder`: what Keras calls in training.

    The paper's optimizer is `keras.optimizers.Adam(1e-3, beta_1=0.8, beta_2=0.8, epsilon=1e-4)`.
    """

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As in Keras."""
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        self._refuse_weights(given)
        dtype = self._wide_dtype()
        return super().fit(**fit_data.fit_arguments(fit_data.split_off(given, dtype), dtype))

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras."""
        cached = {k: kwargs.pop(k) for k in ("_use_cached_eval_dataset",) if k in kwargs}
        given = inspect.signature(super().evaluate).bind(*args, **kwargs).arguments
        self._refuse_weights(given)
        return super().evaluate(**given if cached else fit_data.evaluate_arguments(given, self._wide_dtype()), **cached)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras."""
        given = inspect.signature(super().predict).bind(*args, **kwargs).arguments
        return super().predict(**fit_data.evaluate_arguments(given, self._wide_dtype()))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of the loss, its terms, and the regularizers."""
        return [*self._means.values(), *self._regularizer_metrics]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of the optimizer."""
        x = self._batch(data)
        with tf.GradientTape() as tape:
            loss = self._loss(x, training=True)
            scaled = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        weights = self.trainable_weights
        if weights:
            values = [w.value for w in weights]
            gradients = tape.gradient(scaled, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data: Any) -> dict[str, Any]:
        """The loss and its terms, without regularizers."""
        self._loss(self._batch(data), training=False)
        return {name: mean.result() for name, mean in self._means.items()}

    def predict_step(self, data: Any) -> tf.Tensor:
        """Reconstructions."""
        return self(keras.utils.unpack_x_y_sample_weight(data)[0], training=False)

    def _wide_dtype(self) -> tf.DType:
        return tf.as_dtype(self.block.variable_dtype)

    def _batch(self, data: Any) -> tf.Tensor:
        x, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            raise self._unweighted()
        return self._cast(x)

    def _refuse_weights(self, given: dict[str, Any]) -> None:
        """Keras drops weights that come without a y, so that no step would see them."""
        validation = given.get("validation_data")
        weighted = isinstance(validation, tuple | list) and len(validation) == 3 and validation[2] is not None
        if weighted or any(given.get(key) is not None for key in ("sample_weight", "class_weight")):
            raise self._unweighted()

    def _unweighted(self) -> ValueError:
        remedy = "Its losses are plain means."
        return ValueError(explain(self.name, received="sample weights", expected="none", remedy=remedy))

    def _loss(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """The loss of a batch; all metrics are updated."""
        x_hat, y, pad = self(x, training=training, parts=True)
        wide = tf.float32 if y.dtype.size < 4 else y.dtype
        entries = tf.maximum(tf.cast(tf.size(pad), wide), 1.0)  # a bottleneck of all entries pads none
        seed = next(step_seeds(self.seed, 0 if self.optimizer is None else self.optimizer.iterations))
        codes = whole_batch(y)
        terms = {
            "reconstruction": mean_of_part(tf.cast(self._distance(x, x_hat), wide)),
            "padding": tf.reduce_sum(tf.square(tf.cast(pad, wide))) / entries,
            "prior": tf.cast(mmd_squared(codes, self._normal(tf.shape(codes), seed), self.kernel, "biased"), wide),
        }
        weights = {"reconstruction": 1.0, "padding": self.padding_weight, "prior": self.prior_weight}
        loss = tf.add_n([weights[name] * term for name, term in terms.items() if weights[name]])
        for extra in self.losses:
            loss += tf.cast(extra, loss.dtype)
        for name, value in {"loss": loss, **terms}.items():
            self._means[name].update_state(tf.stop_gradient(value), sample_weight=tf.shape(x)[0])
        return loss
