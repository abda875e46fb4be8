"""Values without log-determinants: the same numbers, for less."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AdditiveCoupling, ResidualBlock
from inntf.models import ffjord, real_nvp, residual_flow

MAKERS = {
    "repeat": lambda: real_nvp(event_shape=3, depth=4, repeat=True),
    "residual": lambda: residual_flow(event_shape=3, depth=2, hidden=(8,), log_det="exact", repeat=False),
    "residual, repeated": lambda: residual_flow(event_shape=3, depth=3, hidden=(8,), log_det="exact"),
    "ffjord": lambda: ffjord(event_shape=3, hidden=(8,)),
}
COSTLY = ("residual", "residual, repeated", "ffjord")


def moved(name):
    flow, rng = MAKERS[name](), np.random.default_rng(3)
    for w in flow.block.trainable_variables:
        w.assign(w + 0.05 * rng.normal(size=w.shape).astype(np.float32))
    return flow


def data(seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32))


def operations(function):
    graph = tf.function(function).get_concrete_function(tf.TensorSpec([None, 3])).graph
    functions = [f.node_def for f in graph.as_graph_def().library.function]
    return len(graph.get_operations()) + sum(map(len, functions))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("compiled", [False, True])
def test_values_are_those_with_log_determinants(name, compiled):
    block, x = moved(name).block, data()
    there, back = (tf.function(f) if compiled else f for f in (block.value, block.inverse_value))
    z = block.forward_and_log_det(x)[0]
    np.testing.assert_allclose(there(x), z, atol=1e-4)
    np.testing.assert_allclose(back(z), block.inverse_and_log_det(z + 0.0)[0], atol=1e-4)
    assert np.abs(block.inverse_and_log_det(z)[1]).max() > 0  # what was left out once is there again


@pytest.mark.parametrize("name", COSTLY)
def test_what_only_a_log_determinant_needs_is_left_out(name):
    block = moved(name).block
    assert operations(block.inverse_value) < 0.8 * operations(lambda z: block.inverse_and_log_det(z)[0])


@pytest.mark.parametrize("name", COSTLY)
def test_samples_have_no_log_determinant_and_pairs_have(name):
    flow = moved(name)
    alone = flow.sample(4, seed=1)
    together, log_prob = flow.sample_and_log_prob(4, seed=1)
    np.testing.assert_allclose(alone, together, atol=1e-4)
    np.testing.assert_allclose(log_prob, flow.log_prob(together + 0.0), atol=1e-3)


def test_gradients_of_values_reach_weights_and_inputs():
    flow, z = moved("residual, repeated"), data()
    block, weights = flow.block, flow.block.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        alone = tf.reduce_sum(block.inverse_value(z) ** 2)
        both = tf.reduce_sum(block.inverse_and_log_det(z)[0] ** 2)
    wanted = tape.gradient(both, [z, *(w.value for w in weights)])
    for got, want in zip(tape.gradient(alone, [z, *(w.value for w in weights)]), wanted, strict=True):
        if want is not None:  # a gradient of zero along a log-determinant may be one of None
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_map_defined_anew_is_that_of_its_values():
    class Moved(ResidualBlock):
        def forward_and_log_det(self, x, condition=None):
            z, log_det = super().forward_and_log_det(x, condition)
            return z + 1.0, log_det

        def inverse_and_log_det(self, z, condition=None):
            return super().inverse_and_log_det(z - 1.0, condition)

    block, x = Moved().ensure_built((3,)), data()
    z = block.value(x)
    np.testing.assert_allclose(z, block.forward_and_log_det(x)[0], atol=1e-5)
    np.testing.assert_allclose(block.inverse_value(z), x, atol=1e-4)


def test_an_unbuilt_block_is_built_by_inverse_value():
    assert AdditiveCoupling().inverse_value(data()).shape == (5, 3)
