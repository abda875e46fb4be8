"""Log-determinants by given random vectors: the quadratic forms of just these, common to whatever is compared."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import ExactLogDet, Geometric, PowerSeries, RussianRoulette

A = np.random.default_rng(0).normal(size=(3, 3)) * 0.2
X = tf.constant(np.random.default_rng(1).normal(size=(4, 3)))


def linear(x):
    return tf.linalg.matvec(tf.constant(A), x)


def series(v, terms):
    """By powers of the matrix."""
    return sum((-1) ** (k + 1) / k * np.einsum("...i,ij,...j", v, np.linalg.matrix_power(A, k), v) for k in range(1, terms + 1))


@pytest.mark.parametrize("gradient", ["autodiff", "neumann"])
@pytest.mark.parametrize("dense", [True, False])
def test_the_estimate_is_that_of_the_probe(dense, gradient):
    v = np.random.default_rng(2).normal(size=(2, 4, 3))
    estimator = PowerSeries(5, samples=2, dense=dense, gradient=gradient)
    found = estimator(linear, X, probe=tf.constant(v))[1]
    np.testing.assert_allclose(found, series(v, 5).mean(0), rtol=1e-10)
    np.testing.assert_allclose(found, tf.function(estimator)(linear, X, probe=tf.constant(v))[1], rtol=1e-12)
    again = estimator(linear, X, probe=lambda shape, dtype, seed: tf.reshape(tf.constant(v, dtype), shape))[1]
    np.testing.assert_allclose(found, again, rtol=1e-12)


def test_one_probe_serves_the_whole_batch():
    v = np.random.default_rng(3).normal(size=(1, 3))
    found = PowerSeries(4)(linear, X, probe=v)[1]
    np.testing.assert_allclose(found, series(v, 4)[0] * np.ones(4), rtol=1e-10)


def test_a_function_draws_from_the_seed_that_it_gets():
    draw = lambda shape, dtype, seed: tf.random.stateless_normal(shape, seed, dtype=dtype)  # noqa: E731
    first, second, other = (PowerSeries(4)(linear, X, seed, probe=draw)[1] for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_roulette_takes_a_probe_and_draws_its_length_by_the_seed():
    v = np.random.default_rng(4).normal(size=(4, 3))
    estimator = RussianRoulette(Geometric(0.5), exact_terms=30)
    np.testing.assert_allclose(estimator(linear, X, [1, 2], probe=v)[1], series(v, 60), rtol=1e-8)
    with pytest.raises(ValueError, match="received no seed"):
        estimator(linear, X, probe=v)
    exact = ExactLogDet()(linear, X, probe=v)[1]
    np.testing.assert_allclose(exact, np.linalg.slogdet(np.eye(3) + A)[1] * np.ones(4), rtol=1e-9)


@pytest.mark.parametrize("wrong", [np.zeros([4, 2]), np.zeros([2, 4, 3]), np.zeros([3]), np.zeros([3, 3])])
def test_probes_of_other_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="received a probe of shape"):
        PowerSeries(3)(linear, X, probe=wrong)
    with pytest.raises(TypeError, match="int64"):
        PowerSeries(3)(linear, X, probe=np.zeros([4, 3], np.int64))
