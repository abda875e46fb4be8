"""Real training of a registry entry: maximum likelihood by `DensityModel.fit` on data that are not standard normal."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

from inntf.models import DensityModel
from inntf.training import SpectralNormCallback, certify_spectral_norms

SAMPLES, BATCH, EPOCHS = 256, 32, 8  # 64 steps of Adam


def unruly(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Heavy tails, offsets, scales from 0.1 to 5, correlation; of 3 channels one is constant, of 4 another one nearly so."""
    channels = shape[-1]
    fixed = np.random.default_rng(channels)  # the distribution is the same at every call
    raw = np.clip(rng.standard_t(3, size=shape), -20, 20)
    mixed = raw @ (np.eye(channels) + 0.4 * fixed.standard_normal((channels, channels)))
    x = fixed.uniform(-4, 4, channels) + np.geomspace(0.1, 5, channels) * mixed
    if channels >= 3:
        x[..., 1] = 3.25
    if channels >= 4:
        x[..., 2] = 7.0 + 1e-4 * x[..., 2]
    return x


def uneven(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between 0 and 1 that crowd at one end; one of three channels is constant."""
    x = np.clip(rng.beta(0.5, 3.0, size=shape), 1e-3, 1 - 1e-3)
    if shape[-1] >= 3:
        x[..., 1] = 0.25
    return x


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training leaves: the weights before and after it, and the loss of each epoch (nats)."""

    start: list[np.ndarray]
    weights: list[np.ndarray]
    losses: list[float]

    @property
    def movement(self) -> float:
        """The largest change of a weight, the initialization from data not counted."""
        pairs = [(a, b) for a, b in zip(self.start, self.weights, strict=True) if a.dtype.kind == "f"]
        return max((float(np.max(np.abs(b - a), initial=0.0)) for a, b in pairs), default=0.0)


def sampler(case):
    """What draws the training data of a case."""
    from tests.conformance.subject import normal

    return case.train_x or (unruly if case.sample_x is normal else case.sample_x)


def train(name: str, case) -> Trained:
    """Train a case in float32, with the norms of spectral layers followed and then certified."""
    keras.utils.set_random_seed(sum(name.encode()))
    rng = np.random.default_rng(sum(name.encode()))
    x = sampler(case)(rng, (SAMPLES, *case.event_shape)).astype(np.float32)
    data, condition = x, None
    if case.condition_shape is not None:
        condition = rng.standard_normal((SAMPLES, *case.condition_shape)).astype(np.float32)
        condition[(..., 0)] += x.reshape(SAMPLES, -1).mean(1).reshape(-1, *[1] * (condition.ndim - 2))
        data = (x, condition)
    block = case.make("float32")
    model = DensityModel(block, event_shape=case.event_shape, condition_shape=case.condition_shape)
    model.compile(keras.optimizers.Adam(case.rate))
    model.initialize((x, condition))
    start = block.get_weights()
    dataset = tf.data.Dataset.from_tensor_slices((data,)).batch(BATCH, drop_remainder=True)
    losses = model.fit(dataset, epochs=EPOCHS, verbose=0, callbacks=[SpectralNormCallback()]).history["loss"]
    certify_spectral_norms(block, rescale=True)
    for w in block.trainable_weights:  # a norm at its limit sits on a kink, where no difference is a derivative
        if "kernel" in w.path:
            w.assign(0.999 * w.value)
    return Trained(start, block.get_weights(), losses)


@functools.cache
def trained(name: str) -> Trained:
    """The training of a case, once in a process."""
    source = case(name).train_as
    if source is None:
        return train(name, case(name))
    other = trained(source)
    made = case(source).make("float32").ensure_built(case(source).event_shape, case(source).condition_shape)
    unrolled = []
    for weights in (other.start, other.weights):
        made.set_weights(weights)
        unrolled.append(made.unroll().get_weights())
    return Trained(*unrolled, other.losses)


def case(name: str):
    """A case of either registry."""
    from tests.registry import CASES
    from tests.registry_deep import DEEP

    return CASES[name] if name in CASES else DEEP[name]
