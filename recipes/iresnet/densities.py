"""Tasks `density` and `toys`: residual flows beside affine couplings with as many weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import DensityModel, Flow
from inntf.stability import summarize
from inntf.training import certify_spectral_norms
from recipes.common import files
from recipes.common.data import batches
from recipes.common.errors import as_user_error
from recipes.common.experiment import Run
from recipes.common.image_data import ImageData
from recipes.iresnet import models, toys
from recipes.iresnet.settings import Config
from recipes.iresnet.training import fit

TOYS = ("residual", "affine")
TEST_TOYS = 10_000
GRID = 120
EXACT_TERMS = 12  # in the log-determinants of test images
_TEST_NOISE, _INIT_NOISE = (-1, 0), (-2, 0)  # steps count from 0


def density(config: Config, data: ImageData, run: Run) -> dict[str, Any]:
    """The flows on images; returns their numbers by name."""
    found: dict[str, Any] = {}
    # Without blocks at full resolution the third would be the second again.
    for name in (*TOYS, "affine_unsqueezed") if config.unsqueezed else TOYS:
        weights = found.get("residual", {}).get("weights")
        found[name] = run.once("density", name, lambda a=(name, weights): _image_density(config, data, run, *a))
    return found


def _image_density(config: Config, data: ImageData, run: Run, name: str, weights: int | None) -> dict[str, Any]:
    test = _noisy(data.test[: config.test_density], config.seed, _TEST_NOISE)
    model = _make(lambda: models.make_image_flow(name, config, data.shape, weights), config.seed, run.strategy)
    _compile(model, config.rate_density, config.steps_density, run.strategy)
    model.initialize(_noisy(data.train[:256], config.seed, _INIT_NOISE))
    history = fit(
        model,
        f"density_{name}",
        lambda start: _image_stream(config, data, start),
        config.steps_density,
        config.log_every,
        run.folder,
        _looker(model, test[:200], per_dim=math.log2(models.LEVELS)),
    )
    print(f"{name} flow on images: measuring ...", flush=True)
    certify_spectral_norms(model.block, rescale=True)  # from here on the spectral norms hold exactly
    precise = None
    if name == "residual":  # log-determinants of less variance, of the same weights
        keras.utils.set_random_seed(config.seed)  # of the probes
        precise = models.make_image_flow(name, config, data.shape, exact_terms=EXACT_TERMS)
        precise.block.set_weights(model.block.get_weights())
    numbers = _measure(precise or model.flow, test, math.log2(models.LEVELS))
    samples = sample_in_batches(model.flow, 32, config.seed)
    with files.atomic(run.folder.path / f"density_{name}.npz") as beside:
        np.savez_compressed(beside, samples=samples * models.LEVELS - 0.5)
    with files.atomic(run.folder.path / f"density_{name}.weights.h5") as beside:
        model.save_weights(beside)
    return {**numbers, "history": history}


def toy_densities(config: Config, run: Run) -> dict[str, Any]:
    """Both flows on every density in two dimensions; returns their numbers by data set and name."""
    found: dict[str, Any] = {}
    for data_set in config.toys:
        of_set = found[data_set] = {}
        for name in TOYS:
            weights = of_set.get("residual", {}).get("weights")
            key = f"{data_set}/{name}"
            of_set[name] = run.once("toys", key, lambda a=(data_set, name, weights): _toy_density(config, run, *a))
    return found


def _toy_density(config: Config, run: Run, data_set: str, name: str, weights: int | None) -> dict[str, Any]:
    test = toys.test_set(data_set, TEST_TOYS, config.seed)
    model = _make(lambda: models.make_toy_flow(name, config, weights), config.seed, run.strategy)
    _compile(model, config.rate_toys, config.steps_toys, run.strategy)
    model.initialize(toys.sample(data_set, 1000, tf.constant([config.seed, _INIT_NOISE[0]], tf.int64)))
    history = fit(
        model,
        f"toys_{data_set}_{name}",
        lambda start: toys.batches(data_set, config.batch_toys, config.seed, start),
        config.steps_toys,
        config.log_every,
        run.folder,
        _looker(model, test[:2000]),
    )
    certify_spectral_norms(model.block, rescale=True)
    numbers = _measure(model.flow, test)
    axis = np.linspace(-toys.SIDE, toys.SIDE, GRID, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    with files.atomic(run.folder.path / f"toys_{data_set}_{name}.npz") as beside:
        np.savez_compressed(beside, log_prob=log_prob(model.flow, points).reshape(GRID, GRID))
    return {**numbers, "history": history}


def log_prob(flow: Flow, x: Any, batch_size: int = 250) -> np.ndarray:
    """`log_prob` of many samples, float64, by one traced function."""
    size = batch_size if len(flow.event_shape) == 3 else 8 * batch_size
    traced = tf.function(flow.log_prob, [tf.TensorSpec([None, *flow.event_shape], tf.float32)], autograph=False)
    parts = [traced(tf.convert_to_tensor(x[i : i + size])).numpy() for i in range(0, len(x), size)]
    return np.concatenate(parts).astype(np.float64)


def sample_in_batches(flow: Flow, n: int, seed: int, batch_size: int = 16) -> np.ndarray:
    """Samples, the same for the same seed."""
    sample = tf.function(lambda seed: flow.sample(batch_size, seed=seed), autograph=False)
    return np.concatenate([sample(tf.constant([seed, i])).numpy() for i in range(0, n, batch_size)])[:n]


def _make(make: Callable[[], Flow], seed: int, strategy: tf.distribute.Strategy) -> DensityModel:
    keras.utils.set_random_seed(seed)  # of each flow's own weights: they are the same whatever was made before
    with strategy.scope(), as_user_error():
        return DensityModel(make())


def _compile(model: DensityModel, rate: float, steps: int, strategy: tf.distribute.Strategy) -> None:
    with strategy.scope():
        # Clipped: the log-determinants of a residual flow are estimates, and now and then one is far off.
        optimizer = keras.optimizers.Adam(models.learning_rate(rate, steps), beta_2=0.99, global_clipnorm=100.0)
        model.compile(optimizer)
        optimizer.build(model.trainable_variables)


def _looker(model: DensityModel, x: Any, per_dim: float = 0.0) -> Callable[[], dict[str, float]]:
    spec = tf.TensorSpec([None, *model.flow.event_shape], tf.float32)
    traced = tf.function(model.flow.log_prob, [spec], autograph=False)
    return lambda: {"test_bits_per_dim": _bits(model.flow, float(np.mean(traced(x).numpy().astype(np.float64)))) + per_dim}


def _measure(flow: Flow, test: Any, per_dim: float = 0.0) -> dict[str, Any]:
    norms = certify_spectral_norms(flow.block)
    values = log_prob(flow, test)
    some = test[:64]
    forward = tf.function(lambda x: flow.block.forward_and_log_det(x)[0], autograph=False)
    back = tf.function(lambda z: flow.block.inverse_and_log_det(z)[0], autograph=False)
    difference = (np.asarray(some, np.float64) - back(forward(some)).numpy()).reshape(len(some), -1)
    bounds = flow.block.lipschitz_bounds()
    return {
        "bits_per_dim": _bits(flow, float(np.mean(values))) + per_dim,
        "bits_per_dim_standard_error": _bits(flow, float(np.std(values))) / -math.sqrt(len(values)),
        "log_prob_nonfinite_share": float(np.mean(~np.isfinite(values))),
        "weights": models.count(flow),
        "test_samples": len(values),
        "largest_certified_norm": max(norms.values(), default=None),
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        "reconstruction_error": summarize(np.linalg.norm(difference, axis=1))._asdict(),
    }


def _bits(flow: Flow, nats: float) -> float:
    return -nats / (flow.dim * math.log(2.0))


def _noisy(pixels: np.ndarray, seed: int, which: tuple[int, int]) -> tf.Tensor:
    return models.dequantized(tf.constant(pixels), tf.constant([seed + 7 * which[1], which[0]]))


def _image_stream(config: Config, data: ImageData, start: int) -> tf.data.Dataset:
    stream = batches(data.train, config.batch_density, config.seed, augment=data.mirrors, start=start).enumerate(start)
    seed = tf.constant(config.seed, tf.int64)
    return stream.map(lambda step, pixels: models.dequantized(pixels, tf.stack([seed, step])))
