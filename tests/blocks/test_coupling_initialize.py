"""Data-dependent initialization through a coupling: the conditioner runs once, the value returned is that of `forward`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AdditiveCoupling, AffineCoupling
from inntf.nets import ConvNet


class Counting(keras.layers.Layer):
    """A convolution that counts its evaluations and has something to initialize."""

    def __init__(self, channels):
        super().__init__()
        self.net = ConvNet(6, out_channels=channels, normalization=ActNorm, zero_last=False)
        self.evaluations = 0

    def build(self, input_shape):
        self.net.build(input_shape)

    def call(self, x):
        self.evaluations += 1
        return self.net(x)

    def initialize(self, x):
        self.evaluations += 1
        return self.net.initialize(x)


@pytest.mark.parametrize("kind", [AdditiveCoupling, AffineCoupling])
def test_one_evaluation_and_the_value_of_forward(kind):
    block = kind(conditioner=Counting).ensure_built((4, 4, 4))
    x = tf.random.stateless_normal([16, 4, 4, 4], [1, 2])
    before = [w.numpy() for w in block.variables]
    block.conditioner.evaluations = 0
    z = block.initialize(x)
    assert block.conditioner.evaluations == 1
    assert any(np.any(a != b.numpy()) for a, b in zip(before, block.variables, strict=True))  # something was initialized
    np.testing.assert_allclose(z, block.forward_and_log_det(tf.identity(x))[0], rtol=1e-5, atol=1e-5)


def test_the_hidden_activations_are_normalized():
    block = AdditiveCoupling(conditioner=Counting).ensure_built((4, 4, 4))
    x = 3.0 + 5.0 * tf.random.stateless_normal([64, 4, 4, 4], [3, 4])
    block.initialize(x)
    net = block.conditioner.net
    kept = block.split.part(x)[0]
    hidden = net.norms[0](net.convolutions[0](kept)).numpy()
    np.testing.assert_allclose(hidden.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(hidden.std((0, 1, 2)), 1, atol=1e-2)
