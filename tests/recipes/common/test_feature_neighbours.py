"""Precision, recall and the check for copies, on points whose answers are known."""

import numpy as np
import pytest

from recipes.common.errors import UserError
from recipes.common.feature_neighbours import copy_check, distances, nearest, precision_recall


def points(count, seed, dims=4):
    return np.random.default_rng(seed).normal(size=(count, dims))


def test_equal_distributions_have_high_values_and_half_of_one_has_half_the_recall():
    real, made = points(400, 0, 2), points(400, 1, 2)
    both = precision_recall(real, made)
    assert both["precision"] > 0.9 and both["recall"] > 0.9
    half = precision_recall(real, made[made[:, 0] > 0])
    assert half["precision"] > 0.9 and 0.4 < half["recall"] < 0.65
    half = precision_recall(real[real[:, 0] > 0], made)
    assert half["recall"] > 0.9 and 0.4 < half["precision"] < 0.65


def test_copies_are_found_and_new_points_are_none():
    train, test, new = points(500, 0), points(500, 1), points(500, 2)
    assert copy_check(train, test, new)["copied_share"] < 0.04
    assert copy_check(train, test, new)["nearest_ratio"] == pytest.approx(1, abs=0.1)
    third = np.concatenate([train[:100] + 1e-4, new[:200]])
    assert copy_check(train, test, third)["copied_share"] == pytest.approx(1 / 3, abs=0.03)
    assert copy_check(train, test, new + 10)["nearest_ratio"] > 5


def test_distances_are_those_of_numpy():
    a, b = points(300, 0) + 100, points(20, 1) + 100
    np.testing.assert_allclose(distances(a, b), np.linalg.norm(a[:, None] - b[None], axis=-1), rtol=1e-9)
    assert np.all(np.diag(distances(a, a)) == 0)
    np.testing.assert_allclose(nearest(a, b), distances(a, b).min(1), rtol=1e-12)


def test_too_few_points_are_refused():
    with pytest.raises(UserError, match="at least 4"):
        precision_recall(points(3, 0), points(10, 1))
