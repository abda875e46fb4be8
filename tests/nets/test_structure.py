"""Two networks with one text compute one function of input and weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ResidualBlock
from inntf.nets import MLP, ConvNet, LipschitzMLP, SpectralConv2D, SpectralDense, lip_swish
from inntf.nets.structure import structure_of

KNOWN = {
    "spectral mlp": lambda c: LipschitzMLP((4,), coefficient=c),
    "mlp": lambda c: MLP((4,), activation="tanh" if c < 0.5 else "elu"),
    "sequential": lambda c: keras.Sequential([SpectralDense(4, coefficient=c), keras.layers.Dense(3)]),
    "images": lambda c: ConvNet(
        4,
        activation=lip_swish,
        convolution=SpectralConv2D,
        convolution_arguments={"coefficient": c, "update_every_call": False},
    ),
}


def _built(make, c):
    net = make(c)
    if hasattr(net, "out_channels"):
        net.out_channels = 3
    net(tf.zeros([1, 4, 4, 3]) if isinstance(net, ConvNet) else tf.zeros([1, 3]))
    return net


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_equal_networks_share_it_and_changed_ones_do_not(make):
    first, second, other = (_built(make, c) for c in (0.4, 0.4, 0.7))
    assert structure_of(first) is not None
    assert structure_of(first) == structure_of(second) != structure_of(other)


class Own(keras.layers.Dense):
    pass


def test_what_nobody_knows_has_none():
    def own(x):
        return x

    for layer in (
        Own(3),
        keras.Sequential([Own(3)]),
        keras.layers.Dense(3, activation=own),
        keras.layers.Dense(3, activation=lambda x: x),
        keras.Sequential([keras.layers.Lambda(lambda x: x)]),
        keras.layers.Normalization(),
    ):
        assert structure_of(layer) is None


def test_inverses_of_equal_networks_are_their_own_and_follow_every_change():
    blocks = []
    for scale in (0.3, 0.6):
        net = keras.Sequential([SpectralDense(3, coefficient=0.8, kernel_initializer=keras.initializers.Orthogonal(scale))])
        blocks.append(ResidualBlock(network=net).ensure_built((3,)))
    z = tf.random.stateless_normal([5, 3], [1, 2])
    for change in (lambda b: None, lambda b: b.network.layers[0].kernel.assign(0.5 * b.network.layers[0].kernel), _coefficient):
        for block in blocks:
            change(block)
            x, _ = block.inverse_and_log_det(z)
            g = np.linalg.inv(np.eye(3) + block.network.layers[0].effective_kernel().numpy().astype(np.float64))
            np.testing.assert_allclose(x, (z - block.network.layers[0].bias) @ g, atol=1e-5)


def _coefficient(block):
    block.network.layers[0].coefficient = 0.1
