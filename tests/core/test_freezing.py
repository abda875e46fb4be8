"""Frozen before it is built is frozen afterwards, and in copies."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks, nets
from inntf.compose import Chain, Multiscale, Repeat

FLAT = {
    "coupling": lambda: blocks.AffineCoupling(trainable=False),
    "two-sided": lambda: blocks.TwoSidedCoupling(trainable=False),
    "autoregressive": lambda: blocks.MaskedAutoregressive(trainable=False),
    "residual": lambda: blocks.ResidualBlock(trainable=False),
    "chain": lambda: Chain([blocks.ActNorm(), blocks.AffineCoupling()], trainable=False),
    "repeat": lambda: Repeat(lambda: Chain([blocks.ActNorm(), blocks.AffineCoupling()]), 2, trainable=False),
    "conditioner": lambda: blocks.AffineCoupling(conditioner=nets.MLP((4,), trainable=False)),
}


@pytest.mark.parametrize("name", FLAT)
def test_what_build_makes_is_frozen(name):
    block = FLAT[name]().ensure_built((4,))
    assert not any(v.trainable for v in block.variables)
    assert not block.copy().trainable_variables
    block.trainable = True
    assert block.trainable_variables


def test_a_container_frozen_before_its_parts_are_built():
    level = Chain([blocks.Squeeze(), blocks.AffineCoupling(conditioner=nets.ConvNet(4))])
    block = Multiscale([Chain([blocks.Squeeze(), blocks.ActNorm()]), level], priors="learned")
    block.trainable = False
    block.ensure_built((8, 8, 1))
    assert not any(v.trainable for v in block.variables)


def test_a_frozen_block_in_a_model_does_not_train():
    block, inputs = blocks.AdditiveCoupling(trainable=False), keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(block(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = block.get_weights()
    model.fit(np.ones((8, 4), "float32"), np.ones((8, 1), "float32"), verbose=0)
    for a, b in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keyword_call():
    block = blocks.AffineCoupling()
    x, c = tf.random.stateless_normal([2, 4], [1, 2]), tf.ones([2, 3])
    np.testing.assert_array_equal(block(x=x, condition=c), block(tf.identity(x), c))
