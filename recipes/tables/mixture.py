"""The yardstick: Gaussian mixtures with full covariances, as many components as are best on validation rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from recipes.tables.data import Split
from recipes.tables.settings import Config


def best_mixture(data: Split, config: Config) -> dict[str, Any]:
    """Fit, choose, test; nats per row, of standardized columns."""
    train = data.noisy(data.train, config.seed + 303)
    middle, spread = data.train.mean(0), data.train.std(0)
    train, validation, test = ((rows - middle) / spread for rows in (train, data.validation, data.test))
    found, best = {}, None
    for count in tqdm(config.components, desc="mixtures", unit="fit"):
        mixture = GaussianMixture(count, covariance_type="full", max_iter=300, random_state=config.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(train)
        found[str(count)] = float(mixture.score(validation))
        if best is None or found[str(count)] == max(found.values()):
            best = count, mixture
    scores = best[1].score_samples(test)
    return {**summary(scores), "components": best[0], "validation_by_components": found}


def summary(log_probs: np.ndarray) -> dict[str, float]:
    """What is told of log-densities of test rows; their mean is over all of them, and infinite if one is."""
    finite = np.isfinite(log_probs)
    return {
        "test_nats": float(log_probs.mean()),
        "test_standard_error": float(log_probs.std() / np.sqrt(len(log_probs))),
        "test_median": float(np.median(log_probs)),
        "test_worst": float(log_probs.min()),
        "test_rows": len(log_probs),
        "test_nonfinite": int((~finite).sum()),
    }
