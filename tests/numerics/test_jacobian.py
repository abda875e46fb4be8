"""Jacobian products and exact Jacobians against TensorFlow's own, and against hand-made matrices."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import Linearization, batch_jacobian, jvp, vjp


def curved(x):
    """A map R^3 -> R^2 that mixes its inputs; the last output ignores the first input."""
    return tf.stack([x[:, 0] * tf.sin(x[:, 1]) + x[:, 2], tf.exp(x[:, 1] * x[:, 2])], 1)


@pytest.fixture
def point():
    return tf.constant(np.random.default_rng(0).normal(size=(5, 3)))


def reference(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


def test_products_equal_the_matrix_products(point):
    rng = np.random.default_rng(1)
    v, w = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    exact = reference(curved, point)
    along, back = np.einsum("bij,bj->bi", exact, v), np.einsum("bij,bi->bj", exact, w)
    at = Linearization(curved, point)
    np.testing.assert_allclose(jvp(curved, point, tf.constant(v)), along, rtol=1e-12)
    np.testing.assert_allclose(vjp(curved, point, tf.constant(w)), back, rtol=1e-12)
    for _ in range(2):  # the tapes are persistent
        np.testing.assert_allclose(at.jvp(tf.constant(v)), along, rtol=1e-12)
        np.testing.assert_allclose(at.vjp(tf.constant(w)), back, rtol=1e-12)
    np.testing.assert_allclose(at.value, curved(point))


def test_jvp_agrees_with_finite_differences(point):
    v = tf.constant(np.random.default_rng(2).normal(size=(5, 3)))
    step = 1e-6
    np.testing.assert_allclose(
        jvp(curved, point, v), (curved(point + step * v) - curved(point - step * v)) / (2 * step), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("rows", [None, 1, 2, 7])
@pytest.mark.parametrize("way", ["eager", "traced", "in a graph"])
def test_batch_jacobian(point, rows, way):
    function = curved if way == "eager" else tf.function(curved)
    jacobian = tf.function(batch_jacobian) if way == "in a graph" else batch_jacobian
    np.testing.assert_allclose(jacobian(function, point, rows), reference(curved, point), rtol=1e-12)


def test_a_function_is_traced_once_for_all_calls_and_sees_its_variables():
    weight, traces = tf.Variable(2.0), []

    @tf.function
    def scaled(x):
        traces.append(x.shape)
        return weight * x

    for value in (2.0, 5.0):
        weight.assign(value)
        for batch in (1, 3, 4):
            jacobian = batch_jacobian(scaled, tf.ones([batch, 2]))
            np.testing.assert_allclose(jacobian, np.tile(value * np.eye(2), [batch, 1, 1]))
    assert len(traces) <= 3  # the first size, and any


def test_many_passes_are_traced_for_the_call():
    x = tf.random.stateless_normal([1, 40], [0, 1], dtype=tf.float64)
    eager = []

    def wave(x):
        eager.append(tf.executing_eagerly())
        return tf.sin(x) * tf.reduce_sum(x, 1, keepdims=True)

    np.testing.assert_allclose(batch_jacobian(wave, x, 1), reference(wave, x), rtol=1e-12)
    assert not eager[0]


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="known event dimensions"):
        tf.function(batch_jacobian)(lambda y: tf.boolean_mask(y, y[0] > 0, axis=1), tf.ones([1, 3]))


def test_batch_jacobian_of_images_is_flat():
    x = tf.random.stateless_normal([2, 4, 4, 3], [0, 1], dtype=tf.float64)
    kernel = tf.random.stateless_normal([3, 3, 3, 3], [2, 3], dtype=tf.float64)

    def convolve(x):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    jacobian = batch_jacobian(convolve, x, rows=5)
    assert jacobian.shape == (2, 48, 48)
    flat = tf.reshape(x, [2, 48])
    np.testing.assert_allclose(tf.linalg.matvec(jacobian, flat), tf.reshape(convolve(x), [2, 48]), rtol=1e-9)


def test_unconnected_outputs_have_zero_products():
    x, v = tf.ones([2, 3]), tf.ones([2, 3])
    for function in (lambda x: tf.ones_like(x), lambda x: tf.stop_gradient(x)):
        assert not np.any(jvp(function, x, v))
        assert not np.any(vjp(function, x, v))
        assert not np.any(Linearization(function, x).jvp(v))


def test_products_inside_tf_function(point):
    v = tf.ones_like(point)
    np.testing.assert_allclose(tf.function(lambda x: jvp(curved, x, v))(point), jvp(curved, point, v))


def test_jvp_through_a_custom_gradient():
    @tf.custom_gradient
    def cube(x):
        return x**3, lambda upstream: upstream * 3 * x**2

    x = tf.constant([[2.0, -1.0]])
    np.testing.assert_allclose(jvp(cube, x, tf.constant([[1.0, 2.0]])), [[12.0, 6.0]])


def test_bad_input():
    with pytest.raises(TypeError, match="int32"):
        jvp(tf.square, tf.constant([[1]]), tf.constant([[1]]))
    with pytest.raises(ValueError, match="rows=0"):
        batch_jacobian(tf.square, tf.ones([1, 2]), 0)
