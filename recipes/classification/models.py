"""The classifiers: a Glow without factor-out, a linear head, and a regularizer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import Rescale
from inntf.compose import Chain
from inntf.core import Block
from inntf.models import IResNetClassifier, glow
from inntf.nets import WholeBatchNormalization
from inntf.stability import BlockRegularizer, FiniteDifferences, FlowRegularizer
from recipes.classification.settings import Config
from recipes.common.image_data import ImageData
from recipes.common.schedule import warm_cosine


class Standardization:
    """Pixels 0 to 255 as the networks see them: every channel with mean zero and variance one over the training images."""

    def __init__(self, data: ImageData):
        pixels = data.train.astype(np.float64)
        self.mean = pixels.mean((0, 1, 2)).astype(np.float32)
        self.deviation = np.maximum(pixels.std((0, 1, 2)), 1.0).astype(np.float32)

    def __call__(self, pixels: Any) -> tf.Tensor:
        """`(batch, height, width, channels)`, float32."""
        return (tf.cast(pixels, tf.float32) - self.mean) / self.deviation

    def pixels(self, x: Any) -> np.ndarray:
        """The other way."""
        return np.asarray(x) * self.deviation + self.mean

    def block(self) -> Block:
        """As a block, which stands in front of an exported body."""
        return Rescale(scale=1 / self.deviation, shift=-self.mean / self.deviation)


def make_body(config: Config, shape: tuple[int, int, int], body: str, backprop: str) -> Chain:
    """Images to latents of the same size: `levels` of a squeeze and steps of [ActNorm, mixing, coupling]."""
    couplings, mixing = body.split("_")
    return glow(
        event_shape=shape,
        levels=config.levels,
        depth=config.depth,
        hidden=config.hidden,
        additive=couplings == "additive",
        permutation=mixing,
        factor_out=False,
        backprop=backprop,
        seed=config.seed,
        name=body,
    ).block


def make_regularizers(config: Config, regularizer: str, dims: int, every: int | None = None) -> list[BlockRegularizer]:
    """By its name; `every` is for measuring the time alone."""
    if regularizer == "fd":
        options = {"every": every or config.every, "seed": config.seed}
        return [FiniteDifferences.as_released(config.coefficient_fd, dims, config.batch_size, **options)]
    weights = {"nf": config.weight_nf, "nf_strong": config.weight_nf_strong}
    return [FlowRegularizer(weights[regularizer])] if regularizer in weights else []


def make_classifier(
    config: Config, data: ImageData, body: str, regularizer: str, *, backprop: str | None = None, every: int | None = None
) -> IResNetClassifier:
    """A classifier with its optimizer.

    Args:
        config: the settings.
        data: shape and number of classes.
        body: of `config.bodies`.
        regularizer: of `config.regularizers`.
        backprop: in place of what the settings say.
        every: steps from one application of the regularizer to the next, in place of what the settings say.
    """
    backprop = backprop or ("stored" if regularizer == "none" else config.backprop)
    layers = keras.layers
    head = [layers.Flatten(), WholeBatchNormalization(momentum=0.9), layers.ReLU(), layers.Dense(data.classes)]
    model = IResNetClassifier(
        make_body(config, data.shape, body, backprop),
        keras.Sequential(head),
        invertible=False,  # no bound on its networks says so
        regularizers=make_regularizers(config, regularizer, data.dims, every),
        name=f"{body}_{regularizer}",
    )
    rate = learning_rate(config)
    decay = config.weight_decay or None
    if config.optimizer == "sgd":
        optimizer: Any = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, cross_entropy, metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    optimizer.build(model.trainable_variables)
    return model


def learning_rate(config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Of a step."""
    if config.schedule == "steps":
        ends = [max(1, round(share * config.steps)) for share in (0.3, 0.6, 0.8)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(ends, [config.rate * 0.1**k for k in range(4)])
    return warm_cosine(config.rate, config.steps)
