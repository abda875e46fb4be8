"""Draws and statistics of the whole batch; the other replicas are played here, real ones train in tests/recipes."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.core import whole_batch as module
from inntf.core.whole_batch import draw_rows, whole_batch


class Replica:
    """A replica context, one of three."""

    num_replicas_in_sync = 3

    def __init__(self, i):
        self.replica_id_in_sync_group = i

    def all_reduce(self, op, value):
        """The others have one row of sevens each, or as many rows of them as they say they have."""
        if not isinstance(value, list):
            return tf.where(tf.equal(value, 0), 1, value)
        rows = value[0].shape[0] - 2
        others = [j for j in range(rows + 2) if not self.replica_id_in_sync_group <= j < self.replica_id_in_sync_group + rows]
        return [tf.tensor_scatter_nd_update(v, [[j] for j in others], tf.fill([2, *v.shape[1:]], 7.0)) for v in value]


def draw(shape):
    return tf.random.stateless_uniform(shape, [3, 4])


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("shape", [[4, 2], [4], [4, 1, 3]])
def test_the_parts_of_three_replicas_are_the_draw_of_one_device(copies, shape, monkeypatch):
    shape = [copies * shape[0], *shape[1:]]
    parts = []
    for i in range(3):
        monkeypatch.setattr(module.tf.distribute, "get_replica_context", lambda i=i: Replica(i))
        parts.append(draw_rows(draw, shape, copies=copies).numpy().reshape(copies, -1, *shape[1:]))
        assert parts[-1].size == np.prod(shape)
    monkeypatch.undo()
    alone = draw_rows(draw, [3 * shape[0], *shape[1:]]).numpy().reshape(copies, -1, *shape[1:])
    np.testing.assert_array_equal(np.concatenate(parts, 1), alone)


def test_a_batch_without_rows():
    assert draw_rows(draw, [0, 2]).shape == (0, 2)


def test_several_tensors_are_gathered_alike(monkeypatch):
    x, y = tf.constant([[1.0], [2.0]]), tf.constant([[2.0, 3.0], [4.0, 5.0]])
    assert whole_batch(x) is x and whole_batch(x, y) == (x, y)
    for i in range(3):
        monkeypatch.setattr(module.tf.distribute, "get_replica_context", lambda i=i: Replica(i))
        a, b = whole_batch(x, y)
        want = [[7.0]] * i + [[1.0], [2.0]] + [[7.0]] * (2 - i)
        assert a.numpy().tolist() == want and b.shape == (4, 2)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(whole_batch(x) ** 2)
        np.testing.assert_array_equal(tape.gradient(total, x), 2 * x)
        monkeypatch.undo()


def test_in_a_cross_replica_context_nothing_is_shared_out():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert draw_rows(draw, [3, 2]).shape == (3, 2)
