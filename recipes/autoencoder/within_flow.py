"""An autoencoder within a flow: a bijection of images whose latent is a code and what the decoder leaves over."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Permutation
from inntf.compose import Chain
from inntf.core.whole_batch import draw_rows
from inntf.nets import MLP
from recipes.autoencoder.pair import Generative, PairAutoencoder

LEVELS = 255  # of a pixel, above zero


class AutoencoderWithinFlow(Generative, PairAutoencoder):
    r"""Exact likelihood of an autoencoder.

    An image is split into its core $c$, as many pixels as the code has dimensions, and its shell $s$, all others.  With
    networks $\mu_e, \sigma_e$ of the shell, a flow $T$, a decoder $\mu_d$ and a deviation $\sigma_d$ of each pixel

    $$z = T\big((c - \mu_e(s)) / \sigma_e(s)\big), \qquad \epsilon = (s - \mu_d(z)) / \sigma_d$$

    is a bijection of images, triangular in two steps, so

    $$\log p(x) = \log N(z) + \log N(\epsilon) + \log|\det T'| - \textstyle\sum \log \sigma_e(s) - \sum \log \sigma_d.$$

    The code is $z$; it is decoded with $\epsilon = 0$.  Training maximizes the likelihood of images with uniform noise of the
    width of a grey level.

    Args:
        encoder: images, zero in the core, to `(batch, 2 b)`: means, and logarithms of deviations before they are bounded.
        decoder: codes to images, of which the shell counts.
        shape: of an image.
        bottleneck: b, below the number of pixels.
        depth: couplings of the flow (none for a single dimension).
        hidden: units of their networks.
        seed: of the noise.

    Source: Silvestri, Roos, Ambrogioni, "Deterministic training of generative autoencoders using invertible layers" (ICLR
        2023), section 3; the core is the pixels next to the centre.
    """

    names = ("loss", "bits_per_dim")

    def __init__(
        self,
        encoder: keras.Layer,
        decoder: keras.Layer,
        shape: tuple[int, ...],
        bottleneck: int,
        *,
        depth: int = 4,
        hidden: int = 64,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(encoder, decoder, shape, **kwargs)
        self.bottleneck, self.seed = bottleneck, seed
        self.dims = math.prod(shape)
        order = central_first(shape)
        self._core = np.sort(order[:bottleneck])
        self._shell = np.sort(order[bottleneck:])
        self._back = np.argsort(np.concatenate([self._core, self._shell]))
        parts: list[Any] = [ActNorm()]
        if bottleneck > 1:
            for i in range(depth):
                parts += [AffineCoupling(conditioner=MLP([hidden])), Permutation.shuffle(seed + i)]
        self.flow = Chain(parts).ensure_built((bottleneck,))
        self.log_deviation = self.add_weight(shape=[self.dims - bottleneck], initializer="zeros", name="log_deviation")

    def latent(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Codes `(batch, b)`, what is left over `(batch, dims - b)`, and the log-determinant of both `(batch,)`."""
        core, shell = self._split(x)
        mean, log_scale = self._of_shell(shell)
        code, log_det = self.flow.forward_and_log_det((core - mean) * tf.exp(-log_scale))
        log_deviation = self._log_deviation()
        rest = (shell - self._decoded_shell(code)) * tf.exp(-log_deviation)
        total = tf.cast(log_det, x.dtype) - tf.reduce_sum(log_scale, -1) - tf.reduce_sum(log_deviation)
        return code, rest, total

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """`log p(x)` in nats `(batch,)`."""
        code, rest, log_det = self.latent(x)
        squares = tf.reduce_sum(tf.square(code), -1) + tf.reduce_sum(tf.square(rest), -1)
        return log_det - 0.5 * squares - 0.5 * self.dims * math.log(2 * math.pi)

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """Codes of images."""
        return self.latent(x)[0]

    def decode(self, y: tf.Tensor) -> tf.Tensor:
        """Images of codes: the shell is its mean, and the core what such a shell and the code say."""
        shell = self._decoded_shell(y)
        mean, log_scale = self._of_shell(shell)
        core = self.flow.inverse_and_log_det(y)[0] * tf.exp(log_scale) + mean
        flat = tf.gather(tf.concat([core, shell], -1), self._back, axis=-1)
        return tf.reshape(flat, [-1, *self.event_shape])

    def parts(self, x: tf.Tensor, seed: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Nats per dimension of images with noise (of the step, or by a seed), and bits per dimension of their grey levels."""
        seed = self.step_seed(self.seed) if seed is None else seed
        noise = draw_rows(lambda s: tf.random.stateless_uniform(s, seed, -0.5, 0.5, x.dtype), tf.shape(x)) / LEVELS
        loss = -tf.reduce_mean(self.log_prob(x + noise)) / self.dims
        return {"loss": loss, "bits_per_dim": loss / math.log(2) + math.log2(LEVELS)}

    def _split(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(x, [-1, self.dims])
        return tf.gather(flat, self._core, axis=-1), tf.gather(flat, self._shell, axis=-1)

    def _of_shell(self, shell: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and log-deviation of the core; deviations stay between e^-5 and e^5."""
        core = tf.zeros([tf.shape(shell)[0], self.bottleneck], shell.dtype)
        flat = tf.gather(tf.concat([core, shell], -1), self._back, axis=-1)
        mean, raw = tf.split(self.encoder(tf.reshape(flat, [-1, *self.event_shape])), 2, -1)
        return mean, 5 * tf.tanh(raw / 5)

    def _decoded_shell(self, code: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(self.decoder(code), [-1, self.dims]), self._shell, axis=-1)

    def _log_deviation(self) -> tf.Tensor:
        """Deviations of the shell; never below a quarter of a grey level, which the noise alone has."""
        return tf.maximum(tf.convert_to_tensor(self.log_deviation), math.log(0.25 / LEVELS))


def central_first(shape: tuple[int, ...]) -> np.ndarray:
    """Indices of all numbers of an image, in raster order, by the distance of their pixel to the centre.

    >>> central_first((3, 3, 1))[0]
    np.int64(4)
    """
    height, width, channels = shape
    rows, columns = np.mgrid[:height, :width]
    distance = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2
    return np.argsort(np.repeat(distance.reshape(-1), channels), kind="stable")
