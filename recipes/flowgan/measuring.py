"""What is measured of a trained variant: likelihood, inverse, singular values, samples, the refitted prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.models import Flow, FlowGan, refit_prior
from inntf.stability import reconstruction_error, repeated_reconstruction, singular_summary, singular_values, summarize
from recipes.common.fid import Features, as_pixels, confident_share, sample_quality
from recipes.common.image_data import ImageData
from recipes.flowgan import models
from recipes.flowgan.settings import Config


def measure(gan: FlowGan, data: ImageData, features: Features, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Likelihood, inverse, singular values, samples, refitted prior of one trained flow, and its pictures.

    The pictures are samples, samples after the prior is refitted, and nine passes forward and back, as pixels.
    """
    flow = gan.flow
    test, train_x = models.scaled(data.test, 1), models.scaled(data.train, 2)
    on_train, on_test = models.latents(flow, train_x, test)
    log_prob = on_test.log_prob()
    parts = [reconstruction_error(flow, test[i : i + 64]).numpy() for i in range(0, min(256, len(test)), 64)]
    errors = summarize(np.concatenate(parts))
    # In float64: rounding hides singular values below 1e-7 of the largest, and with them a condition number beyond 1e7.
    jacobian = {"iterations": 25, "tolerance": 1e-2, "precision": "float64"}
    spectrum = singular_summary(singular_values(flow, test[: config.jacobian_images], **jacobian))
    passes = repeated_reconstruction(flow, test[:32], 9)
    all_samples = models.Sampler(flow)(config.fid_images, config.seed)
    samples, broken = as_pixels(all_samples)
    bounds = gan.block.lipschitz_bounds()
    out = {
        "bits_per_dim": _bits(gan, log_prob),
        "log_prob_nonfinite_share": float(np.mean(~np.isfinite(log_prob))),
        "log_det_mean": float(np.mean(on_test.log_det)),
        "reconstruction_error": errors._asdict(),
        "reconstruction_error_after_9_passes": summarize(passes.errors[-1])._asdict(),
        "largest_singular_value": spectrum["largest"],
        "smallest_singular_value": spectrum["smallest"],
        "condition_number": spectrum["condition_number"],
        "condition_number_at_least": spectrum["condition_at_least"],
        "singular_values_unverified": spectrum["unverified"],
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        **sample_quality(features, data.test[: config.fid_images], samples[: len(data.test)]),
        "confident_share": confident_share(features, samples),
        "samples_nonfinite_share": broken,
        "weights": int(sum(np.prod(w.shape) for w in gan.block.trainable_weights)),
    }
    out["prior_refit"], refitted = measure_refit(gan, on_train, on_test)
    pictures = {
        "samples": all_samples[:32],
        "refitted": np.full((32, *data.shape), np.nan) if refitted is None else models.Sampler(refitted)(32, config.seed),
        "passes": models.to_pixels(passes.samples[:, :8]),
    }
    return out, {name: images.astype(np.float32) for name, images in pictures.items()}


def measure_refit(gan: FlowGan, on_train: models.Latents, on_test: models.Latents) -> tuple[dict[str, Any], Flow | None]:
    """Bits/dim before and after fitting the base's variance, in closed form and by gradient, and the flow with the first."""
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
    return out, fits["closed_form"].flow


def _bits(gan: FlowGan, log_prob: np.ndarray) -> float:
    return float(gan.bits_per_dim(tf.constant(-np.mean(log_prob.astype(np.float64)))))
