"""What computes something else than its class says has no constant, and what changes is looked at again."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import nets
from inntf.blocks import ResidualBlock
from inntf.nets import lipschitz_constant
from inntf.nets.slope_ranges import slope_range

LOUD = [nets.MLP, nets.LipschitzMLP, nets.OrthogonalNet, nets.ConvNet]


def refused(layer, words):
    bound, reason = lipschitz_constant(layer)
    return math.isinf(bound) and words in reason


@pytest.mark.parametrize("kind", LOUD)
def test_a_subclass_with_another_call(kind):
    class Louder(kind):
        def call(self, x):
            return 10 * super().call(x)

    x = tf.ones([1, 4, 4, 2] if kind is nets.ConvNet else [1, 4])
    hidden = {nets.ConvNet: (4, 4), nets.OrthogonalNet: 4}.get(kind, (4,))
    plain, louder = (made(hidden, out_channels=2) for made in (kind, Louder))
    for net in (plain, louder):
        net(x)
    assert math.isfinite(lipschitz_constant(plain)[0]) and refused(louder, "of its own")


def test_a_layer_with_another_call_or_convolution():
    class Loud(nets.SpectralDense):
        def call(self, x, training=None):
            return 10 * super().call(x, training)

    class Standardized(keras.layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, 10 * kernel)

    loud, conv = Loud(2), Standardized(2, 3)
    loud(tf.ones([1, 2]))
    conv(tf.ones([1, 4, 4, 1]))
    assert refused(loud, "of its own") and refused(conv, "of its own")


@pytest.mark.parametrize("layer", [keras.layers.Dropout(0.5), keras.layers.BatchNormalization()], ids=["dropout", "batch norm"])
def test_layers_that_are_told_to_train(layer):
    inputs = keras.Input((3,))
    assert refused(keras.Model(inputs, keras.layers.Dense(3)(layer(inputs, training=True))), "training=True")
    assert math.isfinite(lipschitz_constant(keras.Model(inputs, keras.layers.Dense(3)(layer(inputs))))[0])


def test_weights_that_are_not_finite():
    dense, prelu, swish = keras.layers.Dense(2), keras.layers.PReLU(), nets.LipSwish()
    for layer, weight in ((dense, "bias"), (prelu, "alpha"), (swish, "raw_beta")):
        layer(tf.ones([1, 2]))
        assert math.isfinite(lipschitz_constant(layer)[0])
        variable = getattr(layer, weight)
        variable.assign(np.full(variable.shape, np.nan))
        assert refused(layer, "") and math.isinf(lipschitz_constant([keras.layers.ReLU(), layer])[0])


def test_a_constant_that_an_activation_computes():
    class Gain:
        def __init__(self):
            self.settings = {"deep": [tf.Variable(1.0)]}

        @property
        def lipschitz(self):
            return float(self.settings["deep"][0])

        def __call__(self, x):
            return tf.cast(self.settings["deep"][0], x.dtype) * tf.tanh(x)

    gain = Gain()
    block = ResidualBlock(network=lambda n: nets.LipschitzMLP([4], out_channels=n, activation=gain)).ensure_built((2,))
    before = block.lipschitz_bounds().forward
    gain.settings["deep"][0].assign(1.5)
    after = block.lipschitz_bounds().forward
    assert after - 1 == pytest.approx(1.5 * (before - 1)) or math.isinf(after)


def test_small_norms_multiply_to_no_less_than_the_smallest_number():
    layers = [keras.layers.Dense(1, dtype="float64") for _ in range(2)]
    for layer in layers:
        layer.build((None, 1))
        layer.kernel.assign([[1e-200]])
    assert lipschitz_constant(layers)[0] > 0


def test_a_swish_that_has_become_linear():
    swish = nets.LipSwish(dtype="float64")
    swish(tf.ones([1, 2], tf.float64))
    swish.raw_beta.assign(tf.fill(swish.raw_beta.shape, tf.constant(-800.0, tf.float64)))
    low, high = slope_range(swish, np.array([-3.0]), np.array([3.0]))
    assert low <= 0.5 / 1.1 <= high
