"""What is measured of a flow: its likelihood, its inverse on test images and on others, singular values of its Jacobian."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.random_states import same_draws
from inntf.models import Flow
from inntf.stability import certify, out_of_distribution, singular_values, summarize
from inntf.training import certify_spectral_norms
from recipes.common.bits_per_dim import BitsPerDim
from recipes.common.image_data import ImageData
from recipes.density.images import BITS, OTHER, TEST, noisy
from recipes.density.settings import Config

RANGE = (-0.5, 0.5)
NOISE_SETS = ("gaussian", "uniform", "rademacher")
SHOWN = 4
_LIKELIHOOD_IMAGES = 256  # of a look


class Measurer:
    """A flow, looked at again and again: all that it is measured by is traced once, whatever its weights become.

    Args:
        flow: built, over images on [-1/2, 1/2].
        config: settings of the run.
        data: the images.

    Attributes:
        flow: the flow.
        test: test images with the noise of dequantization.
        watched: the first of them.
    """

    def __init__(self, flow: Flow, config: Config, data: ImageData):
        self.flow, self.config = flow, config
        count = max(config.test_images, config.watched, config.unlike)
        self.test = noisy(data.test[:count], config, TEST)
        self.watched = self.test[: config.watched]
        self.bits_per_dim = BitsPerDim(flow, BITS)
        block, images = flow.block, tf.TensorSpec([None, *flow.event_shape], tf.float32)
        self.round_trip = tf.function(
            lambda x: block.inverse_and_log_det(block.forward_and_log_det(x)[0])[0], [images], autograph=False
        )

    def look(self) -> dict[str, Any]:
        """Numbers over training: likelihood, errors of the watched test images, singular values at some of them."""
        misses = self.round_trip(self.watched).numpy().astype(np.float64) - self.watched.numpy()
        with np.errstate(all="ignore"):
            squares = np.mean(misses**2, (1, 2, 3))
        squares[~np.isfinite(squares)] = np.inf
        lengths = np.sqrt(squares * np.prod(misses.shape[1:]))
        return {
            "test_bits_per_dim": self.bits_per_dim(self.test[:_LIKELIHOOD_IMAGES]),
            "squared_error_per_pixel": float(np.median(squares)),
            "squared_error_per_pixel_max": float(squares.max()),
            "reconstruction_error": float(lengths.max()),
            "reconstruction_error_median": float(np.median(lengths)),
            "nonfinite_share": float(np.mean(~np.isfinite(squares))),
            **self.spectrum(),
        }

    @contextlib.contextmanager
    def certified(self) -> Iterator[None]:
        """Spectral norms that hold inside of this `with`, as an inverse needs them.

        Behind it weights and random states are as before: a run that goes on does not look again at what it has looked at.
        """
        kept = self.flow.block.get_weights()
        certify_spectral_norms(self.flow.block, rescale=True)
        try:
            with same_draws(self.flow.block):
                yield
        finally:
            self.flow.block.set_weights(kept)

    def spectrum(self) -> dict[str, Any]:
        """Singular values of the Jacobian in float64: the mathematics, without rounding.

        The condition number is the median over images; the singular values are the largest and the smallest of all.
        """
        x = self.watched[: self.config.jacobian_images]
        options = {"method": "lanczos", "iterations": 50, "tolerance": 1e-2, "precision": "float64"}
        found = singular_values(self.flow, x, **options)
        return {
            "condition_number": float(np.median(found.condition_number)),
            "largest_singular_value": float(np.max(found.largest)),
            "smallest_singular_value": float(np.min(found.smallest)),
            "singular_values_unverified": int(np.sum(~found.consistent.numpy())),
        }

    def pictures(self, x: Any) -> np.ndarray:
        """Images, what one pass forward and back leaves of them, and what all passes leave: `(3, n, ...)`."""
        seen = [tf.constant(x, tf.float32)]
        for _ in range(self.config.passes):
            seen.append(self.round_trip(seen[-1]))
        return np.stack([seen[i].numpy() for i in (0, 1, -1)])

    def final(self, others: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What is reported of a trained flow, and pictures of every set of inputs as `pictures` returns them."""
        config, count = self.config, self.config.unlike
        more = {name: noisy(pixels, config, OTHER).numpy() for name, pixels in others.items()}
        more["samples"] = self.flow.sample(count, seed=config.seed).numpy()
        found = out_of_distribution(
            self.flow,
            self.test[:count],
            others=more,
            data_range=RANGE,
            passes=config.passes,
            seed=config.seed,
            float64=False,
        )
        numbers = {
            **self.look(),
            "bits_per_dim": self.bits_per_dim(self.test[: config.test_images]),
            "weights": int(sum(np.prod(w.shape) for w in self.flow.block.trainable_weights)),
            "unlike": {name: {**of_a_set(one.errors), "ratio": found.ratio(name)} for name, one in found.sets.items()},
            "certificate": certificate(self.flow),
        }
        return numbers, {name: self.pictures(one.samples[:SHOWN]) for name, one in found.sets.items()}


def of_a_set(errors: np.ndarray) -> dict[str, Any]:
    """As a row of the papers' table 5: the share that is not finite, smallest, mean and largest of the others; our median.

    Args:
        errors: `(passes, count)`, l2.
    """
    finite = errors[0][np.isfinite(errors[0])]
    low, mean, high = (finite.min(), finite.mean(), finite.max()) if len(finite) else (np.inf,) * 3
    after = summarize(errors[-1])
    return {
        "nonfinite_share": float(1 - len(finite) / errors.shape[1]),
        "min": float(low),
        "mean": float(mean),
        "max": float(high),
        "median": summarize(errors[0]).median,
        "median_after_passes": after.median,
        "nonfinite_share_after_passes": after.nonfinite_share,
    }


def certificate(flow: Flow) -> dict[str, Any]:
    """Global bounds on the Lipschitz constants of both directions, or those on the box of the data if there are none."""
    found = certify(flow)
    if not found.bounded:
        on_data = certify(flow, RANGE)
        found = on_data if on_data.bounded else found
    bounds = found.bounds
    return {
        "forward": float(bounds.forward),
        "inverse": float(bounds.inverse),
        "scope": bounds.scope,
        "reason": bounds.reason,
    }
