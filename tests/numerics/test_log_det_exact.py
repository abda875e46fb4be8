"""The exact log-determinant against slogdet of a Jacobian made by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import ExactLogDet
from inntf.numerics.log_dets import log_abs_det_of_identity_plus
from tests.numerics.log_det_cases import Branch, estimate, reference


def branch_of(dim, scale, seed=0):
    rng = np.random.default_rng(seed)
    return Branch(tf.constant(rng.normal(size=(dim, 7))), tf.constant(scale * rng.normal(size=(7, dim))))


@pytest.mark.parametrize("scale", [0.1, 1.0])  # the second is no contraction: determinants of both signs
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_value_and_gradients(dim, scale):
    branch, rng = branch_of(dim, scale, seed=3), np.random.default_rng(1)
    x, upstream = tf.constant(rng.normal(size=(6, dim))), rng.normal(size=6)
    if scale == 1.0 and dim > 1:
        signs = np.linalg.slogdet(np.eye(dim) + branch.jacobian(x))[0]
        assert len(set(signs)) == 2, "the case should have both"
    for got, expected in zip(estimate(ExactLogDet(), branch, x, upstream, None), reference(branch, x, upstream), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


def test_gradient_agrees_with_finite_differences():
    branch, x = branch_of(2, 0.3), tf.constant(np.random.default_rng(2).normal(size=(3, 2)))
    direction, step = tf.constant(np.random.default_rng(3).normal(size=(7, 2))), 1e-6
    gradient = estimate(ExactLogDet(), branch, x, np.ones(3), None)[3]
    start, values = tf.identity(branch.variables[1]), []
    for sign in (1, -1):
        branch.variables[1].assign(start + sign * step * direction)
        values.append(np.sum(ExactLogDet()(branch, x)[1]))
    np.testing.assert_allclose(np.sum(gradient * direction), (values[0] - values[1]) / (2 * step), rtol=1e-7)


def test_images_and_the_value_of_the_function():
    kernel = 0.1 * tf.random.stateless_normal([3, 3, 2, 2], [1, 1], dtype=tf.float64)
    x = tf.random.stateless_normal([2, 2, 3, 2], [2, 1], dtype=tf.float64)

    def convolve(x):
        return tf.nn.conv2d(tf.sin(x), kernel, 1, "SAME")

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = convolve(x)
    jacobian = tf.reshape(tape.batch_jacobian(y, x, experimental_use_pfor=False), [2, 12, 12])
    g, log_det = ExactLogDet()(convolve, x)
    np.testing.assert_allclose(g, y)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(np.eye(12) + jacobian)[1], rtol=1e-9)


def test_small_log_determinants_keep_their_digits():
    tiny = tf.constant([[[1e-7, 2e-4], [3e-4, -3e-8]]], tf.float32)
    exact = np.log1p(1e-7 - 3e-8 - 3e-15 - 6e-8)
    np.testing.assert_allclose(log_abs_det_of_identity_plus(tiny), [exact], rtol=1e-4)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_near_a_singular_matrix_float32_keeps_its_digits(dim):
    jacobian = tf.Variable(np.diag(np.full(dim, -0.99)).astype("float32"))
    with tf.GradientTape() as tape:
        log_det = log_abs_det_of_identity_plus(jacobian)
    np.testing.assert_allclose(log_det, dim * np.log(0.01), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(log_det, jacobian), 100 * np.eye(dim), rtol=1e-4, atol=1e-3)


def test_network_is_evaluated_once_and_every_weight_has_its_gradient():
    network = keras.Sequential([keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(3)])
    calls = []

    def counted(x):
        calls.append(1)
        return network(x)

    with tf.GradientTape() as tape:
        g, log_det = ExactLogDet()(counted, tf.ones([2, 3]))
        loss = tf.reduce_sum(log_det) + tf.reduce_sum(g)
    assert len(calls) == 1
    assert all(gradient is not None for gradient in tape.gradient(loss, network.trainable_variables))


@pytest.mark.parametrize("dim", [2, 10])
def test_under_xla(dim):
    branch, x = branch_of(dim, 0.2), tf.constant(np.random.default_rng(4).normal(size=(3, dim)))
    run = tf.function(lambda x: estimate(ExactLogDet(), branch, x, np.ones(3), None), jit_compile=True, autograph=False)
    for got, expected in zip(run(x), reference(branch, x, np.ones(3)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="keeps the shape"):
        ExactLogDet()(lambda x: x[:, :1], tf.ones([2, 3]))
    with pytest.raises(TypeError, match="int32"):
        ExactLogDet()(lambda x: x, tf.constant([[1]]))
