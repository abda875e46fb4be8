"""The residual conditioner: what it computes, on vectors and images, with gates; two networks side by side."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling
from inntf.nets import MLP, ResidualNet, SideBySide


def by_hand(weights, x, gates):
    """The formula of the docstring, in numpy, for dense layers."""
    relu = lambda v: np.maximum(v, 0.0)  # noqa: E731
    weights = list(weights)
    h = x @ weights[0] + weights[1]
    rest, last = weights[2:-2], weights[-2:]
    n = 6 if gates else 4
    for i in range(0, len(rest), n):
        v1, b1, v2, b2, *gate = rest[i : i + n]
        step = relu(relu(h) @ v1 + b1) @ v2 + b2
        if gates:
            step = step / (1 + np.exp(-(x[:, -gates:] @ gate[0] + gate[1])))
        h = h + step
    return h @ last[0] + last[1]


@pytest.mark.parametrize("gates", [0, 2])
def test_is_its_formula(gates):
    net = ResidualNet(5, 3, out_channels=4, gate_channels=gates, zero_last=False, dtype="float64")
    x = np.random.default_rng(0).normal(size=(6, 3))
    net(x)
    rng = np.random.default_rng(1)
    net.set_weights([rng.normal(size=w.shape) for w in net.weights])
    np.testing.assert_allclose(net(x), by_hand(net.get_weights(), x, gates), rtol=1e-12)


def test_is_saved(tmp_path):
    inputs = keras.Input((4, 4, 3))
    nets = [ResidualNet(4, 1, out_channels=2, gate_channels=1, zero_last=False), ResidualNet(3, 1, out_channels=1)]
    model = keras.Model(inputs, SideBySide(nets)(inputs))
    model.save(tmp_path / "model.keras")
    x = tf.random.stateless_normal([2, 4, 4, 3], [1, 2])
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


def test_side_by_side_keeps_the_order_and_serves_a_coupling():
    nets = [MLP(4, out_channels=2, zero_last=False) for _ in range(2)]
    x = tf.random.stateless_normal([3, 2], [3, 4])
    both = SideBySide(nets)
    np.testing.assert_array_equal(both(x), np.concatenate([net(x) for net in nets], -1))
    block = AffineCoupling(conditioner=both)
    x = tf.random.stateless_normal([3, 4], [3, 4])
    z, _ = block.forward_and_log_det(x)
    np.testing.assert_allclose(block.inverse_and_log_det(tf.identity(z))[0], x, atol=1e-5)


def test_what_they_refuse():
    with pytest.raises(ValueError, match="gate_channels=4"):
        ResidualNet(4, out_channels=2, gate_channels=4)(tf.ones([2, 3]))
    with pytest.raises(ValueError, match="out_channels"):
        ResidualNet(4)(tf.ones([2, 3]))
    with pytest.raises(TypeError, match="a list of Keras layers"):
        SideBySide([3])
    with pytest.raises(ValueError, match="at least one"):
        SideBySide([])
