"""Coordinates within supports: round trips, densities, and what an interval can never leave."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.problems import Ballistics, Kinematics, simulate
from recipes.inverse_problems.problems.supports import Count, Interval
from recipes.inverse_problems.training import make_pairs


def test_parameters_come_back():
    for problem in (Kinematics(), Ballistics()):
        coordinates = Coordinates.of(problem, 2000)
        x = simulate(problem, 500, 1)[0]
        v = coordinates.standardized(x, tf.constant([0, 1]))
        np.testing.assert_allclose(coordinates.parameters(v), x, atol=2e-5)
        assert np.abs(v.numpy().mean(0)).max() < 0.2 and np.abs(v.numpy().std(0) - 1).max() < 0.2


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6, width=32))
def test_no_number_leaves_an_interval(u):
    x = float(Interval(0.25, 0.5).from_real(tf.constant(u)))
    assert 0.25 <= x <= 0.5


def test_an_interval_makes_a_uniform_prior_normal():
    support = Interval(-3.0, 3.0)
    x = tf.constant([-3.0, -2.9999998, -1.0, 0.0, 1.0, 2.9999998, 3.0])
    u = support.to_real(x, tf.zeros(7)).numpy()
    assert np.isfinite(u).all() and (np.diff(u) >= 0).all()
    np.testing.assert_allclose(u, -u[::-1], atol=1e-6)
    point = tf.constant([-1.3, 0.2, 2.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = support.from_real(point)
    np.testing.assert_allclose(tf.math.log(tape.gradient(value, point)), support.log_slope(point), rtol=1e-10)


def test_counts_are_rounded_and_never_negative():
    x = tf.constant([0.0, 1.0, 7.0])
    for noise in (0.0, 0.5, 0.999):
        np.testing.assert_array_equal(Count().from_real(Count().to_real(x, tf.fill([3], noise)) + 1e-4), x)
    assert float(Count().from_real(tf.constant(-3.0))) == 0.0


def test_pairs_of_supervised_models_belong_to_the_noisy_counts():
    problem, coordinates = Ballistics(), Coordinates.of(Ballistics(), 2000)
    plain, noisy = (make_pairs(coordinates, 300, 5, supervised=kind) for kind in (False, True))
    np.testing.assert_array_equal(plain.x, noisy.x)
    raw = coordinates.parameters(tf.constant(noisy.x), rounded=False)
    np.testing.assert_allclose(coordinates.observed(problem.forward(raw)), noisy.y, atol=1e-6)
    whole = coordinates.parameters(tf.constant(plain.x))
    np.testing.assert_allclose(coordinates.observed(problem.forward(whole)), plain.y, atol=1e-4)
    assert np.abs(plain.y - noisy.y).max() > 0.01
