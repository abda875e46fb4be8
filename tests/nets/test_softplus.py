"""The softplus of MLPs: value and derivatives against closed forms, and that it stays Keras' to everyone else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import MLP, activation_lipschitz
from inntf.nets.activations import softplus


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jit", [False, True])
def test_value_and_derivatives(dtype, jit):
    x = np.concatenate([np.linspace(-40, 40, 801), [-85.0, 0.0, 500.0]])

    @tf.function(jit_compile=jit, autograph=False)
    def all_of_it(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = softplus(x)
            first = tape.gradient(y, x)
        return y, first, outer.gradient(first, x)

    value, first, second = all_of_it(tf.constant(x, dtype))
    eps = np.finfo(dtype).eps
    slope = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(value, np.logaddexp(0, x), rtol=60 * eps, atol=1e-30)
    np.testing.assert_allclose(first, slope, rtol=60 * eps, atol=1e-30)
    np.testing.assert_allclose(second, slope * (1 - slope), rtol=1e-9 if dtype == "float64" else 1e-4, atol=2 * eps)


def test_an_mlp_uses_it_and_says_softplus():
    net = MLP((4,), out_channels=2, activation="softplus")
    net.build((None, 3))
    assert net.get_config()["activation"] == "softplus" and net.layers[0].activation is softplus
    assert activation_lipschitz(softplus) == 1.0
    x = tf.constant([[-30.0, 0.0, 12.0]])
    np.testing.assert_allclose(net.layers[0](x), keras.activations.softplus(x @ net.layers[0].kernel), rtol=1e-5)
