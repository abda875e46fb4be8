"""C2ST: can a classifier tell samples from a reference?"""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np
import scipy

from inntf.calibration.optional import optional_module
from inntf.calibration.two_samples import checked_sets


@dataclasses.dataclass(frozen=True)
class C2st:
    """What `c2st` returns.

    Attributes:
        accuracy: of held-out samples, the mean over the folds: 0.5 where nothing is told apart, 1 where everything is.
        p_value: that of an accuracy as high for samples of one distribution; valid, and conservative.
        accuracies: `(folds,)`.
        seconds: what it took.
    """

    accuracy: float
    p_value: float
    accuracies: np.ndarray
    seconds: float


def c2st(reference: Any, samples: Any, *, seed: int = 1, folds: int = 5, z_score: bool = True, max_iter: int = 10_000) -> C2st:
    r"""Classifier two-sample test with the settings of the package `sbibm`, so that numbers compare with published ones.

    scikit-learn's `MLPClassifier`: two hidden layers of `10 * dim` ReLU units, Adam, all else by default; all samples in
    standard deviations of the reference; accuracy by cross-validation on shuffled folds.  10,000 against 10,000 samples take
    between ten seconds and some minutes.

    The p-value: in each fold Fisher's exact test of predicted against true labels, which knows nothing of the training; over
    the folds, which share data, twice the median, valid whatever their dependence.

    Args:
        reference: `(n, dim)`, the one that scales.
        samples: `(m, dim)`; the accuracy of a coin is 0.5 for `m = n` only.
        seed: of the network and of the folds; sbibm's is 1.
        folds: of the cross-validation.
        z_score: whether to scale.
        max_iter: epochs at most; training stops by itself long before.

    Returns:
        A `C2st`.

    Raises:
        ImportError: without scikit-learn, which the extra `recipes` brings.
        ValueError: for other shapes, fewer samples than folds, or values that are not finite.

    Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017); Lueckmann et al., "Benchmarking
        simulation-based inference" (2021), appendix M; Rueschendorf, "Random variables with maximum sums" (1982), for the
        median.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> found = c2st(x[:200], x[200:] + 2.0, max_iter=20)
        >>> found.accuracy > 0.8, found.p_value < 0.001
        (True, True)
    """
    reference, samples = checked_sets("c2st", ("reference", "samples"), reference, samples, max(2, folds))
    networks = optional_module("c2st", "sklearn.neural_network", "scikit-learn")
    selection = optional_module("c2st", "sklearn.model_selection", "scikit-learn")
    start = time.perf_counter()
    if z_score:
        mean, deviation = reference.mean(0), reference.std(0, ddof=1)
        deviation[deviation == 0] = 1
        reference, samples = (reference - mean) / deviation, (samples - mean) / deviation
    data = np.concatenate([reference, samples])
    labels = np.concatenate([np.zeros(len(reference)), np.ones(len(samples))])
    width = 10 * data.shape[1]
    accuracies, p_values = [], []
    for train, test in selection.KFold(folds, shuffle=True, random_state=seed).split(data):
        network = networks.MLPClassifier((width, width), max_iter=max_iter, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that `max_iter` was reached, where it is small by intention
            predicted = network.fit(data[train], labels[train]).predict(data[test])
        accuracies.append(float(np.mean(predicted == labels[test])))
        table = [[np.sum((predicted == p) & (labels[test] == t)) for t in (0, 1)] for p in (0, 1)]
        p_values.append(scipy.stats.fisher_exact(table, alternative="greater").pvalue)
    p_value = min(1.0, 2 * float(np.median(p_values)))
    return C2st(float(np.mean(accuracies)), p_value, np.array(accuracies), time.perf_counter() - start)
