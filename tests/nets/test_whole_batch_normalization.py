"""Batch normalization by the whole batch; several real replicas train in tests/models/test_i_resnet_classifier.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.core import whole_batch as module
from inntf.core.whole_batch import whole_moments
from inntf.nets import WholeBatchNormalization, lipschitz_constant

X = np.random.default_rng(0).normal(size=(12, 5, 5, 3)).astype("float32") * [1.0, 10.0, 0.01] + [0.0, 50.0, 3000.0]


@pytest.mark.parametrize("shape", ["images", "vectors"])
def test_on_one_device_it_is_keras_own_up_to_rounding(shape):
    x = X.astype("float32") if shape == "images" else X[:, 0, 0].astype("float32")
    ours, theirs = WholeBatchNormalization(momentum=0.9), keras.layers.BatchNormalization(momentum=0.9)
    for training in (True, True, False):
        np.testing.assert_allclose(ours(x, training=training), theirs(x, training=training), rtol=1e-3, atol=0.02)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert lipschitz_constant(ours)[0] == pytest.approx(lipschitz_constant(theirs)[0], rel=1e-4)


def test_its_gradient_is_that_of_finite_differences():
    x, weight = tf.constant(X[:4, 0]), tf.constant(np.random.default_rng(1).normal(size=(4, 5, 3)))
    layer = WholeBatchNormalization(dtype="float64")
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weight * layer(x, training=True) ** 2)
    gradient = tape.gradient(loss, x).numpy()
    for where in ((0, 0, 0), (0, 3, 1), (3, 2, 2)):
        ends = []
        for sign in (1, -1):
            moved = x.numpy()
            moved[where] += sign * 1e-6
            ends.append(float(tf.reduce_sum(weight * layer(moved, training=True) ** 2)))
        np.testing.assert_allclose(gradient[where], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows", [3, 7, 16])
def test_what_does_not_vary_becomes_zero_exactly(rows):
    layer = WholeBatchNormalization()
    out = layer(np.full([rows, 4], [0.1, -0.4100458, 3000.7, 0.0], "float32"), training=True)
    np.testing.assert_array_equal(out, np.zeros([rows, 4]))


def test_masked_entries_do_not_count():
    x, mask = X[:, 0].astype("float32"), np.arange(12)[:, None] < np.full([12, 5], 6)
    ours, theirs = WholeBatchNormalization(), keras.layers.BatchNormalization()
    np.testing.assert_array_equal(ours(x, training=True, mask=mask), theirs(x, training=True, mask=mask))


class Replica:
    """The first of two replicas; the sums of the other are computed here."""

    num_replicas_in_sync, replica_id_in_sync_group = 2, 0

    def __init__(self, other, shift):
        self.other, self.shift, self.asked = other.astype("float32"), shift, 0

    def all_reduce(self, op, value):
        self.asked += 1
        if self.asked == 1:
            return value  # the other one gives zeros
        if self.asked == 2:
            return [value[0] + self.other[..., 0].size, value[1] + (self.other - self.shift).sum((0, 1, 2), keepdims=True)]
        return value + ((self.other - X.mean((0, 1, 2))) ** 2).sum((0, 1, 2)).astype("float32")


def test_moments_are_those_of_both_parts(monkeypatch):
    context = Replica(X[8:], X[0, 0, 0].astype("float32"))
    monkeypatch.setattr(module.tf.distribute, "get_replica_context", lambda: context)
    mean, variance = whole_moments(tf.constant(X[:8].astype("float32")), [0, 1, 2])
    np.testing.assert_allclose(mean, X.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, X.var((0, 1, 2)), rtol=2e-2)  # of 0.01 around 3,000, in float32
    assert variance.shape == (3,)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model = keras.Sequential([keras.Input((3,)), WholeBatchNormalization(momentum=0.5)])
    model(X[:, 0, 0].astype("float32"), training=True)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(X[:, 0, 0]), model(X[:, 0, 0]))


@pytest.mark.parametrize("name", ["synchronized", "renorm"])
def test_what_keras_does_otherwise_is_refused(name):
    with pytest.raises(ValueError, match=name):
        WholeBatchNormalization(**{name: True})
