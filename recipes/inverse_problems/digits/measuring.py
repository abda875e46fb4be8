"""What is measured of samples of the hidden pixels: agreement, spread, sharpness, calibration, and what a classifier sees."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from inntf.calibration import RankTest, expected_coverage, sbc_test, tarp
from inntf.stability import condition_number, reconstruction_error, summarize
from recipes.common import digits_classifier
from recipes.inverse_problems.digits.observing import Observing
from recipes.inverse_problems.digits.settings import Config
from recipes.inverse_problems.digits.training import Trained

_SEED = 7_000_001
TESTS = ("sbc", "coverage", "tarp")


def spread(samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How far samples are from the truth and from each other; hidden pixels from 0 to 1.

    A point mass at the samples' mean is what a regression could answer at best.  Energy scores, `E|s - x| - E|s - s'| / 2`
    with l2 norms, are lowest for the right distribution.

    Args:
        samples: `(n, m, ...)`.
        truth: `(n, ...)`.

    Returns:
        `sd`: mean over pixels and images.  `error_of_mean`, `error_of_samples`: root mean squares.  `spread_over_error`: the
        root mean variance, corrected for m, over the error of the mean: 1 for a calibrated posterior.  `energy_score`, and
        `energy_score_of_mean`.
    """
    n, m = samples.shape[:2]
    s, x = samples.reshape(n, m, -1).astype(np.float64), truth.reshape(n, -1).astype(np.float64)
    mean, variance = s.mean(1), s.var(1, ddof=1)
    to_truth = np.linalg.norm(s - x[:, None], axis=-1).mean()
    apart = np.mean([np.linalg.norm(row[:, None] - row[None], axis=-1).sum() / (m * (m - 1)) for row in s])
    error = np.sqrt(np.mean((mean - x) ** 2))
    return {
        "sd": float(np.sqrt(variance).mean()),
        "distance_between_samples": float(apart),
        "error_of_mean": float(error),
        "error_of_samples": float(np.sqrt(np.mean((s - x[:, None]) ** 2))),
        "spread_over_error": float(np.sqrt(variance.mean() * (1 + 1 / m)) / error),
        "energy_score": float(to_truth - apart / 2),
        "energy_score_of_mean": float(np.linalg.norm(mean - x, axis=-1).mean()),
    }


def summaries(hidden: np.ndarray, count: int) -> np.ndarray:
    """Mean of the hidden pixels, and `count` projections on random directions, the same in every run; `(..., 1 + count)`."""
    flat = hidden.reshape(*hidden.shape[:-3], -1).astype(np.float64)
    directions = np.random.default_rng(_SEED).normal(size=(flat.shape[-1], count)) / np.sqrt(flat.shape[-1])
    return np.concatenate([flat.mean(-1, keepdims=True), flat @ directions], -1)


def summary_names(count: int) -> list[str]:
    """Of `summaries`."""
    return ["mean", *(f"projection {i + 1}" for i in range(count))]


def calibration(samples: np.ndarray, truth: np.ndarray, config: Config) -> dict[str, RankTest]:
    """Ranks, coverage of central and one-sided intervals, and TARP of the summaries."""
    drawn, x = summaries(samples, config.projections), summaries(truth, config.projections)
    return {
        name: test(drawn, x, seed=config.seed) for name, test in zip(TESTS, (sbc_test, expected_coverage, tarp), strict=True)
    }


def rank_deviation(sbc: RankTest) -> float:
    """Root mean square over summaries of the ranks' deviation from the middle, over that of uniform ranks.

    A number of its own beside a p-value, which falls with the number of images: 1 if calibrated, above 1 for a posterior too
    narrow or shifted, below 1 for one too wide; sqrt(3) for a point mass.
    """
    m = sbc.n_samples
    return float(np.sqrt(np.mean((sbc.ranks - m / 2) ** 2) / (m * (m + 2) / 12)))


def resimulated(observing: Observing, samples: np.ndarray, levels: np.ndarray) -> float:
    """Largest difference of `y(whole sample)` and `y(truth)` over all pixels and samples, in the units of y."""
    whole = observing.whole(samples.astype(np.float32), levels)
    again = observing.y(tf.reshape(whole, [-1, *levels.shape[1:]]))
    wanted = tf.repeat(observing.y(levels), samples.shape[1], axis=0)
    return float(tf.reduce_max(tf.abs(again - wanted)))


def recognized(images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How often the kept classifier's first guess is the true digit, and with what probability.

    Args:
        images: `(n, m, 28, 28, 1)` uint8.
        labels: `(n,)`.

    Returns:
        `share`, `probability`, and `error`: the standard error of the share over the n images.
    """
    n, m = images.shape[:2]
    p = digits_classifier.kept().probabilities(images.reshape(n * m, *images.shape[2:])).reshape(n, m, -1)
    right = (p.argmax(-1) == labels[:, None]).mean(1)
    true = np.take_along_axis(p, np.broadcast_to(labels[:, None, None], (n, m, 1)), -1)
    return {"share": float(right.mean()), "probability": float(true.mean()), "error": float(right.std(ddof=1) / np.sqrt(n))}


def stability(trained: Trained, levels: tf.Tensor, config: Config) -> dict[str, float]:
    """Reconstruction of test images, l2 over hidden pixels on a scale of 1, and condition numbers at a few of them."""
    block, observing = trained.model.block, trained.observing
    x, y = observing.x(levels, [config.seed, _SEED]), observing.y(levels)
    parts = [
        reconstruction_error(block, x[i : i + 250], y[i : i + 250]).numpy()
        for i in range(0, min(len(x), config.test_images), 250)
    ]
    errors = summarize(np.concatenate(parts))
    few = config.jacobian_images
    conditions = condition_number(block, x[:few], y[:few]).numpy()
    return {
        "reconstruction_median": float(errors.median),
        "reconstruction_max": float(errors.max),
        "not_finite": float(errors.nonfinite_share),
        "condition_median": float(np.median(conditions)),
        "condition_max": float(np.max(conditions)),
    }
