"""What is measured of a trained autoencoder: errors, codes beside the prior, samples, stability, and pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import InnAutoencoder
from inntf.numerics import InverseQuadratic, mmd_test
from recipes.autoencoder import stability
from recipes.autoencoder.data import scaled, to_pixels
from recipes.autoencoder.models import Traced, is_generative, weights_of
from recipes.autoencoder.settings import Config
from recipes.autoencoder.within_flow import AutoencoderWithinFlow
from recipes.common.feature_neighbours import copy_check, precision_recall
from recipes.common.fid import Features, as_pixels, confident_share, kernel_distance
from recipes.common.image_data import ImageData

KERNEL = InverseQuadratic((0.2, 0.5, 0.9, 1.3))  # of the published training
SHOWN = 8
BETWEEN = 9  # images of an interpolation, ends included
_LIKELIHOOD_IMAGES = 1000


def measure(
    model: Any, name: str, config: Config, data: ImageData, features: Features | None, seed: int, board: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and pictures of one trained model.

    Args:
        model: trained.
        name: of the model.
        config: settings of the run.
        data: the images.
        features: to compare samples by; `None` where there are none for this data set.
        seed: of what is drawn.
        board: writer of TensorBoard, for what the stability of an INN looks like.

    Returns:
        Numbers; and pixels of test images and what becomes of them, and of samples where there is a prior.
    """
    traced = Traced(model)
    codes = traced.encode(data.test)
    again = traced.decode(codes)
    x = scaled(data.test).numpy()
    numbers: dict[str, Any] = {
        "l1": float(np.mean(np.abs(again - x))),
        "l2": float(math.sqrt(np.mean(np.square(again - x)))),
        "train_l1": float(np.mean(np.abs(traced.reconstruct(data.train[: len(x)]) - scaled(data.train[: len(x)])))),
        "weights": weights_of(model),
        **codes_beside_the_prior(codes, config, seed),
        **stability.decoder_spectrum(model, codes[: config.jacobian_images]),
    }
    pictures = {
        "data": data.test[:SHOWN].astype(np.float32),
        "again": to_pixels(again[:SHOWN]),
        "between": interpolation(traced, codes[0], codes[1]),
    }
    if isinstance(model, InnAutoencoder):
        numbers |= {"padding_norm": padding_norm(model, data.test)}
        numbers |= stability.of_an_inn(model, data.test, config.jacobian_images, config.certified_images, board)
    if isinstance(model, AutoencoderWithinFlow):
        numbers |= {"bits_per_dim": bits_per_dim(model, data.test[:_LIKELIHOOD_IMAGES], seed)}
    if is_generative(name):
        samples, broken = as_pixels(to_pixels(traced.sample(config.samples, seed + 1)))
        numbers |= {"samples_nonfinite_share": broken, **quality_of(samples, features, data)}
        pictures["samples"] = samples[:32].astype(np.float32)
    return numbers, {key: value.astype(np.float32) for key, value in pictures.items()}


def codes_beside_the_prior(codes: np.ndarray, config: Config, seed: int) -> dict[str, float]:
    """Squared MMD (unbiased) of the codes of test images to a standard normal, and the p-value of a permutation test."""
    chosen = codes[: config.samples]
    if not np.isfinite(chosen).all():
        return {"mmd_squared": math.inf, "mmd_p_value": 0.0}
    normal = np.random.default_rng(seed).standard_normal(chosen.shape)
    found = mmd_test(chosen, normal, KERNEL, permutations=config.permutations, seed=seed)
    return {"mmd_squared": float(found.statistic), "mmd_p_value": float(found.p_value)}


def quality_of(samples: np.ndarray, features: Features | None, data: ImageData) -> dict[str, Any]:
    """Samples beside as many test images, in a space of features; nothing where there is none."""
    if features is None:
        return {}
    real, made = features.extract(data.test[: len(samples)]), features.extract(samples)
    count = min(len(real), len(made))
    return {
        "kid": kernel_distance(real, made),
        **precision_recall(real[:count], made[:count]),
        **copy_check(features.extract(data.train), real, made),
        "confident_share": confident_share(features, samples),
    }


def padding_norm(model: InnAutoencoder, pixels: np.ndarray) -> float:
    """Root mean square of the latent entries that decoding sets to zero."""
    pads = tf.function(
        lambda x: tf.reduce_mean(tf.square(model.latent(scaled(x))[1]), -1), reduce_retracing=True, autograph=False
    )
    return float(math.sqrt(np.mean(np.concatenate([pads(pixels[i : i + 250]) for i in range(0, len(pixels), 250)]))))


def bits_per_dim(model: AutoencoderWithinFlow, pixels: np.ndarray, seed: int) -> float:
    """Bits per dimension of grey levels, with fresh noise."""
    part = tf.function(lambda x, seed: model.parts(scaled(x), seed)["bits_per_dim"], reduce_retracing=True, autograph=False)
    starts = range(0, len(pixels), 250)
    values = [float(part(pixels[i : i + 250], tf.constant([seed, i]))) * len(pixels[i : i + 250]) for i in starts]
    return float(np.sum(values) / len(pixels))


def interpolation(traced: Traced, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Pixels of the images on the straight line between two codes, ends included."""
    share = np.linspace(0, 1, BETWEEN)[:, None]
    return to_pixels(traced.decode((1 - share) * start + share * end))


def at_other_bottlenecks(model: InnAutoencoder, bottlenecks: list[int], data: ImageData) -> dict[str, float]:
    """Test errors (L1) of a trained INN whose bottleneck is changed afterwards, which it is then given back."""
    own, found = model.bottleneck, {}
    x = scaled(data.test).numpy()
    try:
        for bottleneck in bottlenecks:
            model.bottleneck = bottleneck
            found[str(bottleneck)] = float(np.mean(np.abs(Traced(model).reconstruct(data.test) - x)))
    finally:
        model.bottleneck = own
    return found
