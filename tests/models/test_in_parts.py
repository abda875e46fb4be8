"""Large draws are evaluated in parts, with the result of the whole."""

import tensorflow as tf

from inntf.models import real_nvp
from inntf.models.in_parts import in_parts


class Recorder:
    """A map that notes how many events it was given at a time."""

    def __init__(self):
        self.sizes = []

    def __call__(self, z):
        self.sizes.append(z.shape[0])
        return tf.sinh(z) + 1.0, tf.reduce_sum(tf.math.log(tf.cosh(z)), -1)


def drawn(n, dim=4):
    return tf.random.stateless_normal([n, dim], [n, dim], dtype=tf.float64)


def test_the_parts_are_small_and_the_whole_is_the_same():
    z = drawn(10_001)  # no multiple of anything
    record = Recorder()
    x, log_det = in_parts(record, z, 1)
    assert len(record.sizes) == 5 and len(set(record.sizes)) == 1 and record.sizes[0] < 2100
    tf.debugging.assert_near(x, tf.sinh(z) + 1.0, 1e-14)
    tf.debugging.assert_near(log_det, tf.reduce_sum(tf.math.log(tf.cosh(z)), -1), 1e-14)
    assert x.shape == z.shape and log_det.shape == (10_001,)


def test_in_a_graph_and_its_gradient():
    z = drawn(9_000)

    @tf.function
    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            x, log_det = in_parts(Recorder(), z, 1)
            loss = tf.reduce_sum(x) + tf.reduce_sum(log_det)
        return x, tape.gradient(loss, z)

    x, slope = gradient(z)
    tf.debugging.assert_near(x, tf.sinh(z) + 1.0, 1e-14)
    tf.debugging.assert_near(slope, tf.cosh(z) + tf.tanh(z), 1e-12)


def test_small_and_unknown_batches_stay_whole():
    record = Recorder()
    in_parts(record, drawn(1000), 1)
    in_parts(record, drawn(50, dim=3000), 1)
    seen = []
    tf.function(lambda z: (seen.append(z.shape[0]), in_parts(record, z, 1))[1]).get_concrete_function(
        tf.TensorSpec([None, 4], tf.float64)
    )
    assert record.sizes == [1000, 50, None] and seen == [None]


def test_samples_of_a_flow():
    flow = real_nvp(event_shape=2, depth=2, hidden=(8,), dtype="float64")
    for weight in flow.trainable_variables:
        weight.assign(weight + 0.3 * tf.random.stateless_normal(weight.shape, [1, 2], dtype=weight.dtype))
    x, log_prob = flow.sample_and_log_prob(20_000, seed=3)
    tf.debugging.assert_near(flow.log_prob(tf.identity(x)), log_prob, 1e-8)
    tf.debugging.assert_near(x, flow.sample(20_000, seed=3), 1e-12)
