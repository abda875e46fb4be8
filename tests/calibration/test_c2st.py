"""The classifier test: sbibm's numbers, and a p-value that holds."""

import sys

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from inntf.calibration import c2st


def test_it_is_cross_validation_with_the_settings_of_sbibm():
    rng = np.random.default_rng(0)
    x, y = 5 + 3 * rng.normal(size=(150, 2)), 6 + 3 * rng.normal(size=(120, 2))
    found = c2st(x, y, max_iter=15)
    network = MLPClassifier(activation="relu", hidden_layer_sizes=(20, 20), max_iter=15, solver="adam", random_state=1)
    data = (np.concatenate([x, y]) - x.mean(0)) / x.std(0, ddof=1)
    folds = KFold(n_splits=5, shuffle=True, random_state=1)
    with pytest.warns(UserWarning):
        expected = cross_val_score(network, data, np.repeat([0, 1], [150, 120]), cv=folds, scoring="accuracy")
    np.testing.assert_array_equal(found.accuracies, expected)
    assert found.accuracy == expected.mean() and found.seconds > 0


def test_the_p_value_keeps_its_level_and_falls_where_samples_differ():
    rng = np.random.default_rng(0)
    p = [c2st(*rng.normal(size=(2, 40, 2)), seed=s, max_iter=3).p_value for s in range(20)]
    assert np.mean(np.array(p) <= 0.05) <= 0.1 and np.mean(p) > 0.4
    x = rng.normal(size=(2, 300, 2))
    assert c2st(x[0], x[1] + 1.5, max_iter=20).p_value < 1e-6


def test_samples_of_one_value_and_a_far_away_set():
    x = np.random.default_rng(0).normal(size=(60, 2)) * [1, 0]
    assert c2st(x, x + 5, max_iter=50).accuracy > 0.9


def test_errors(monkeypatch):
    x = np.zeros((20, 2))
    with pytest.raises(ValueError, match=r"reference of shape \(20, 2\) and samples of shape \(20, 1\)"):
        c2st(x, x[:, :1])
    with pytest.raises(ValueError, match="5 rows or more"):
        c2st(x[:4], x)
    with pytest.raises(ValueError, match="40 numbers in samples that are NaN"):
        c2st(x, x * np.nan)
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(ImportError, match=r'pip install "inntf\[recipes\]"'):
        c2st(x, x)
