"""What is measured of a trained flow: its likelihood, the attack, inputs unlike the data, and certificates in balls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import Flow
from inntf.stability import amplification, attack, dequantization_bin, float64_copy, out_of_distribution, summarize
from recipes.attack import images
from recipes.attack.settings import Config
from recipes.attack.training import noisy_test
from recipes.common.bits_per_dim import BitsPerDim
from recipes.common.image_data import ImageData

NOISE = ("gaussian", "uniform", "rademacher")
SHOWN = 4


def measure(flow: Flow, data: ImageData, config: Config) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers, and arrays for the figures."""
    test = noisy_test(data, config)
    attacked, arrays = measure_attack(flow, data, config)
    unlike = out_of_distribution(
        flow,
        test[: config.unlike],
        data_range=(0.0, 1.0),
        passes=config.passes,
        seed=config.seed,
        float64=False,
    )
    slopes = amplification(
        flow, arrays["centre"][: config.certified], radius=config.ball, points=config.ball_points, steps=10, seed=config.seed
    )
    numbers = {
        "bits_per_dim": BitsPerDim(flow, config.bits)(test),
        "weights": int(sum(np.prod(w.shape) for w in flow.block.trainable_weights)),
        "attack": attacked,
        "unlike": {
            name: {
                **found.summary._asdict(),
                "ratio": unlike.ratio(name),
                "after_passes": summarize(found.errors[-1])._asdict(),
                "pixels": summarize(found.pixels[0])._asdict(),
            }
            for name, found in unlike.sets.items()
        },
        "ball": {
            "radius": config.ball,
            "attacked": slopes.attacked.tolist(),
            "sampled": slopes.sampled.tolist(),
            "certified": slopes.certified.tolist(),
            "ordered": bool(slopes.ordered.all()),
        },
    }
    shown = {f"unlike_{name}": np.stack([found.samples, found.reconstructed]) for name, found in unlike.sets.items()}
    return numbers, arrays | {name: pair[:, :SHOWN] for name, pair in shown.items()}


def measure_attack(flow: Flow, data: ImageData, config: Config) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The attack on the first training images, in their bins, which it may not leave; of several starts the worst counts."""
    level = images.levels(data.train[: config.attacked], config.bits).astype(np.float32)
    centre, radius = dequantization_bin((level + 0.5) / 2**config.bits, config.bits)
    found = attack(
        flow,
        centre,
        radius=radius,
        steps=config.attack_steps,
        step_size=config.step_size,
        starts=config.starts,
        latent_noise=config.latent_noise,
        seed=config.seed,
    )
    wide = float64_copy(flow.block)
    z = wide.forward_and_log_det(tf.constant(found.adversarial, tf.float64))[0]
    exact = np.linalg.norm((wide.inverse_and_log_det(z)[0].numpy() - found.adversarial).reshape(len(centre), -1), axis=1)
    away = np.abs(found.adversarial.astype(np.float64) - centre)  # exact: both are float32
    everywhere = np.where(np.isfinite(found.error), found.error, np.inf)
    growth = found.growth[np.isfinite(found.start_error)]  # what is lost at the centre already does not grow
    numbers = {
        "start_error": summarize(found.start_error)._asdict(),
        "error": summarize(found.error)._asdict(),
        "largest_error": float(everywhere.max()),
        "median_growth": float(np.median(growth)) if growth.size else math.nan,
        "least_growth": float(growth.min()) if growth.size else math.nan,
        "nonfinite_share": found.nonfinite_share,
        "nonfinite_at": found.broken_at.tolist(),
        "inside": bool((away < radius).all()),
        "largest_change": float(away.max() / radius),
        "error_float64": summarize(exact)._asdict(),
    }
    worst = np.where(np.isfinite(found.errors), found.errors, np.inf).max(1)
    arrays = {"errors": worst, "nonfinite_at": found.broken_at, "centre": centre}
    arrays |= {"adversarial": found.adversarial, "reconstructed": found.reconstructed}
    return numbers, arrays
