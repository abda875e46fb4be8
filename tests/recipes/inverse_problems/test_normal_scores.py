"""Observations by their normal scores."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import kstest, norm

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.normal_scores import NormalScores
from recipes.inverse_problems.problems import problem_named


def test_scores_of_a_known_distribution():
    draws = np.random.default_rng(0).exponential(size=(400_000, 1))
    scores = NormalScores.of(draws)
    y = np.array([[0.01], [0.1], [0.7], [2.0], [6.0]], np.float32)
    exact = norm.ppf(-np.expm1(-y.astype(np.float64)))
    np.testing.assert_allclose(scores(tf.constant(y)), exact, atol=0.02)


def test_fresh_draws_are_standard_normal():
    rng = np.random.default_rng(1)
    scores = NormalScores.of(rng.gamma(2.0, size=(200_000, 2)) * [1.0, -30.0])
    w = scores(tf.constant((rng.gamma(2.0, size=(2000, 2)) * [1.0, -30.0]).astype(np.float32))).numpy()
    assert all(kstest(column, "norm").pvalue > 0.01 for column in w.T)


@pytest.mark.parametrize(
    "draws",
    [np.zeros((1000, 1)), np.repeat(np.arange(3.0), 400)[:, None], np.full((1000, 1), 1000.0)],
    ids=["constant", "three values", "large"],
)
def test_equal_observations_keep_the_map_increasing_and_finite(draws):
    scores = NormalScores.of(draws)
    assert (np.diff(scores.quantiles) > 0).all()
    y = (draws.mean() + np.linspace(-1.0, 3.0, 401, dtype=np.float32)[:, None]).astype(np.float32)
    w = scores(tf.constant(y)).numpy()
    assert np.isfinite(w).all() and (np.diff(w[:, 0]) >= 0).all()


def test_what_cannot_be_observed_is_a_few_deviations_off():
    """The reach of the arm is 2; one score is a small part of a deviation there, but not beyond it."""
    observed = Coordinates.of(problem_named("kinematics"), n=20_000).observed
    near, reach, beyond = observed(tf.constant([[0.0, 1.99], [0.0, 1.999], [0.0, 2.5]])).numpy()[:, 1]
    assert reach - near > 0.5
    assert 4.0 < beyond < 8.0


def test_dynamic_and_empty_batches_in_a_graph():
    scores = NormalScores.of(np.random.default_rng(2).normal(size=(1000, 2)))
    traced = tf.function(scores, input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    assert traced(tf.zeros([0, 2])).shape == (0, 2)
    np.testing.assert_allclose(traced(tf.ones([3, 2])), scores(tf.ones([3, 2])))


def test_tasks_with_noise_keep_standardized_observations():
    task = Coordinates.of(problem_named("two_moons"), n=1000)
    assert task.scores is None
    np.testing.assert_allclose(task.observed(tf.constant(task.y_mean[None])), np.zeros((1, 2)), atol=1e-6)
