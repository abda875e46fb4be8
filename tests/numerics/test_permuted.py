"""Permuting the last axis: the values, the gradients of first and second order, shapes that are not known, and XLA."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics.permuted import permuted


@pytest.mark.parametrize("shape", [(5, 4), (5, 8), (3, 4, 4, 12), (0, 12), (0, 3), (9,)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_entries_are_where_the_order_says(shape, dtype):
    order = np.random.default_rng(0).permutation(shape[-1])
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    y = permuted(tf.constant(x), order)
    assert y.shape == x.shape
    np.testing.assert_array_equal(y.numpy(), x[..., order])


@pytest.mark.parametrize("size", [3, 11])
@pytest.mark.parametrize("jit", [None, True])
def test_gradients_of_first_and_second_order(size, jit):
    order = np.random.default_rng(0).permutation(size)
    x = tf.constant(np.random.default_rng(1).normal(size=(6, size)))

    @tf.function(jit_compile=jit, autograph=False)
    def both(x):
        weights = tf.range(1, size + 1, dtype=tf.float64)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(weights * permuted(x, order) ** 3)
            first = inner.gradient(y, x)
        return first, outer.gradient(first, x)

    first, second = both(x)
    back = np.argsort(order) + 1.0
    np.testing.assert_allclose(first, 3 * back * x.numpy() ** 2, rtol=1e-12)
    np.testing.assert_allclose(second, 6 * back * x.numpy(), rtol=1e-12)


def test_products_with_the_jacobian_forwards():
    order = np.random.default_rng(0).permutation(10)
    x, v = tf.random.normal([4, 10]), tf.random.normal([4, 10])
    with tf.autodiff.ForwardAccumulator(x, v) as forwards:
        y = permuted(x, order)
    np.testing.assert_array_equal(forwards.jvp(y), v.numpy()[:, order])


def test_an_entry_that_is_not_finite_spoils_no_other():
    x = np.ones([2, 9], np.float32)
    x[0, 3], x[1, 5] = np.inf, np.nan
    y = permuted(tf.constant(x), np.arange(9)[::-1].copy()).numpy()
    assert np.isfinite(y).sum() == 16 and np.isinf(y[0, 5]) and np.isnan(y[1, 3])


def test_batches_and_channels_that_are_not_known_yet():
    order = tf.constant([2, 0, 1, 3, 4, 5, 6, 7, 8])
    for signature in ([None, 9], [None, None]):
        traced = tf.function(lambda x: permuted(x, order), [tf.TensorSpec(signature)], autograph=False)
        for rows in (0, 1, 5):
            x = tf.random.normal([rows, 9])
            np.testing.assert_array_equal(traced(x), x.numpy()[:, order.numpy()])
