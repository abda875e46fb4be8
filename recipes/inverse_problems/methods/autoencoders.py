"""Autoencoders `x -> [y, z] -> x` without a bottleneck: two networks, or one with transposed weights (eq. 7)."""

from __future__ import annotations

import itertools

import keras
import tensorflow as tf

from inntf.models import cycle_loss
from inntf.nets import MLP
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for


class CycleMethod(Method):
    """L2 of y, MMD of z, and the cycle loss `|x - decode(encode(x))|^2` (eq. 7).

    `padding` standard normal numbers are put beside x, as in `joint.JointFlow`, and decoded again.  Two terms more than in
    eq. 7: the energy score of decoded x given y (a backward MMD for each y apart), and the cycle from y and a normal z.
    """

    supervised = True
    z_weight = 30.0
    cycle_weight = 6.0
    x_weight = 10.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted)
        self.padding = dim_y if padding is None else padding
        self.dim = dim_x + self.padding

    @property
    def dim_z(self) -> int:
        """What x and its padding have more than y."""
        return self.dim - self.dim_y

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Eq. 7, and the two terms more."""
        seeds = tf.random.split(seed, 3)
        padded = tf.concat([x, losses.normal([tf.shape(x)[0], self.padding], seeds[0])], -1)
        out = self.encode(padded)
        loss = losses.fit_and_latent(out, y, seeds[1], self.z_weight)
        loss += self.cycle_weight * cycle_loss(padded, self.decode(out))
        z = losses.normal([losses.DRAWS * tf.shape(y)[0], self.dim_z], seeds[2], losses.DRAWS)
        latent = tf.concat([tf.tile(y, [losses.DRAWS, 1]), z], -1)
        back = self.decode(latent)
        loss += self.x_weight * losses.score(back[:, : self.dim_x], x)
        return loss + self.cycle_weight * cycle_loss(latent, self.encode(back))

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The decoder of y and standard normal z."""
        z = tf.random.stateless_normal([tf.shape(y)[0], self.dim_z], seed)
        return self.decode(tf.concat([y, z], -1))[:, : self.dim_x]

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """`[y, z]` of x and its padding."""
        raise NotImplementedError

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """The parameters and their padding."""
        raise NotImplementedError


class Autoencoder(CycleMethod):
    """Two feed-forward networks; the decoder, whose task is the harder one, has most of the weights."""

    title = "autoencoder"
    decoder_share = 0.7

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, layers: int = 4, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted, padding)
        decoder = int(self.decoder_share * weights_wanted)
        self.encoder, self.decoder = (self._network(w, layers) for w in (weights_wanted - decoder, decoder))

    def _network(self, weights: int, layers: int) -> MLP:
        width = width_for(weights, lambda w: mlp_weights(self.dim, [w] * layers, self.dim))
        network = MLP([width] * layers, out_channels=self.dim, activation="silu", zero_last=False)
        network.build((None, self.dim))
        return network

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """The encoder's."""
        return self.encoder(x)

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """The decoder's."""
        return self.decoder(latent)


class InvAuto(CycleMethod):
    """Layers `h -> act(W h) + b` whose inverse uses the transpose of W: exact once the W are orthogonal.

    The activation doubles what is positive and halves what is negative, its inverse the other way round.  The cycle loss
    makes the weights orthogonal.

    Source: Teng et al., "Invertible Autoencoder for Domain Adaptation" (2018).
    """

    title = "InvAuto"

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, layers: int = 4, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted, padding)
        width = width_for(weights_wanted, lambda w: mlp_weights(self.dim, [w] * layers, self.dim))
        sizes = [self.dim, *[width] * layers, self.dim]
        orthogonal = keras.initializers.Orthogonal
        self.kernels = [
            self.add_weight(shape=(a, b), initializer=orthogonal(seed=i), name=f"kernel_{i}")
            for i, (a, b) in enumerate(itertools.pairwise(sizes))
        ]
        self.biases = [self.add_weight(shape=(b,), initializer="zeros", name=f"bias_{i}") for i, b in enumerate(sizes[1:])]

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Layer by layer; no activation after the last."""
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = tf.matmul(x, kernel) + bias
            if i < len(self.kernels) - 1:
                x = _stretch(x)
        return x

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """The layers' inverses, last one first."""
        h = latent
        for i in reversed(range(len(self.kernels))):
            if i < len(self.kernels) - 1:
                h = _shrink(h)
            h = tf.matmul(h - self.biases[i], self.kernels[i], transpose_b=True)
        return h


def _stretch(h: tf.Tensor) -> tf.Tensor:
    return tf.where(h > 0, 2.0 * h, 0.5 * h)


def _shrink(h: tf.Tensor) -> tf.Tensor:
    return tf.where(h > 0, 0.5 * h, 2.0 * h)
