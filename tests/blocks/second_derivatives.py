"""Second derivatives of an inverse beside differences of its first ones."""

import numpy as np
import tensorflow as tf


def check_second_derivatives_of_the_inverse(block, z):
    """Of `sum(sin(inverse(z)))`, the sum over the samples' own entries; `z`: `(n, dim)` float64."""
    z = tf.constant(z)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            total = tf.reduce_sum(tf.sin(block.inverse_and_log_det(z)[0]))
        gradient = inner.gradient(total, z)
    curvature = outer.gradient(gradient, z).numpy()

    def slope(point):
        point = tf.constant(point)
        with tf.GradientTape() as tape:
            tape.watch(point)
            value = tf.reduce_sum(tf.sin(block.inverse_and_log_det(point)[0]))
        return tape.gradient(value, point).numpy()

    step = 1e-5 * np.ones((1, z.shape[-1]))
    np.testing.assert_allclose(curvature, (slope(z + step) - slope(z - step)) / 2e-5, atol=1e-7)
