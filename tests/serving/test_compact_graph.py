"""A compacted SavedModel computes what it did, with fewer operations: nothing with a state is shared or lost."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from inntf.models import i_resnet_classifier
from inntf.serving import export
from inntf.serving.compact_graph import compact


def nodes(folder):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    return [node for graph in model.meta_graphs for f in graph.graph_def.library.function for node in f.node_def]


class Everything(tf.Module):
    """Loops, a branch, an assertion, state, random numbers, and much that is there twice."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = tf.Variable([[1.0, 0.5], [0.25, 1.0]]), tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec([])])
    def answer(self, x, bound):
        self.calls.assign_add(1)
        self.calls.assign_add(1)
        tf.debugging.Assert(tf.reduce_all(x < bound), ["too large", x])
        unused = tf.exp(x)  # noqa: F841
        for _ in range(2):
            x = tf.while_loop(lambda k, y: k < 3, lambda k, y: (k + 1, tf.tanh(y @ self.weight) + 0.1), (0, x))[1]
        x = tf.cond(bound > 5.0, lambda: (x * 2.0 + 1.0) * (x * 2.0 + 1.0), lambda: x - 2.0)
        return {"x": x, "doubled": (x + 1.0) + (x + 1.0), "first": tf.random.uniform([3]), "second": tf.random.uniform([3])}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    full, small = (tmp_path_factory.mktemp(name) for name in ("full", "small"))
    module = Everything()
    for folder in (full, small):
        tf.saved_model.save(module, str(folder), signatures=module.answer)
    compact(small)
    return full, small


def answer(folder, *values):
    x = tf.constant([[0.3, -0.7], [0.1, 0.2], [1.5, 0.0]])
    model = tf.saved_model.load(str(folder))
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = model.answer(x, *values)
        loss = tf.reduce_sum(found["x"] ** 2)
    gradients = tape.gradient(loss, [x, model.weight])
    return [found["x"], found["doubled"], *gradients, model.calls], found, model


@pytest.mark.parametrize("bound", [4.0, 6.0])
def test_the_same_numbers_gradients_and_states_from_fewer_operations(folders, bound):
    full, small = folders
    for wanted, found in zip(answer(full, bound)[0], answer(small, bound)[0], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(nodes(small)) < 0.9 * len(nodes(full))
    assert not any(node.op == "Exp" for node in nodes(small))


def test_what_has_a_state_is_neither_shared_nor_dropped(folders):
    values, found, model = answer(folders[1], 4.0)
    assert int(values[-1]) == 2  # both increments
    assert not np.allclose(found["first"], found["second"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        model.signatures["serving_default"](x=tf.fill([1, 2], 9.0), bound=tf.constant(4.0))


def test_names_say_the_operation_and_the_fingerprint_is_that_of_the_new_file(folders):
    full, small = folders
    assert all(node.name.startswith(node.op) for node in nodes(small))
    sums = [tf.saved_model.experimental.read_fingerprint(str(f)).saved_model_checksum for f in (full, small)]
    assert sums[0] != sums[1]
    once = (small / "saved_model.pb").read_bytes()
    compact(small)
    assert (small / "saved_model.pb").read_bytes() == once


@pytest.mark.slow
def test_the_graph_of_an_image_classifier_of_21_blocks_stays_below_a_megabyte(tmp_path):
    model = i_resnet_classifier(event_shape=(32, 32, 3), classes=10, hidden=(4, 4, 4))
    path = export(model, tmp_path, batch=np.random.default_rng(0).uniform(size=(4, 32, 32, 3)).astype("float32"), force=True)
    assert (path / "saved_model.pb").stat().st_size < 1e6
    assert len(nodes(path)) < 7000
