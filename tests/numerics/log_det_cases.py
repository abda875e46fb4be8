"""A residual branch whose log-determinant is known, for the tests of its estimators."""

import numpy as np
import tensorflow as tf

DIM = 4
_RNG = np.random.default_rng(7)
# Close to -0.6 I: a large negative trace, so that a series cut too early is far off.
FIRST = tf.constant(np.eye(DIM) + 0.08 * _RNG.normal(size=(DIM, DIM)))
SECOND = tf.constant(-0.6 * np.eye(DIM) + 0.05 * _RNG.normal(size=(DIM, DIM)))
POINTS = tf.constant(0.5 * _RNG.normal(size=(2, DIM)))
UPSTREAM = np.array([2.0, -1.0])  # the two points weigh differently in the loss


class Branch:
    """`x -> tanh(x A) B` with its two matrices as variables."""

    def __init__(self, first=FIRST, second=SECOND):
        self.variables = [tf.Variable(first), tf.Variable(second)]

    def __call__(self, x):
        return tf.tanh(x @ self.variables[0]) @ self.variables[1]

    def jacobian(self, x):
        """By hand, `(batch, dim_y, dim_x)`."""
        a, b = self.variables
        slope = 1 - tf.tanh(x @ a) ** 2
        return tf.einsum("ih,bh,hj->bji", a, slope, b)


def reference(branch, x, upstream):
    """Exact log-determinants, and the gradients of their weighted sum by `x` and the variables."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        jacobian = branch.jacobian(x)
        log_det = tf.linalg.slogdet(tf.eye(jacobian.shape[-1], dtype=x.dtype) + jacobian).log_abs_determinant
        loss = tf.reduce_sum(log_det * upstream)
    return [log_det, *tape.gradient(loss, [x, *branch.variables])]


def estimate(estimator, branch, x, upstream, seed):
    """What `reference` gives, as estimated."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        _, log_det = estimator(branch, x, seed)
        loss = tf.reduce_sum(log_det * upstream)
    return [log_det, *tape.gradient(loss, [x, *branch.variables])]
