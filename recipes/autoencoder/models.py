"""The autoencoders by name, each with its optimizer, and what all of them can be asked."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from inntf.models import inn_autoencoder
from inntf.training import clip_what_replicas_add_up
from recipes.autoencoder.data import scaled
from recipes.autoencoder.free_form import FreeFormInjectiveFlow
from recipes.autoencoder.networks import make_pair
from recipes.autoencoder.optimizer import AdamWithPenalty, drops
from recipes.autoencoder.pair import PairAutoencoder
from recipes.autoencoder.settings import GENERATIVE, INVERTIBLE, Config
from recipes.autoencoder.within_flow import AutoencoderWithinFlow

LABELS = {
    "inn": "INN",
    "inn_vae": "INN-VAE",
    "classic": "classic",
    "classic_1024": "classic 1024",
    "classic_2048": "classic 2048",
    "classic_deep": "classic deep",
    "free_form": "free-form flow",
    "within_flow": "within a flow",
}


class Autoencoder(Protocol):
    """What the recipe asks of a model; `sample(count, seed)` of those in `GENERATIVE`, too."""

    bottleneck: int
    trainable_weights: list[keras.Variable]

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Codes `(batch, bottleneck)` of images."""

    def decode(self, y: tf.Tensor) -> tf.Tensor:
        """Images of codes."""


def make_model(config: Config, name: str, shape: tuple[int, ...], bottleneck: int, seed: int, steps: int) -> Any:
    """A compiled model.

    Args:
        config: settings of the run.
        name: of `LABELS`.
        shape: of an image.
        bottleneck: dimensions of the code.
        seed: of what the model draws while it trains; weights come from Keras' own.
        steps: of the training, for the learning rate.
    """
    if name in INVERTIBLE:
        reference = config.reference
        model = inn_autoencoder(
            shape,
            bottleneck,
            stages=reference.stages,
            hidden=config.hidden or reference.hidden,
            dense_hidden=config.dense_hidden or reference.dense_hidden,
            prior_weight=config.prior_weight if name == "inn_vae" else 0.0,
            seed=seed,
            name=name,
        )
    else:
        model = _make_pair_model(config, name, shape, bottleneck, seed)
    rate = drops(config.rate_of(name), steps, config.drops_of(name))
    if name in INVERTIBLE:
        optimizer = AdamWithPenalty(rate, penalty=1e-6, beta_1=0.8, beta_2=0.8, epsilon=1e-4)
    else:
        # A likelihood's gradient is unbounded where a deviation becomes small.
        clip = None if name.startswith("classic") else 100.0
        optimizer = AdamWithPenalty(rate, penalty=1e-5, epsilon=1e-8, global_clipnorm=clip)
    model.compile(optimizer)
    clip_what_replicas_add_up(optimizer)
    optimizer.build(model.trainable_variables)
    return model


def weights_of(model: Autoencoder) -> int:
    """The number of trained numbers."""
    return int(sum(np.prod(w.shape) for w in model.trainable_weights))


class Traced:
    """Encoding, decoding and sampling of a model in batches, numpy to numpy, traced once.

    Args:
        model: an autoencoder; a bottleneck that is changed later wants another `Traced`.
    """

    def __init__(self, model: Autoencoder, batch_size: int = 250):
        self.model, self._batch_size = model, batch_size
        self._encode = tf.function(lambda pixels: model.encode(scaled(pixels)), reduce_retracing=True, autograph=False)
        self._decode = tf.function(lambda y: model.decode(y), reduce_retracing=True, autograph=False)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Codes of images `(n, height, width, channels)` uint8."""
        return self._in_batches(self._encode, pixels)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images in [0, 1] of codes `(n, bottleneck)`."""
        return self._in_batches(self._decode, codes.astype(keras.config.floatx()))

    def reconstruct(self, pixels: np.ndarray) -> np.ndarray:
        """Images in [0, 1]."""
        return self.decode(self.encode(pixels))

    def sample(self, count: int, seed: int) -> np.ndarray:
        """`(count, height, width, channels)` in [0, 1], from codes of the prior."""
        return self.decode(np.random.default_rng(seed).standard_normal((count, self.model.bottleneck)))

    def _in_batches(self, function: Any, values: np.ndarray) -> np.ndarray:
        size = self._batch_size
        return np.concatenate([function(tf.constant(values[i : i + size])).numpy() for i in range(0, len(values), size)])


def _make_pair_model(config: Config, name: str, shape: tuple[int, ...], bottleneck: int, seed: int) -> PairAutoencoder:
    kind, share = config.reference.classical, config.classic_share
    encoder, decoder = make_pair(kind, name, shape, bottleneck, share)
    if name == "free_form":
        weight = config.reconstruction_weight
        return FreeFormInjectiveFlow(encoder, decoder, shape, reconstruction_weight=weight, seed=seed, name=name)
    if name == "within_flow":
        encoder, _ = make_pair(kind, name, shape, 2 * bottleneck, share)
        return AutoencoderWithinFlow(encoder, decoder, shape, bottleneck, seed=seed, name=name)
    return PairAutoencoder(encoder, decoder, shape, name=name)


def is_generative(name: str) -> bool:
    """Whether its codes have a prior to sample from."""
    return name in GENERATIVE
