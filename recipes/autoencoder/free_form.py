"""A free-form injective flow: any encoder and decoder, trained by reconstruction and the likelihood of the codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from inntf.core.whole_batch import draw_rows
from recipes.autoencoder.pair import Generative, PairAutoencoder

Function = Callable[[tf.Tensor], tf.Tensor]


class FreeFormInjectiveFlow(Generative, PairAutoencoder):
    r"""Likelihood on the manifold of the decoder, without any restriction on the networks.

    With encoder $f$, decoder $g$ and codes of a standard normal distribution, the loss of an image is

    $$\beta\, |x - g(f(x))|^2 + \tfrac12 |f(x)|^2 - v^\top f'(x)\, \mathrm{sg}[g'(f(x))\, v],$$

    sg without gradient, $v$ on the sphere of radius $\sqrt b$.  Its last term is no log-determinant, but has the gradient of
    one: see `volume_surrogate`.

    Args:
        encoder: `(batch, *shape)` to `(batch, b)`.
        decoder: the way back.
        shape: of an image.
        reconstruction_weight: beta.
        seed: of the vectors.

    Source: Sorrenson, Draxler, Rousselot, Hummerich, Zimmermann, Koethe, "Lifting architectural constraints of injective
        flows" (ICLR 2024).
    """

    names = ("loss", "squared_error", "code", "surrogate")

    def __init__(
        self,
        encoder: keras.Layer,
        decoder: keras.Layer,
        shape: tuple[int, ...],
        *,
        reconstruction_weight: float = 10.0,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(encoder, decoder, shape, **kwargs)
        self.reconstruction_weight, self.seed = reconstruction_weight, seed

    def parts(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """The loss and its three terms, means over the images."""
        vectors = sphere(tf.shape(x)[0], self.bottleneck, self.step_seed(self.seed), x.dtype)
        code, image, surrogate = volume_surrogate(self.encode, self.decode, x, vectors)
        axes = list(range(1, len(self.event_shape) + 1))
        error = tf.reduce_mean(tf.reduce_sum(tf.square(x - image), axes))
        half = tf.reduce_mean(tf.reduce_sum(tf.square(code), -1)) / 2
        volume = tf.reduce_mean(surrogate)
        loss = self.reconstruction_weight * error + half - volume
        return {"loss": loss, "squared_error": error, "code": half, "surrogate": volume}


def volume_surrogate(encode: Function, decode: Function, x: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    r"""$v^\top f'(x)\, \mathrm{sg}[g'(z)\, v]$ for each image, $z = f(x)$.

    Its gradient with respect to the encoder is on average that of $\tfrac12 \log\det f'(x) f'(x)^\top$ where $g'(z)$ is the
    pseudo-inverse of $f'(x)$, towards which the reconstruction draws it: $\partial \tfrac12\log\det J J^\top =
    \mathrm{tr}(\partial J\, J^+)$.  The decoder has no gradient from it.

    Args:
        encode: `(batch, ...)` to `(batch, b)`.
        decode: the way back.
        x: images.
        v: `(batch, b)`, of mean zero and covariance 1.

    Returns:
        Codes, reconstructions and the surrogate `(batch,)`.

    Source: Sorrenson et al. (2024), sections 4.1 and 4.2.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = encode(x)
        along = tf.reduce_sum(code * v)
    pulled = tape.gradient(along, x)
    with tf.autodiff.ForwardAccumulator(code, v) as forward:
        image = decode(code)
    pushed = tf.stop_gradient(forward.jvp(image))
    return code, image, tf.reduce_sum(pulled * pushed, list(range(1, len(x.shape))))


def sphere(count: int | tf.Tensor, dims: int, seed: Any, dtype: Any = tf.float32) -> tf.Tensor:
    """`(count, dims)` points, uniform on the sphere of radius sqrt(dims): covariance 1, less noise than a normal one."""
    v = draw_rows(lambda shape: tf.random.stateless_normal(shape, seed, dtype=dtype), [count, dims])
    return v * math.sqrt(dims) / tf.norm(v, axis=-1, keepdims=True)
