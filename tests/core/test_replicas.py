"""Gradients of several replicas are clipped as their sum; the other replica is played here."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.core import replicas
from inntf.training import clip_what_replicas_add_up, skip_nonfinite

HERE, THERE = np.array([3.0, 0.0], "float32"), np.array([-2.0, 1.0], "float32")


class Two:
    """A replica context whose other replica has the gradient THERE."""

    num_replicas_in_sync = 2

    def all_reduce(self, op, grads):
        return [g + THERE for g in grads]


@pytest.mark.parametrize("given", [{"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.5}, {}])
def test_each_replica_gives_its_part_of_the_clipped_sum(given, monkeypatch):
    optimizer = clip_what_replicas_add_up(clip_what_replicas_add_up(keras.optimizers.SGD(1.0, **given)))
    alone = optimizer._clip_gradients([tf.constant(HERE)])[0]
    np.testing.assert_array_equal(alone, keras.optimizers.SGD(1.0, **given)._clip_gradients([tf.constant(HERE)])[0])
    monkeypatch.setattr(replicas.tf.distribute, "get_replica_context", Two)
    part, nothing = optimizer._clip_gradients([tf.constant(HERE), None])
    whole = keras.optimizers.SGD(1.0, **given)._clip_gradients([tf.constant(HERE + THERE)])[0] / 2 if given else HERE
    np.testing.assert_allclose(part, whole, rtol=1e-6)
    assert nothing is None


def test_of_an_optimizer_that_scales_the_loss_the_inner_one_is_meant():
    inner = keras.optimizers.SGD(1.0, clipnorm=0.5)
    clip_what_replicas_add_up(keras.optimizers.LossScaleOptimizer(inner))
    assert isinstance(inner._clip_gradients, replicas._Gradients)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(clip_what_replicas_add_up(keras.optimizers.Adam(clipnorm=0.1)), "mse")
    assert np.isfinite(model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0).history["loss"]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("given", [{}, {"clipvalue": 0.5}, {"global_clipnorm": 0.5}])
def test_gradients_that_are_not_finite_count_as_zero_and_are_counted(bad, given):
    w = [keras.Variable([1.0, 2.0]), keras.Variable([3.0])]
    optimizer = clip_what_replicas_add_up(keras.optimizers.SGD(1.0, **given))
    skipped = skip_nonfinite(optimizer)
    assert skip_nonfinite(clip_what_replicas_add_up(optimizer)) is skipped
    optimizer.apply([tf.constant([0.1, bad]), tf.constant([0.1])], w)
    assert int(skipped) == 1 and w[0].numpy().tolist() == [1.0, 2.0] and w[1].numpy().tolist() == [3.0]
    optimizer.apply([tf.constant([0.1, 0.0]), tf.constant([0.1])], w)
    assert int(skipped) == 1 and int(optimizer.iterations) == 2
    np.testing.assert_allclose(w[0], [0.9, 2.0], rtol=1e-6)


def test_skipping_knows_sparse_gradients():
    table = keras.Variable(np.ones([4, 2], "float32"))
    optimizer = keras.optimizers.SGD(1.0)
    skipped = skip_nonfinite(optimizer)
    for value in (np.nan, 0.5):
        gradient = tf.IndexedSlices(tf.fill([1, 2], np.float32(value)), tf.constant([1]), tf.constant([4, 2]))
        optimizer.apply([gradient], [table])
    assert int(skipped) == 1
    np.testing.assert_array_equal(table, [[1, 1], [0.5, 0.5], [1, 1], [1, 1]])


def test_where_the_other_replica_is_broken_this_one_skips_as_well(monkeypatch):
    class Broken(Two):
        def all_reduce(self, op, value):
            return value + 1 if value.dtype == tf.int32 else value

    optimizer = keras.optimizers.SGD(1.0)
    skipped = skip_nonfinite(optimizer)
    monkeypatch.setattr(replicas.tf.distribute, "get_replica_context", Broken)
    (gradient,) = optimizer._clip_gradients([tf.constant(HERE)])
    assert int(skipped) == 1 and gradient.numpy().tolist() == [0.0, 0.0]
