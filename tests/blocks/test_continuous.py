"""The continuous block against closed forms; its estimate, its limits, its refusals."""

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from inntf.blocks import ContinuousBlock, SolverNotFinished
from inntf.core.refusals import marked_refusals
from inntf.numerics import solve_ode
from inntf.numerics.trace import value_and_trace

MATRIX = np.array([[0.3, -1.0, 0.2], [0.8, -0.4, 0.0], [0.1, 0.5, 0.6]])


def linear(matrix=MATRIX, **settings):
    dense = keras.layers.Dense(len(matrix), use_bias=False, dtype="float64")
    block = ContinuousBlock(dynamics=dense, time=False, dtype="float64", **settings).ensure_built((len(matrix),))
    dense.kernel.assign(matrix)
    return block


def normal(*shape):
    return tf.constant(np.random.default_rng(1).normal(size=shape))


def test_a_linear_equation_is_the_matrix_exponential():
    block, x = linear(rtol=1e-10, atol=1e-10), normal(4, 3)
    z, log_det = block.forward_and_log_det(x)
    np.testing.assert_allclose(z, x @ scipy.linalg.expm(MATRIX), atol=1e-8)
    np.testing.assert_allclose(log_det, np.full(4, np.trace(MATRIX)), atol=1e-9)
    back, log_det = block.inverse_and_log_det(z)
    np.testing.assert_allclose(back, x, atol=1e-8)
    np.testing.assert_allclose(log_det, np.full(4, -np.trace(MATRIX)), atol=1e-9)


def test_gradients_are_those_of_the_matrix_exponential():
    block, x = linear(rtol=1e-10, atol=1e-10), normal(4, 3)
    matrix = tf.Variable(MATRIX)
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = tf.reduce_sum((x @ tf.linalg.expm(matrix)) ** 2) + 4 * tf.linalg.trace(matrix)
    wanted = tape.gradient(expected, [x, matrix])
    kernel = block.trainable_weights[0].value
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = block.forward_and_log_det(tf.identity(x))
        loss = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
    for got, value in zip(tape.gradient(loss, [x, kernel]), wanted, strict=True):
        np.testing.assert_allclose(got, value, atol=1e-6)


def test_hutchinson_is_right_on_average_and_repeats_where_fixed():
    x = normal(2, 3)
    block = linear(trace="hutchinson", noise="fixed", samples=2, seed=3)
    first, again = (block.forward_and_log_det(tf.identity(x))[1].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    fresh = linear(trace="hutchinson", seed=3)
    many = fresh.forward_and_log_det(tf.repeat(x[:1], 4000, 0))[1].numpy()
    assert many.std() > 0.1
    assert abs(many.mean() - np.trace(MATRIX)) < 3 * many.std() / np.sqrt(4000)


def test_trace_of_a_known_jacobian():
    x = normal(3, 4)
    value, trace = value_and_trace(lambda v: v**3 + tf.reduce_sum(v, -1, keepdims=True), x)
    np.testing.assert_allclose(trace, np.sum(3 * x.numpy() ** 2 + 1, -1))
    np.testing.assert_allclose(value, x.numpy() ** 3 + x.numpy().sum(-1, keepdims=True))


@pytest.mark.slow
def test_one_bad_sample_does_not_hide_among_good_ones():
    rates = tf.constant([0.0] * 999 + [40.0], tf.float64)
    found = solve_ode(lambda t, y: -rates * (y - tf.cos(20 * t)), tf.ones([1000], tf.float64), rtol=1e-6, atol=1e-6)
    alone = solve_ode(lambda t, y: -40.0 * (y - tf.cos(20 * t)), tf.ones([1], tf.float64), rtol=1e-10, atol=1e-10)
    assert abs(found.state[-1] - alone.state[0]) < 1e-5


@pytest.mark.parametrize("jit", [False, True])
def test_weights_are_no_constants_of_a_compiled_gradient(jit):
    """A call within XLA's program and its gradient make them so: each step of a training would compile it again."""
    block = linear(trace="exact")

    @tf.function(jit_compile=jit, autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.add_n([tf.reduce_sum(part) for part in block.forward_and_log_det(x)]))
        return tape.gradient(loss, block.trainable_variables)

    graph = gradient.get_concrete_function(tf.TensorSpec([4, 3], tf.float64)).graph.as_graph_def()
    calls = {node.op for body in graph.library.function for node in body.node_def if "PartitionedCall" in node.op}
    assert bool(calls) == (not jit)


def test_steps_that_run_out_raise():
    block = linear(500 * MATRIX, max_steps=5)
    with pytest.raises(SolverNotFinished, match="max_steps=5"):
        block.forward_and_log_det(normal(2, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="max_steps=5"):
        tf.function(block.forward_and_log_det, autograph=False)(normal(2, 3))


def test_a_failure_names_its_samples_and_leaves_the_others():
    block, x = linear(), normal(4, 3).numpy()
    z = block.forward_and_log_det(tf.constant(x))[0].numpy()
    x[2] = np.inf
    with pytest.raises(SolverNotFinished, match=r"samples \[2\].* of 4"):
        block.forward_and_log_det(tf.constant(x))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2\]"):
        tf.function(block.forward_and_log_det, autograph=False)(tf.constant(x))
    with marked_refusals():
        marked, log_det = block.forward_and_log_det(tf.constant(x))
    assert np.all(np.isnan(marked[2])) and np.isnan(log_det[2])
    np.testing.assert_allclose(marked.numpy()[[0, 1, 3]], z[[0, 1, 3]], atol=1e-6)


def test_evaluations_follow_the_tolerance_and_bounds_the_weights():
    loose, tight = linear(rtol=1e-3, atol=1e-3), linear(rtol=1e-9, atol=1e-9)
    assert 7 <= loose.evaluations(normal(2, 3)) < tight.evaluations(normal(2, 3), inverse=True)
    bounds = loose.lipschitz_bounds()
    assert bounds.forward == pytest.approx(np.exp(np.linalg.norm(MATRIX, 2)), rel=1e-6)
    singular = np.linalg.svd(scipy.linalg.expm(MATRIX), compute_uv=False)
    assert singular.max() <= bounds.forward and 1 / singular.min() <= bounds.inverse


def test_refusals():
    with pytest.raises(ValueError, match="trace='some'"):
        ContinuousBlock(trace="some")
    with pytest.raises(ValueError, match="positive"):
        ContinuousBlock(rtol=0.0)
    with pytest.raises(ValueError, match="vectors"):
        ContinuousBlock().ensure_built((4, 4, 1))
    with pytest.raises(ValueError, match="float16"):
        ContinuousBlock(dynamics=keras.layers.Dense(2, dtype="mixed_float16")).ensure_built((2,))
    with pytest.raises(ValueError, match="output of shape"):
        ContinuousBlock(dynamics=keras.layers.Dense(5)).ensure_built((2,))
