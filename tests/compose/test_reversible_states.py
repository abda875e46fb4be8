"""Reversible backpropagation where one sample is an outlier, where blocks share a state, and where levels drift apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Multiscale, Repeat
from inntf.compose.drift import fingerprint, fingerprint_drift, relative_drift
from inntf.core import Block
from inntf.numerics.log_dets import RussianRoulette


class Trained(keras.layers.Layer):
    """The loss of a composition as Keras calls it in training."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def call(self, x, training=None):
        z, log_det = self.block.forward_and_log_det(x)
        return tf.reduce_mean(tf.reduce_sum(z**4, -1) - log_det)


def training_gradients(block, x):
    layer = Trained(block)
    layer(x)
    with tf.GradientTape() as tape:
        loss = layer(x, training=True)
    return [loss, *tape.gradient(loss, [v.value for v in block.trainable_variables])]


def relative_difference(a, b):
    difference = sum(float(tf.reduce_sum((p - q) ** 2)) for p, q in zip(a, b, strict=True))
    return np.sqrt(difference / sum(float(tf.reduce_sum(q**2)) for q in b))


def samples(n=64, dim=4):
    return tf.random.stateless_normal([n, dim], [0, 1])


# ---- outliers -------------------------------------------------------------------------------------------------------


def lossy(n):
    """Splines behind enlarged weights, whose inverses lose digits in float32."""
    keras.utils.set_random_seed(0)
    parts = []
    for i in range(n):
        parts += [b.SplineCoupling(num_bins=6), b.InvertibleLinear(seed=i)]
    return parts


def enlarged(block, factor):
    for variable in block.trainable_variables:
        if "kernel" in variable.path:
            noise = tf.random.stateless_normal(variable.shape, [len(variable.path), 3])
            variable.assign(factor * (variable + 0.2 * noise))
    return block


def test_an_outlier_hides_nobody_elses_drift():
    x = samples().numpy()
    block = enlarged(Chain(lossy(6), backprop="reversible").ensure_built((4,)), 6.0)
    stored = enlarged(Chain(lossy(6)).ensure_built((4,)), 6.0)
    for ours, theirs in zip(block.variables, stored.variables, strict=True):
        ours.assign(theirs)
    clean = relative_difference(training_gradients(block, x), training_gradients(stored, x))
    assert block.worst_drift > 1e-2 and clean < 1e-3
    x[3, 1] = -999999.0  # a sentinel, which the splines' tails let pass
    assert relative_difference(training_gradients(block, x), training_gradients(stored, x)) < 1e-3
    assert block.worst_drift > 1e-2


def test_the_measure_of_drift():
    true = samples(5)
    assert relative_drift(true, true) == 0.0
    off = true + tf.constant([0.0, 0, 0, 0, 1.0])[:, None]
    alone = float(1 / tf.sqrt(tf.reduce_mean(true[4] ** 2)))
    np.testing.assert_allclose(relative_drift(off, true), alone, rtol=1e-5)
    np.testing.assert_allclose(relative_drift(off[4:], true[4:]), alone, rtol=1e-5)
    far = tf.concat([true[:1] * 1e6, true[1:]], 0)
    np.testing.assert_allclose(relative_drift(far + (off - true), far), alone, rtol=1e-5)
    # A sample of zeros is as exact as what it was made from, not as itself.
    zero = tf.concat([tf.zeros([2, 4]), true], 0)
    assert relative_drift(zero + 1e-7, zero) < 1e-4
    assert relative_drift(zero + 1e-1, zero) > 1.0
    mostly = tf.concat([tf.zeros([5, 4]), true], 0)  # zero-inflated
    assert relative_drift(mostly + 1e-7, mostly) < 1e-3
    assert fingerprint_drift(mostly + 1e-7, fingerprint(mostly)) < 1e-3
    for bad in (float("nan"), float("inf"), 1e30):  # squares of the last overflow
        spoiled = tf.concat([tf.fill([1, 4], bad), true], 0)
        assert relative_drift(spoiled, spoiled) == float("inf")
        assert fingerprint_drift(spoiled, fingerprint(spoiled)) == float("inf")
    assert relative_drift(true[:0], true[:0]) == 0.0
    assert fingerprint_drift(true[:0], fingerprint(true[:0])) == 0.0


@pytest.mark.parametrize("kind", [Chain, lambda parts, **k: Repeat(parts[0], 2, **k)], ids=["chain", "repeat"])
def test_an_empty_part_of_a_batch_is_no_drift(kind):
    block = kind([b.AffineCoupling(), b.ActNorm()], backprop="reversible", on_drift="raise").ensure_built((4,))

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(block.forward_and_log_det(x)[0])
        return tape.gradient(loss, [v.value for v in block.trainable_variables])

    for gradient in step(tf.zeros([0, 4])):
        np.testing.assert_array_equal(gradient, tf.zeros_like(gradient))


# ---- states ---------------------------------------------------------------------------------------------------------


def dropping(channels):
    return keras.Sequential(
        [keras.layers.Dense(16, activation="tanh"), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(channels)]
    )


def normalizing(channels):
    return keras.Sequential(
        [keras.layers.Dense(16, activation="tanh"), keras.layers.BatchNormalization(), keras.layers.Dense(channels)]
    )


USED_TWICE = {
    "dropout": lambda: b.AffineCoupling(conditioner=dropping),
    "batch normalization": lambda: b.AffineCoupling(conditioner=normalizing),
    "roulette": lambda: b.ResidualBlock(log_det=RussianRoulette(), seed=1),
}
AROUND = {
    "chain": lambda parts, mode: Chain(parts, backprop=mode),
    "segments of one": lambda parts, mode: Chain(parts, backprop=mode, checkpoint_every=1),
    "unguarded": lambda parts, mode: Chain(parts, backprop=mode, drift_tolerance=float("inf")),
    "nested": lambda parts, mode: Chain([b.ActNorm(), Chain(parts), b.ActNorm()], backprop=mode),
    "repeat": lambda parts, mode: Repeat(lambda: Chain(parts), 1, backprop=mode),
    "repeat in a chain": lambda parts, mode: Chain([Repeat(lambda: Chain(parts), 1), b.ActNorm()], backprop=mode),
}


@pytest.mark.parametrize("mode", ["reversible", "checkpointed"])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("kind", USED_TWICE)
def test_a_block_used_twice_has_its_states_in_turn(kind, around, mode):
    def make(mode):
        keras.utils.set_random_seed(0)
        part = USED_TWICE[kind]()
        return AROUND[around]([part, b.Permutation.reverse(), part], mode)

    x = samples()
    assert relative_difference(training_gradients(make(mode), x), training_gradients(make("stored"), x)) < 1e-5


class Dropping(Block):
    """A coupling without a backward step of its own, whose network drops units."""

    def build(self, input_shape):
        self.network = dropping(input_shape[-1] // 2)
        self.network.build((None, input_shape[-1] // 2))

    def _moved(self, value, sign):
        first, second = tf.split(value, 2, -1)
        return tf.concat([first, second + sign * self.network(first)], -1), tf.zeros([tf.shape(value)[0]], value.dtype)

    def forward_and_log_det(self, x, condition=None):
        return self._moved(x, 1.0)

    def inverse_and_log_det(self, z, condition=None):
        return self._moved(z, -1.0)


def test_the_default_backward_step_draws_what_the_forward_pass_drew():
    def make(mode):
        keras.utils.set_random_seed(0)
        return Chain([Dropping(), b.Permutation.reverse(), Dropping()], backprop=mode)

    x = samples()
    assert relative_difference(training_gradients(make("reversible"), x), training_gradients(make("stored"), x)) < 1e-5


@pytest.mark.parametrize("inverse", [False, True])
def test_a_monotone_block_that_trains_fast_is_undone_with_the_norms_it_had(inverse):
    drifts, gradients = [], {}
    for mode in ("reversible", "stored"):
        keras.utils.set_random_seed(1)
        block = Chain([b.MonotoneBlock(coefficient=0.9) for _ in range(2)], backprop=mode)
        layer = Trained(block)
        if inverse:
            block.forward_and_log_det, block.inverse_and_log_det = block.inverse_and_log_det, block.forward_and_log_det
        optimizer = keras.optimizers.Adam(1e-3 if inverse else 5e-2)  # the inverse updates no norms
        for _ in range(4):
            with tf.GradientTape() as tape:
                loss = layer(3 * samples(32, 3), training=True)
            gradients[mode] = tape.gradient(loss, [v.value for v in block.trainable_variables])
            optimizer.apply(gradients[mode], block.trainable_variables)
            drifts.append(block.worst_drift or 0.0)
    assert max(drifts) < 1e-5
    assert relative_difference(gradients["reversible"], gradients["stored"]) < 1e-4


# ---- levels ---------------------------------------------------------------------------------------------------------


def test_the_drift_of_a_multiscale_is_that_of_its_worst_level():
    keras.utils.set_random_seed(0)

    def level(coarse):
        class Coarse(b.Rescale):
            def inverse_and_log_det(self, z, condition=None):  # an inverse that brings back something else
                x, log_det = super().inverse_and_log_det(z, condition)
                return x * (1.5 if coarse else 1.0), log_det

        return Chain([b.Squeeze(), Coarse(scale=2.0), b.ActNorm()])

    x = tf.random.stateless_normal([3, 8, 8, 1], [0, 2])
    for coarse in range(3):
        block = Multiscale([level(i == coarse) for i in range(3)], backprop="reversible")
        training_gradients(block, x)
        assert block.worst_drift > 0.1, coarse
