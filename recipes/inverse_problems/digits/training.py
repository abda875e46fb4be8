"""Train a flow by likelihood, from its newest checkpoint if there is one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import DensityModel
from inntf.stability import weakest_block
from recipes.common.batches import batches
from recipes.common.data import load_images
from recipes.common.errors import UserError, as_user_error
from recipes.common.experiment import Run
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.schedule import warm_cosine
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.inverse_problems.digits.models import make_flow
from recipes.inverse_problems.digits.observing import Observing
from recipes.inverse_problems.digits.settings import Config

BETA_2, CLIP = 0.99, 50.0
_INIT_IMAGES = 512
_INIT, _TEST, _TRAIN = -1, -2, -3  # seeds of noise; steps count from 0


@dataclasses.dataclass
class Trained:
    """A flow over hidden pixels, and how it sees.

    Attributes:
        model: around the flow.
        observing: blind or not.
        history: looks at it.
    """

    model: DensityModel
    observing: Observing
    history: list[dict[str, float]]


class Likelihood:
    """Bits per hidden pixel of `2^bits` levels: `-log p(x | y) / (D log 2) + bits`, with the same noise at every look."""

    def __init__(self, model: DensityModel, observing: Observing, seed: int):
        self._observing, self._seed, self._dim = observing, seed, model.flow.dim

        @tf.function(reduce_retracing=True, autograph=False)
        def log_prob(levels: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
            return model.flow.log_prob(observing.x(levels, noise), observing.y(levels))

        self._log_prob = log_prob

    def __call__(self, images: np.ndarray, which: int = _TEST, batch_size: int = 250) -> float:
        """Of images 0 to 255, mean."""
        total = 0.0
        for begin in range(0, len(images), batch_size):
            levels = self._observing.levels(images[begin : begin + batch_size])
            seed = tf.constant([self._seed + begin, which])
            total += float(np.sum(self._log_prob(levels, seed).numpy(), dtype=np.float64))
        return -total / (len(images) * self._dim * math.log(2.0)) + self._observing.bits


def load(config: Config) -> ImageData:
    """The digits of a run.

    Raises:
        UserError: for too few of them.
    """
    data = load_images(config.dataset, config.data_dir)
    data.check_batch(config.batch_size, "--batch-size")
    for flag, wanted in (("--observations", config.observations), ("--jacobian-images", config.jacobian_images)):
        if wanted > len(data.test):
            raise UserError(f"{flag}: received {wanted} for {len(data.test)} test images of {data.name}")
    return data


def train(config: Config, data: ImageData, run: Run, *, blind: bool) -> Trained:
    """Minimize `-log p(x | y)` (eq. 5) to the last step."""
    name, observing = "blind" if blind else "shown", Observing(config.hidden, config.bits, blind)
    keras.utils.set_random_seed(config.seed)  # both begin with the same weights
    with run.strategy.scope(), as_user_error():
        model = DensityModel(make_flow(config, observing))
        rates = warm_cosine(config.rate, config.steps)
        model.compile(keras.optimizers.Adam(rates, beta_2=BETA_2, global_clipnorm=CLIP))
        model.optimizer.build(model.trainable_variables)
    first = observing.levels(data.train[:_INIT_IMAGES])
    model.initialize((observing.x(first, [config.seed, _INIT]), observing.y(first)))
    likelihood, test = Likelihood(model, observing, config.seed), data.test[: config.test_images]

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, Any]:
        numbers = {"train_bits_per_dim": losses["bits_per_dim"] + config.bits, "test_bits_per_dim": likelihood(test)}
        board.scalars(step, numbers, prefix="digits")
        return numbers

    parts = {"model": model.variables, "optimizer": model.optimizer, "diagnose": lambda: weakest_block(model)}
    trained = model.trainable_weights
    watch = Watch(run.folder, name, weights=model.weights, trained=trained, look=look, remedy="Lower --rate.", **parts)
    start = watch.restore()
    fit_in_segments(model, name, lambda i: stream(data, config, observing, i), start, config.steps, config.every, watch)
    return Trained(model, observing, watch.finish())


def stream(data: ImageData, config: Config, observing: Observing, start: int) -> tf.data.Dataset:
    """Endless batches `((x, y),)` from a step on; what a step draws depends on the seed and its number alone."""

    def pair(step: tf.Tensor, images: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor]]:
        levels = observing.levels(images)
        return ((observing.x(levels, tf.stack([tf.cast(config.seed, tf.int64), step])), observing.y(levels)),)

    return batches(data.train, config.batch_size, config.seed, start=start).enumerate(start).map(pair)


def train_likelihood(trained: Trained, config: Config, data: ImageData) -> float:
    """Bits per hidden pixel of as many training images as there are test images: what was learned by heart is below those."""
    likelihood = Likelihood(trained.model, trained.observing, config.seed)
    return likelihood(data.train[: config.test_images], _TRAIN)
