"""What is measured of a trained variant: likelihood, inverse, singular values, samples, the refitted prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import FlowGan, refit_prior
from inntf.stability import summarize
from inntf.training import write_stability
from recipes.common.fid import Features, as_pixels, confident_share, sample_quality
from recipes.common.image_data import ImageData
from recipes.flowgan import models
from recipes.flowgan.settings import Config

PASSED = 32  # test images that go forward and back again and again
SHOWN = 8


def measure(
    gan: FlowGan,
    flow: models.TracedFlow,
    data: ImageData,
    features: Features,
    config: Config,
    stability: tf.summary.SummaryWriter,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Likelihood, inverse, singular values, samples, refitted prior of one trained flow, and its pictures.

    The pictures, as pixels, are samples, samples after the prior is refitted, and nine passes forward and back of the images
    that these change most.
    """
    test, train_x = models.scaled(data.test, 1), models.scaled(data.train, 2)
    on_train, on_test = flow.latents(train_x), flow.latents(test)
    log_prob = on_test.log_prob()
    passes = flow.passes(test[:PASSED], config.passes)
    after = distances(passes[0], passes[-1])
    # In float64: rounding hides singular values below 1e-7 of the largest, and with them a condition number beyond 1e7.
    jacobian = {"samples": config.jacobian_images, "iterations": 25, "tolerance": 0.05, "precision": "float64"}
    steps = config.steps(gan.objective)
    inverse, _ = write_stability(stability, gan.block, test[:PASSED], steps, passes=config.passes, **jacobian)
    all_samples = flow.sample(config.fid_images, config.seed)
    samples, broken = as_pixels(all_samples)
    bounds = gan.block.lipschitz_bounds()
    out = {
        "bits_per_dim": _bits(gan, log_prob),
        "log_prob_nonfinite_share": float(np.mean(~np.isfinite(log_prob))),
        "log_det_mean": float(np.mean(on_test.log_det)),
        "reconstruction_error": summarize(distances(test[:256], flow.passes(test[:256], 1)[1]))._asdict(),
        "reconstruction_error_after_9_passes": summarize(after)._asdict(),
        "largest_singular_value": inverse["largest_singular_value"],
        "smallest_singular_value": inverse["smallest_singular_value"],
        "condition_number": inverse["condition_number"],
        "condition_number_at_least": inverse["condition_number_at_least"],
        "singular_values_unverified": inverse["singular_values_unverified"],
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        **sample_quality(features, data.test[: config.fid_images], samples[: len(data.test)]),
        "confident_share": confident_share(features, samples),
        "samples_nonfinite_share": broken,
        "weights": int(sum(np.prod(w.shape) for w in gan.block.trainable_weights)),
    }
    out["prior_refit"], scale = measure_refit(gan, on_train, on_test)
    pictures = {
        "samples": all_samples[:32],
        "refitted": np.full((32, *data.shape), np.nan) if scale is None else flow.sample(32, config.seed, scale),
        "passes": models.to_pixels(passes[:, most_changed(after, SHOWN)]),
    }
    return out, {name: images.astype(np.float32) for name, images in pictures.items()}


def measure_refit(gan: FlowGan, on_train: models.Latents, on_test: models.Latents) -> tuple[dict[str, Any], np.ndarray | None]:
    """Bits/dim before and after fitting the base's variance, in closed form and by gradient, and the former's deviations."""
    out: dict[str, Any] = {}
    try:
        second = on_train.second_moment()
        fits = {m: refit_prior(gan.flow, second_moment=second, method=m) for m in ("closed_form", "gradient")}
    except ValueError as error:
        return {"failed": str(error)}, None
    for split, images in (("train", on_train), ("test", on_test)):
        out[f"{split}_before"] = _bits(gan, images.log_prob())
        for method, fit in fits.items():
            out[f"{split}_{method}"] = _bits(gan, images.log_prob(fit.scale))
    out["gain_nats_closed_form"], out["gain_nats_gradient"] = fits["closed_form"].gain, fits["gradient"].gain
    out["relative_difference"] = abs(fits["gradient"].gain / fits["closed_form"].gain - 1) if fits["closed_form"].gain else 0.0
    return out, np.asarray(fits["closed_form"].scale)


def distances(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`|x - other|_2` of each image."""
    return np.linalg.norm((x.astype(np.float64) - other).reshape(len(x), -1), axis=1)


def most_changed(changes: np.ndarray, count: int) -> np.ndarray:
    """Indices of the largest changes, those that are not finite first."""
    return np.argsort(-np.nan_to_num(changes, nan=np.inf, posinf=np.inf), kind="stable")[:count]


def _bits(gan: FlowGan, log_prob: np.ndarray) -> float:
    return float(gan.bits_per_dim(tf.constant(-np.mean(log_prob.astype(np.float64)))))
