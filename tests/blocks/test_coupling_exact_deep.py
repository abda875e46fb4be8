"""Exact couplings at depth 200, with conditioners whose Lipschitz constants multiply to astronomical numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat
from inntf.stability import reconstruction_error

DEPTH = 200


def bits_of(value):
    return np.asarray(value).tobytes()


def images(batch=4, shape=(4, 4, 2), dtype="float32", seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 256, (batch, *shape)) / 256, dtype)


def wild(gain, dtype="float32"):
    """A shift `sin(W x)`: at most 1, so sums stay in range, but with a Lipschitz constant of about `gain`."""

    def make(channels):
        kernel = keras.initializers.RandomNormal(stddev=gain)
        return keras.layers.Dense(channels, activation=tf.sin, kernel_initializer=kernel, dtype=dtype)

    return make


def glow(cls, gain, **kwargs):
    keras.utils.set_random_seed(3)
    step = lambda i: Chain([b.Permutation.shuffle(i), cls(conditioner=wild(gain))])  # noqa: E731
    return Chain([b.Squeeze(), Repeat(step, DEPTH, **kwargs)])


def test_a_deep_glow_returns_the_very_bits():
    """The product of the Lipschitz constants is about 50^200."""
    for cls in (b.ExactAdditiveCoupling, b.AdditiveCoupling):
        chain, x = glow(cls, 50.0), images()
        z = tf.function(lambda v, c=chain: c.forward_and_log_det(v)[0], autograph=False)(x)
        back = tf.function(lambda v, c=chain: c.inverse_and_log_det(v)[0], autograph=False)(tf.constant(z.numpy()))
        assert np.max(np.abs(z.numpy() - tf.nn.space_to_depth(x, 2).numpy())) > 1.0  # it does move
        if cls is b.ExactAdditiveCoupling:
            assert bits_of(back) == bits_of(x)
        else:
            assert np.max(np.abs(back - x)) > 0.1  # the same network without the grid: lost


def vectors(cls, gain, **kwargs):
    keras.utils.set_random_seed(4)
    split = [b.ChannelSplit(), b.ChannelSplit(swap=True)]
    blocks = [cls(conditioner=wild(gain), split=split[i % 2]) for i in range(DEPTH - 1)]
    return Chain([b.Permutation.reverse(), *blocks], **kwargs)


def gradients(block, x):
    weigh = tf.random.stateless_normal(x.shape, [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weigh * block.forward_and_log_det(x)[0])
    return [g.numpy().astype(np.float64) for g in tape.gradient(loss, [x, *(v.value for v in block.trainable_weights)])]


def close(got, expected):
    for a, c in zip(got, expected, strict=True):
        assert np.all(np.isfinite(c)) and np.max(np.abs(c)) > 0
        np.testing.assert_allclose(a, c, atol=1e-5 * np.max(np.abs(c)), rtol=0)


def test_a_deep_chain_and_its_reversible_gradients():
    chain = vectors(b.ExactAdditiveCoupling, 1.0)
    x = images(3, (6,))
    assert np.all(reconstruction_error(chain, x) == 0)
    reversible = Chain(chain.blocks, backprop="reversible", drift_tolerance=0.0, on_drift="raise")
    expected = gradients(chain, tf.identity(x))
    assert np.max(np.abs(expected[0])) > 1e6  # they explode
    close(gradients(reversible, tf.identity(x)), expected)
    assert reversible.worst_drift == 0.0  # every activation was recomputed to the bit


def test_the_same_chain_without_the_grid_drifts():
    chain = vectors(b.AdditiveCoupling, 1.0, backprop="reversible", checkpoint_every=DEPTH, on_drift="warn")
    x = images(3, (6,))
    assert np.max(reconstruction_error(chain, x)) > 0.1
    with pytest.warns(RuntimeWarning, match="drift"):
        gradients(chain, tf.identity(x))
    assert chain.worst_drift > 0.1


def test_a_deep_glow_has_the_stored_gradients_in_a_graph():
    stored = glow(b.ExactAdditiveCoupling, 0.5)
    reversible = glow(b.ExactAdditiveCoupling, 0.5, backprop="reversible", drift_tolerance=0.0, on_drift="raise")
    x = images()
    for chain in (stored, reversible):
        chain.ensure_built(x.shape[1:])
    reversible.set_weights(stored.get_weights())

    def of(chain):
        variables = [v.value for v in chain.trainable_weights]

        @tf.function(autograph=False)
        def run(v):
            with tf.GradientTape() as tape:
                tape.watch(v)
                loss = tf.reduce_sum(tf.cos(chain.forward_and_log_det(v)[0]))
            return tape.gradient(loss, [v, *variables])

        return [g.numpy().astype(np.float64) for g in run(x)]

    close(of(reversible), of(stored))
    assert reversible.blocks[1].worst_drift == 0.0
