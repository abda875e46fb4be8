"""Slopes of activations on intervals: what automatic differentiation finds lies in the range, and the range is reached."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inntf.nets import LipSwish, MaxMin, lip_swish
from inntf.nets.slope_ranges import slope_range

EXACT = ["linear", "relu", "leaky_relu", "elu", "tanh", "sigmoid", "softplus", "softsign", "silu", "gelu"]
DECLARED = ["mish", "selu", "hard_silu", "celu"]
ends = st.floats(-8, 8)


def autodiff(activation, x):
    function = keras.activations.get(activation) if isinstance(activation, str) else activation
    x = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


@settings(max_examples=25, deadline=None)
@given(ends, st.floats(1e-6, 5))
@pytest.mark.parametrize("activation", [*EXACT, *DECLARED, lip_swish])
def test_slopes_lie_in_the_range(activation, low, width):
    x = np.linspace(low, low + width, 41)
    x = x[np.abs(x) > 1e-30]  # at a kink, and where TensorFlow takes numbers for zero, autodiff may give anything
    least, most = slope_range(activation, np.float64(low), np.float64(low + width))
    found = autodiff(activation, x)
    assert least <= found.min() + 1e-9 and found.max() <= most + 1e-9


@pytest.mark.parametrize("activation", [*EXACT, lip_swish])
@pytest.mark.parametrize(("low", "high"), [(-4.0, 4.0), (0.3, 0.4), (-3.0, -1.0), (1.0, 2.6)])
def test_the_range_is_reached(activation, low, high):
    least, most = slope_range(activation, np.float64(low), np.float64(high))
    found = autodiff(activation, np.linspace(low, high, 4001))
    np.testing.assert_allclose([least, most], [found.min(), found.max()], atol=2e-3)


def test_layers_and_none():
    low, high = np.array([-1.0, 1.0]), np.array([-0.5, 2.0])
    for layer, expected in [
        (None, [[1, 1], [1, 1]]),
        (keras.layers.ReLU(negative_slope=0.3), [[0.3, 1], [0.3, 1]]),
        (keras.layers.LeakyReLU(negative_slope=0.1), [[0.1, 1], [0.1, 1]]),
        (keras.layers.Activation("relu"), [[0, 1], [0, 1]]),
    ]:
        np.testing.assert_allclose(np.array(slope_range(layer, low, high)), expected, atol=1e-7)
    for layer in (keras.layers.ReLU(negative_slope=0.3), keras.layers.LeakyReLU(negative_slope=0.1)):
        least, most = slope_range(layer, np.float64(-1), np.float64(1))
        found = autodiff(keras.layers.Activation(lambda x, layer=layer: layer(x), dtype="float64"), np.array([-0.5, 0.5]))
        np.testing.assert_allclose([least, most], found, atol=1e-7)
    layer = LipSwish()
    layer.build((None, 1))
    x = np.linspace(-3, 3, 101)
    least, most = slope_range(layer, np.float64(-3), np.float64(3))
    found = autodiff(lambda v: layer(v), x)
    assert least - 1e-9 <= found.min() and found.max() <= most + 1e-9


def test_what_declares_a_constant_and_what_declares_nothing():
    low = high = np.zeros(1)
    assert np.array(slope_range(MaxMin(), low, high)).tolist() == [[-1.0], [1.0]]
    assert np.isinf(slope_range(lambda x: x**3, low, high)[1]).all()

    class Cube:
        def slope_range(self, low, high):
            return 0 * low, 3 * np.maximum(low**2, high**2)

    assert slope_range(Cube(), np.float64(-1), np.float64(2)) == (0.0, 12.0)
