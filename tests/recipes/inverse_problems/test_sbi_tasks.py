"""The simulators of the five tasks: moments, supports, and densities that simulation confirms."""

import math

import numpy as np
import pytest
import tensorflow as tf

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.problems import PROBLEMS, simulate
from recipes.inverse_problems.problems.bernoulli_glm import design_matrix, precision_matrix
from recipes.inverse_problems.problems.reference import TASKS

N = 20_000


def forward(problem, theta, n=N, seed=3):
    return problem.forward(tf.tile(tf.constant([theta], tf.float32), [n, 1]), tf.constant([seed, 0])).numpy().astype(np.float64)


@pytest.mark.parametrize("task", TASKS)
def test_draws_are_a_function_of_the_seed_and_have_the_stated_shapes(task):
    problem = PROBLEMS[task]()
    x, y = simulate(problem, 50, 7)
    again = simulate(problem, 50, 7)
    assert x.shape == (50, problem.dim_x) and y.shape == (50, problem.dim_y) and not problem.deterministic
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])
    assert not np.array_equal(y, problem.forward(x, tf.constant([1, 1])))
    graph = tf.function(problem.forward, input_signature=[tf.TensorSpec([None, problem.dim_x]), tf.TensorSpec([2], tf.int32)])
    assert np.allclose(graph(x, tf.constant([1, 1])), problem.forward(x, tf.constant([1, 1])), atol=1e-5)


@pytest.mark.parametrize(("task", "edge"), [("two_moons", 1.0), ("gaussian_mixture", 10.0), ("slcp", 3.0)])
def test_uniform_priors_become_standard_normal(task, edge):
    problem = PROBLEMS[task]()
    x = problem.prior(N, tf.constant([0, 0]))
    assert np.abs(x).max() <= edge and np.allclose(np.std(x, 0), edge / math.sqrt(3), rtol=0.02)
    assert np.allclose(problem.log_prior(x[:3]), -problem.dim_x * math.log(2 * edge))
    coordinates = Coordinates.of(problem, N, 0)
    assert np.abs(coordinates.x_mean).max() < 0.03 and np.allclose(coordinates.x_sd, 1.0, atol=0.02)


def test_two_moons_is_a_crescent_round_a_point_that_two_places_share():
    problem, theta = PROBLEMS["two_moons"](), np.array([0.3, 0.5])
    y = forward(problem, theta)
    centre = np.array([0.25 - 0.8 / math.sqrt(2), 0.2 / math.sqrt(2)])
    radius, angle = np.hypot(*(y - centre).T), np.arctan2(*(y - centre).T[::-1])
    assert abs(radius.mean() - 0.1) < 5e-4 and abs(radius.std() - 0.01) < 5e-4
    assert np.abs(angle).max() < math.pi / 2 + 1e-3 and abs(angle.std() - math.pi / math.sqrt(12)) < 0.02
    assert np.allclose(forward(problem, -theta[::-1], 5), forward(problem, theta, 5), atol=1e-6)


def test_gaussian_linear_has_the_posterior_of_its_docstring():
    x, y = (a.numpy().astype(np.float64) for a in simulate(PROBLEMS["gaussian_linear"](), N, 0))
    slope = np.linalg.lstsq(y, x, rcond=None)[0]
    assert np.allclose(slope, 0.5 * np.eye(10), atol=0.02)
    assert np.allclose(np.cov((x - y / 2).T), 0.05 * np.eye(10), atol=0.002)


def test_gaussian_mixture_chooses_once_for_both_coordinates():
    error = forward(PROBLEMS["gaussian_mixture"](), [2.0, -3.0]) - [2.0, -3.0]
    assert np.allclose((error**2).mean(0), (1 + 0.01) / 2, atol=0.03)
    both = np.mean((error[:, 0] ** 2 - 0.505) * (error[:, 1] ** 2 - 0.505))
    assert both == pytest.approx(0.495**2, abs=0.06)  # zero, if each coordinate had its own choice


def test_slcp_draws_have_the_stated_covariance_and_any_order():
    problem = PROBLEMS["slcp"]()
    theta = [0.7, -2.9, 1.2, -0.9, 0.6]
    draws = forward(problem, theta).reshape(N, 4, 2)
    s1, s2, r = 1.44, 0.81, math.tanh(0.6)
    expected = [[s1**2, r * s1 * s2], [r * s1 * s2, s2**2]]
    assert np.allclose(draws.mean(0), theta[:2], atol=0.04)
    assert np.allclose(np.cov(draws.reshape(-1, 2).T), expected, rtol=0.03)
    assert abs(np.cov(draws[:, 0, 0], draws[:, 1, 0])[0, 1]) < 0.06
    y = tf.constant(np.arange(16.0).reshape(2, 8), tf.float32)
    orders = {tuple(problem.symmetric(y, tf.constant([s, 0])).numpy()[0].astype(int)) for s in range(40)}
    assert len(orders) > 10 and all(sorted(o) == list(range(8)) and o[0] % 2 == 0 and o[1] == o[0] + 1 for o in orders)
    assert np.array_equal(PROBLEMS["slcp_ordered"]().symmetric(y, tf.constant([1, 0])), y)


def test_slcp_stays_finite_where_its_deviations_vanish():
    y = forward(PROBLEMS["slcp"](), [1.0, 2.0, 0.0, 0.0, 3.0], 2000)
    assert np.isfinite(y).all() and np.allclose(y.std(0), 1e-3, rtol=0.1)


def test_bernoulli_glm_has_the_moments_of_its_spikes():
    problem, design = PROBLEMS["bernoulli_glm"](), design_matrix()
    assert np.abs(design[:3, 1:4] - [[0.49671, 0, 0], [-0.13826, 0.49671, 0], [0.64769, -0.13826, 0.49671]]).max() < 1e-5
    theta = problem.prior(1, tf.constant([5, 0])).numpy()[0].astype(np.float64)
    rate = 1 / (1 + np.exp(-design @ theta))
    y = forward(problem, theta)
    assert np.array_equal(y[:, 0], np.round(y[:, 0])) and y[:, 0].max() <= 100
    assert np.allclose(y.mean(0), design.T @ rate, atol=0.15)
    assert np.allclose(np.cov(y.T), design.T @ (design * (rate * (1 - rate))[:, None]), atol=0.6)


def test_the_glm_prior_is_the_normal_of_its_precision():
    problem = PROBLEMS["bernoulli_glm"]()
    x = problem.prior(N, tf.constant([0, 1])).numpy().astype(np.float64)
    assert np.allclose(np.cov(x.T), np.linalg.inv(precision_matrix()), atol=0.12)
    gaps = problem.log_prior(tf.constant(x[:2], tf.float32)).numpy()
    squares = np.einsum("ni,ij,nj->n", x[:2], precision_matrix(), x[:2])
    assert gaps[0] - gaps[1] == pytest.approx(0.5 * (squares[1] - squares[0]), rel=1e-3)


def test_independent_draws_share_their_standardization():
    coordinates = Coordinates.of(PROBLEMS["slcp"](), 500, 0)
    assert np.array_equal(coordinates.y_sd[:2], coordinates.y_sd[6:]) and coordinates.y_sd[0] != coordinates.y_sd[1]
