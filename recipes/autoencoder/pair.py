"""An autoencoder of two networks: what the classical one and the rivals have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from recipes.common.strategy import loss_share


class PairAutoencoder(keras.Model):
    """An encoder and a decoder, trained by the loss of `parts`; this one by the mean absolute error.

    Args:
        encoder: `(batch, *shape)` to `(batch, bottleneck)`.
        decoder: the way back.
        shape: of an image.

    Attributes:
        encoder: see above.
        decoder: see above.
        event_shape: of an image.
        bottleneck: dimensions of the code.

    Source: Nguyen et al. (2019), section 3.2.

    Example:
        >>> from recipes.autoencoder.networks import dense_pair
        >>> model = PairAutoencoder(*dense_pair((4, 4, 1), 2, (8,)), (4, 4, 1))
        >>> model.reconstruct(tf.zeros([3, 4, 4, 1])).shape
        TensorShape([3, 4, 4, 1])
    """

    names: tuple[str, ...] = ("loss",)

    def __init__(self, encoder: keras.Layer, decoder: keras.Layer, shape: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.event_shape, self.bottleneck = tuple(shape), int(encoder.output_shape[-1])
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.names}
        self.built = True

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Codes `(batch, bottleneck)` of images `(batch, *shape)`."""
        return self.encoder(x)

    def decode(self, y: tf.Tensor) -> tf.Tensor:
        """Images of codes."""
        return self.decoder(y)

    def reconstruct(self, x: tf.Tensor) -> tf.Tensor:
        """Images, through the bottleneck and back."""
        return self.decode(self.encode(x))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """As `reconstruct`."""
        return self.reconstruct(x)

    def parts(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """`loss`, whose gradient trains, and what else is to be seen of it, by `names`; scalars."""
        return {"loss": tf.reduce_mean(tf.abs(x - self.reconstruct(x)))}

    def step_seed(self, seed: int) -> tf.Tensor:
        """Two integers for what a step draws, by `draw_rows`: a training that goes on draws the same."""
        at = tf.cast(self.optimizer.iterations, tf.int32) if self.compiled else tf.constant(0)
        return tf.stack([tf.constant(seed), at])

    @property
    def metrics(self) -> list[keras.Metric]:
        """Means of the parts, reset by `fit`."""
        return list(self.trackers.values())

    def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """A step of the optimizer."""
        with tf.GradientTape() as tape:
            parts = self.parts(x)
            share = loss_share(parts["loss"])
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(share, variables), variables)
        for name, value in parts.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


class Generative:
    """What samples from a standard normal prior of the codes."""

    def sample(self, count: int, seed: int) -> tf.Tensor:
        """`(count, *shape)` images, the same for the same seed."""
        return self.decode(tf.random.stateless_normal([count, self.bottleneck], [seed, 0], dtype=self.compute_dtype))
