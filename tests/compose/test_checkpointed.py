"""Backpropagation from checkpoints: the gradients of stored activations, also where the inverse is of no use."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat, backprop_mode
from inntf.models import DensityModel, residual_flow
from inntf.nets import MLP, ConcatLipSwish, SpectralDense
from inntf.numerics import PowerSeries, RussianRoulette

DOUBLE = {"dtype": "float64"}


def net(channels):
    return MLP((4,), out_channels=channels, activation="tanh", zero_last=False)


def make(i=0):
    return Chain([b.ActNorm(**DOUBLE), b.Permutation.shuffle(i, **DOUBLE), b.AffineCoupling(conditioner=net, **DOUBLE)])


def contraction(channels):
    return keras.Sequential(
        [SpectralDense(6, 0.9, dtype="float64"), ConcatLipSwish(dtype="float64"), SpectralDense(channels, 0.9, dtype="float64")]
    )


def residual(noise="fixed", **kwargs):
    estimator = RussianRoulette(gradient="neumann", dense=False)
    return b.ResidualBlock(network=contraction, log_det=estimator, noise=noise, seed=3, **DOUBLE, **kwargs)


@keras.saving.register_keras_serializable("inntf_tests")
class NoInverse(b.ActNorm):
    """Would give the gradients at a wrong place if its inverse were used."""

    def inverse_and_log_det(self, z, condition=None):
        raise AssertionError("the inverse was called")

    def forward_backprop(self, *args):
        raise AssertionError("the inverse was called")


COMPOSITIONS = {
    "chain": lambda **kw: Chain([make(i) for i in range(5)], **kw),
    "repeat": lambda **kw: Repeat(make, 5, **kw),
    "residual chain": lambda **kw: Chain([residual() for _ in range(3)], **kw),
    "residual repeat": lambda **kw: Repeat(residual, 5, **kw),
    "no inverse": lambda **kw: Repeat(lambda: NoInverse(**DOUBLE), 4, **kw),
}


def perturb(block, seed=0):
    generator = np.random.default_rng(seed)
    for v in block.trainable_variables:
        v.assign(v.numpy() + 0.1 * generator.normal(size=v.shape))


def gradients(block, x, mode, condition=None):
    given = [x] if condition is None else [x, condition]
    with backprop_mode(mode), tf.GradientTape() as tape:
        tape.watch(given)
        z, log_det = block.forward_and_log_det(x, condition)
        loss = tf.reduce_sum(tf.constant([1.0, -2.0, 0.5], tf.float64) * (tf.reduce_sum(tf.sin(z) * z, 1) + log_det))
    return [loss, *tape.gradient(loss, [*given, *(v._value for v in block.trainable_variables)], unconnected_gradients="zero")]


def assert_same(found, expected):
    for p, q in zip(found, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-10)


def _all():
    for graph in (False, True):
        for name in COMPOSITIONS:
            for every in (None, 2, 5, 9):
                # Residual blocks take seconds to trace, and intervals are the compositions' affair, not theirs.
                slow = name.startswith("residual") and every in (5, 9)
                yield pytest.param(name, every, graph, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("name", "every", "graph"), _all())
def test_gradients_are_those_of_stored_activations(name, every, graph):
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    block = COMPOSITIONS[name](backprop="checkpointed", checkpoint_every=every)
    block.forward_and_log_det(x)
    perturb(block)
    of = tf.function(gradients) if graph else gradients
    assert_same(of(block, x, "checkpointed"), gradients(block, x, "stored"))
    assert block.worst_drift is None, "there is nothing that could drift"


def test_gradients_of_a_continuous_block():
    x = tf.random.stateless_normal([3, 2], [1, 2], dtype=tf.float64)
    dynamics = MLP((4,), activation="tanh", zero_last=False)
    block = Chain([b.ContinuousBlock(dynamics=dynamics, rtol=1e-3, atol=1e-3, **DOUBLE)], backprop="checkpointed")
    block.ensure_built((2,))
    perturb(block)
    found, expected = (tf.function(lambda x, mode=mode: gradients(block, x, mode))(x) for mode in ("checkpointed", "stored"))
    assert_same(found, expected)


def test_it_is_the_mode_of_the_block():
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    for composition in (Repeat, lambda make, n, **kw: Chain([make() for _ in range(n)], **kw)):
        block = composition(lambda: NoInverse(**DOUBLE), 4, backprop="checkpointed")
        block.forward_and_log_det(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, log_det = block.forward_and_log_det(x)
            loss = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
        assert np.all(np.isfinite(tape.gradient(loss, x)))
        again = type(block).from_config(block.get_config())
        assert again.backprop == block.backprop and again.backprop.mode == "checkpointed"


def test_gradients_by_the_condition():
    x, condition = (tf.random.stateless_normal([3, n], [1, n], dtype=tf.float64) for n in (4, 2))
    for block in (Repeat(make, 3, backprop="checkpointed"), Chain([make(i) for i in range(3)], backprop="checkpointed")):
        block.forward_and_log_det(x, condition)
        perturb(block)
        stored = gradients(block, x, "stored", condition)
        assert float(tf.reduce_max(tf.abs(stored[2]))) > 1e-3
        assert_same(gradients(block, x, "checkpointed", condition), stored)


def test_fresh_noise_is_drawn_once_and_used_twice():
    """The recomputation must see the draw of the forward pass, and the generator must move on by one."""
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    found = {}
    for mode in ("stored", "checkpointed"):
        keras.utils.set_random_seed(1)
        block = Repeat(lambda: residual("fresh"), 3, backprop=mode)
        block.ensure_built((4,))
        perturb(block)
        found[mode] = [gradients(block, x, mode) for _ in range(2)]
    for p, q in zip(found["checkpointed"], found["stored"], strict=True):
        assert_same(p, q)
    assert not np.allclose(found["stored"][0][0], found["stored"][1][0]), "the second draw is another"


def test_a_second_derivative_is_refused():
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    block = Repeat(make, 3, backprop="checkpointed").ensure_built((4,))
    with pytest.raises(Exception, match="second derivative"), tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = tf.reduce_sum(block.forward_and_log_det(x)[0] ** 2)
        outer.gradient(inner.gradient(value, x), x)


@pytest.mark.parametrize("repeat", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_residual_flow_learns_the_same(repeat):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32") * 2 + 1
    histories = {}
    for mode in ("stored", "checkpointed"):
        keras.utils.set_random_seed(0)
        flow = residual_flow(event_shape=3, depth=3, hidden=(8,), log_det=PowerSeries(4), repeat=repeat, backprop=mode)
        model = DensityModel(flow)
        model.compile(keras.optimizers.Adam(0.02))
        histories[mode] = model.fit(x, batch_size=32, epochs=3, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(histories["checkpointed"], histories["stored"], rtol=1e-4)
    assert histories["stored"][-1] < histories["stored"][0]


def held(mode, depth):
    """How many tensors a forward loop keeps for the backward loop, an entry per block."""
    block = Repeat(lambda: residual(), depth, backprop=mode).ensure_built((4,))

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, log_det = block.forward_and_log_det(x)
            loss = tf.reduce_sum(z**2) + tf.reduce_sum(log_det)
        return tape.gradient(loss, x)

    graph = step.get_concrete_function(tf.TensorSpec([None, 4], tf.float64)).graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return sum(n.op == "TensorListPushBack" for n in nodes)


def test_no_activation_inside_of_a_block_is_kept():
    assert held("stored", 3) > 20
    assert held("checkpointed", 3) == 0
