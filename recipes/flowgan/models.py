"""The two architectures of the Flow-GAN experiments, and the flow over pixels that is exported."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import ActNorm, Dequantize, Logit, Rescale
from inntf.compose import Chain
from inntf.models import Flow, FlowGan, glow
from inntf.nets import ConvNet, Discriminator, SpectralConv2D
from inntf.numerics import ReciprocalScale, SigmoidScale
from recipes.common.schedule import after, warm_cosine
from recipes.flowgan.settings import Config

NOISE = 1 / 256


def make_flow(config: Config, shape: tuple[int, int, int], architecture: str) -> Flow:
    """Steps of [ActNorm, mixing, coupling]; no factor-out, so the Jacobian is of all blocks.

    `stable`: few additive couplings, spectral normalization in all convolutions.  `unstable`: no constraint ("On the
    Invertibility of INNs", section 4.3: additive, many blocks, ActNorm inside the couplings; "Understanding and mitigating
    exploding inverses", supplement H: affine).
    """
    common = {"event_shape": shape, "levels": config.levels, "factor_out": False, "seed": config.seed}
    name = f"{architecture}_flow"
    if architecture == "stable":
        return glow(
            **common,
            depth=config.depth_stable,
            additive=True,
            permutation="shuffle",
            conditioner=lambda channels: spectral_net(config, channels),
            name=name,
        )
    additive = config.coupling == "additive"
    normalization = ActNorm if config.actnorm_inside else None
    return glow(
        **common,
        depth=config.depth_unstable,
        additive=additive,
        # Samples are divided by it: only the way back, to the latent, can explode, and training does not look at that.
        scale=None if additive else ReciprocalScale(SigmoidScale(0.03, 1.03)),
        permutation=config.mixing,
        conditioner=lambda channels: ConvNet(config.hidden, out_channels=channels, normalization=normalization),
        preprocessing=[Rescale(shift=0.5), Logit(alpha=1e-6)] if config.preprocessing == "logit" else [],
        name=name,
    )


def spectral_net(config: Config, channels: int) -> ConvNet:
    """A conditioner whose convolutions have norms of at most `coefficient`."""
    return ConvNet(
        config.hidden,
        out_channels=channels,
        convolution=SpectralConv2D,
        convolution_arguments={"coefficient": config.coefficient, "max_iterations": 5, "update_every_call": False},
        zero_last=False,
    )


def make_discriminator(config: Config) -> keras.layers.Layer:
    """One logit per image."""
    width = config.discriminator_width
    if config.discriminator == "spectral":
        return Discriminator(tuple(width * k for k in (1, 1, 2, 2, 4, 4, 8)))
    layers: list[keras.layers.Layer] = []
    for k in (1, 2, 4):
        layers += [keras.layers.Conv2D(k * width, 4, strides=2, padding="same"), keras.layers.LeakyReLU(0.2)]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1)])


def make_gan(config: Config, flow: Flow, objective: str) -> FlowGan:
    """A flow with the discriminator and the optimizers of one objective."""
    gan = FlowGan(
        flow,
        None if objective == "mle" else make_discriminator(config),
        objective=objective,
        mle_weight=config.mle_weight,
        gradient_penalty=config.gradient_penalty,
        noise=NOISE,
        discriminator_steps=config.discriminator_steps,
        seed=config.seed,
    )
    if objective == "mle":
        gan.compile(keras.optimizers.Adam(warm_cosine(config.rate_mle, config.steps_mle), beta_2=0.99, global_clipnorm=100.0))
    else:
        gan.compile(
            keras.optimizers.Adam(after(config.head_start, config.rate_generator), beta_1=0.5, beta_2=0.99),
            keras.optimizers.Adam(config.rate_discriminator, beta_1=0.5, beta_2=0.99),
        )
    return gan


def scaled(pixels: np.ndarray, seed: int | None = None) -> np.ndarray:
    """Pixels 0..255 as the flow sees them, [-1/2, 1/2), with the noise of dequantization if a seed is given."""
    x = pixels.astype(np.float32) / 256 - 0.5
    return x if seed is None else x + np.random.default_rng(seed).uniform(0, NOISE, x.shape).astype(np.float32)


def to_pixels(x: Any) -> np.ndarray:
    """Undo `scaled`: floats on the scale 0 to 255."""
    return (np.asarray(x, np.float64) + 0.5) * 256 - 0.5


def over_pixels(flow: Flow) -> Flow:
    """The same flow over integer pixels: bin centres and scale in front; no noise, so that a served model repeats itself."""
    shape = tuple(flow.event_shape)
    block = Chain([Dequantize(256, noise="center"), Rescale(shift=-0.5), flow.block])
    return Flow(block, event_shape=shape, name="flow_over_pixels")


class Latents(NamedTuple):
    """Attributes: z `(n, ...)` and log_det `(n,)` of many images, float64."""

    z: np.ndarray
    log_det: np.ndarray

    def log_prob(self, scale: np.ndarray | float = 1.0) -> np.ndarray:
        """`log p` of the images, nats, with a base of standard deviations `scale`."""
        axes = tuple(range(1, self.z.ndim))
        scale = np.broadcast_to(np.asarray(scale, np.float64), self.z.shape[1:])
        standard = -0.5 * (self.z / scale) ** 2 - 0.5 * math.log(2 * math.pi) - np.log(scale)
        return np.sum(standard, axes) + self.log_det

    def second_moment(self) -> np.ndarray:
        """Mean of `z^2` over the images."""
        return np.mean(self.z**2, 0)


class TracedFlow:
    """A flow whose two directions are traced once, whatever its weights become: what looks and measurements share.

    Attributes:
        flow: the flow.
        forward: `(n, ...)` data to latents and log-determinants.
        inverse: `(n, ...)` latents to data.
    """

    def __init__(self, flow: Flow):
        self.flow = flow
        x, z = (tf.TensorSpec([None, *shape], flow.dtype) for shape in (flow.event_shape, flow.base.event_shape))
        self.forward = tf.function(lambda x: flow.block.forward_and_log_det(x), [x], autograph=False)
        self.inverse = tf.function(lambda z: flow.block.inverse_and_log_det(z)[0], [z], autograph=False)

    def latents(self, x: np.ndarray) -> Latents:
        """Latents and log-determinants of `(n, ...)` images, in batches."""
        pairs = [self.forward(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)]
        return Latents(*(np.concatenate([p[k].numpy().astype(np.float64) for p in pairs]) for k in (0, 1)))

    def sample(self, count: int, seed: int, scale: np.ndarray | float = 1.0) -> np.ndarray:
        """`count` samples as pixels, floats on the scale 0 to 255, the same for the same seed; `scale` is the base's."""
        z = np.random.default_rng(seed).standard_normal((count, *self.flow.base.event_shape)) * scale
        z = z.astype(self.flow.dtype.as_numpy_dtype)
        return to_pixels(np.concatenate([self.inverse(z[i : i + _BATCH]) for i in range(0, count, _BATCH)]))

    def passes(self, x: np.ndarray, count: int) -> np.ndarray:
        """`(count + 1, n, ...)`: images, and what is left of them after each pass forward and back."""
        seen = [x]
        for _ in range(count):
            seen.append(self.inverse(self.forward(seen[-1])[0]).numpy())
        return np.stack(seen)


_BATCH = 250
