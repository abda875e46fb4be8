"""Reversible backpropagation of compositions inside compositions."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, InvertibleConv1x1, Permutation, Squeeze
from inntf.compose import Chain, Multiscale, Repeat, backprop_mode, worst_drift
from inntf.nets import MLP, ConvNet
from inntf.numerics.transformers.scales import Scale


class Counting(keras.layers.Layer):
    """Counts its evaluations, in graphs too."""

    def __init__(self, inner, counter, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner
        self._hidden = [counter]

    def call(self, x):
        self._hidden[0].assign_add(1)
        return self.inner(x)


def gradients(block, x, condition, mode, inverse=False):
    given = [x] if condition is None else [x, condition]
    with backprop_mode(mode), tf.GradientTape() as tape:
        tape.watch(given)
        z, log_det = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(x, condition)
        weight = tf.constant([1.0, -2.0, 0.5], log_det.dtype)
        value = tf.reduce_sum(weight[:, None] * tf.reshape(tf.sin(z) * z, [3, -1])) + tf.reduce_sum(weight * log_det)
    return tape.gradient(value, given + [v._value for v in block.trainable_variables], unconnected_gradients="zero")


def shaken(block, x, condition=None):
    block.forward_and_log_det(x, condition)
    generator = np.random.default_rng(0)
    for v in block.trainable_variables:
        v.assign(v.numpy() + 0.1 * generator.normal(size=v.shape))
    return block


def largest_difference(a, b):
    return max(float(tf.reduce_max(tf.abs(p - q)) / (1 + tf.reduce_max(tf.abs(q)))) for p, q in zip(a, b, strict=True))


def step():
    net = MLP((4,), out_channels=4, activation="tanh", zero_last=False)
    return Chain([ActNorm(dtype="float64"), Permutation.shuffle(1), AffineCoupling(conditioner=net, dtype="float64")])


def level(**kwargs):
    def steps():
        def net(channels):
            return ConvNet(3, out_channels=channels, activation="tanh", zero_last=False)

        return Chain([InvertibleConv1x1(seed=1, dtype="float64"), AffineCoupling(conditioner=net, dtype="float64")])

    return Chain([Squeeze(), Repeat(steps, 2, **kwargs)], dtype="float64")


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [None, (2,), (4, 4, 1)])
def test_multiscale(shape, inverse):
    x = tf.random.stateless_normal([3, 4, 4, 2], [0, 1], dtype=tf.float64)
    condition = None if shape is None else tf.random.stateless_normal([3, *shape], [0, 2], dtype=tf.float64)
    block = shaken(Multiscale([level(), level()], priors="learned", backprop="reversible", dtype="float64"), x, condition)
    value = block.forward_and_log_det(x, condition)[0] if inverse else x
    wanted = gradients(block, value, condition, "stored", inverse)

    def own(value, condition):
        with tf.GradientTape() as tape:
            tape.watch(value)
            out, log_det = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(value, condition)
            weight = tf.constant([1.0, -2.0, 0.5], dtype=tf.float64)
            loss = tf.reduce_sum(weight[:, None] * tf.reshape(tf.sin(out) * out, [3, -1])) + tf.reduce_sum(weight * log_det)
        return tape.gradient(loss, [value, *(v._value for v in block.trainable_variables)], unconnected_gradients="zero")

    cut = 0 if condition is None else 1
    assert largest_difference(own(value, condition), [wanted[0], *wanted[1 + cut :]]) < 1e-10
    assert largest_difference(gradients(block, value, condition, "reversible", inverse), wanted) < 1e-10
    assert 0 < worst_drift(block) < 1e-10
    assert Multiscale.from_config(block.get_config()).backprop == block.backprop


@pytest.mark.parametrize("inverse", [False, True])
def test_a_repeat_inside_a_reversible_chain(inverse):
    x, condition = (tf.random.stateless_normal([3, n], [0, 1], dtype=tf.float64) for n in (4, 2))
    block = shaken(Chain([step(), Repeat(step, 3), step()], backprop="reversible", checkpoint_every=2), x, condition)
    for where in (gradients, tf.function(gradients)):
        wanted = where(block, tf.identity(x), condition, "stored", inverse)
        assert largest_difference(where(block, tf.identity(x), condition, "reversible", inverse), wanted) < 1e-10


def test_it_evaluates_each_network_once_a_direction():
    counter = tf.Variable(0, trainable=False)

    def counting():
        return AffineCoupling(conditioner=Counting(MLP((4,), out_channels=4), counter), dtype="float64")

    x = tf.random.stateless_normal([3, 4], [0, 1], dtype=tf.float64)
    block = Chain([Repeat(counting, 5)], backprop="reversible")
    block.forward_and_log_det(x)
    counter.assign(0)
    gradients(block, tf.identity(x), None, "reversible")
    assert int(counter) == 5 + 5  # forward, and once for the inverse and the gradients together


class Tiny(Scale):
    """A scale that float32 cannot undo."""

    low, high, lipschitz = 0.0, 1.0, 1.0

    def log_scale(self, raw):
        return tf.fill(tf.shape(raw), tf.constant(math.log(1e-7), raw.dtype))


def test_a_drift_in_the_repeat_is_mended_by_the_chain_around_it():
    def broken():
        net = MLP((4,), out_channels=4, activation="tanh", zero_last=False)
        return Chain([AffineCoupling(conditioner=net, scale=Tiny()), Permutation.reverse()])

    x = tf.random.stateless_normal([3, 4], [0, 1])
    block = Chain([Repeat(broken, 4)], backprop="reversible")
    block.forward_and_log_det(x)
    wanted = gradients(block, tf.identity(x), None, "stored")
    assert largest_difference(gradients(block, tf.identity(x), None, "reversible"), wanted) < 1e-4
    assert block.worst_drift > 1e-2


def test_where_nothing_can_raise_a_drift_makes_the_gradient_no_number():
    net = MLP((4,), out_channels=4, activation="tanh", zero_last=False)
    steps = [AffineCoupling(conditioner=net, scale=Tiny()), Permutation.reverse(), AffineCoupling(scale=Tiny())]
    block = Chain(steps, backprop="reversible", on_drift="raise", checkpoint_every=3)
    x = tf.random.stateless_normal([3, 4], [0, 1])
    block.forward_and_log_det(x)

    @tf.function(jit_compile=True)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, _ = block.forward_and_log_det(x)
        return tape.gradient(z, x)

    assert not np.isfinite(gradient(x)).any()


def test_a_keras_model_of_it_is_exported(tmp_path):
    repeat = Repeat(lambda: Chain([ActNorm(), Permutation.shuffle(1), AffineCoupling()]), 2, backprop="reversible")
    model = keras.Sequential([keras.Input((4,)), repeat])
    x = tf.random.stateless_normal([3, 4], [0, 1])
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.serve(x), model(x), atol=1e-6)
