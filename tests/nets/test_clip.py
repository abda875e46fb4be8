"""Clipped inputs: bounded networks, what they leave alone, and their Jacobians in balls."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import MaskedAutoregressive
from inntf.nets import MLP, Clip, MaskedMLP, lipschitz_constant
from inntf.nets.linear_maps import linear_maps
from inntf.nets.local_network import local_network
from inntf.nets.masked_maps import masked_in_balls
from inntf.numerics import batch_jacobian


def mlp(**kwargs):
    made = MLP((8,), out_channels=3, activation="tanh", zero_last=False, dtype="float64", **kwargs)
    made.build((None, 4))
    return made


def points(*shape, seed=0, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape) * scale)


def test_what_is_beyond_the_bound_moves_nothing_and_the_condition_does():
    net = mlp(input_bound=1.0, bounded_inputs=3)
    x = np.array([[5.0, -7.0, 0.3, 9.0]])
    np.testing.assert_array_equal(net(x), net(np.array([[1.0, -1.0, 0.3, 9.0]])))
    assert np.abs(net(x) - net(np.array([[5.0, -7.0, 0.3, 8.0]]))).max() > 1e-4
    inside = points(5, 4, scale=0.2)
    plain = mlp()
    plain.set_weights(net.get_weights())
    np.testing.assert_array_equal(net(inside), plain(inside))


def test_slopes_on_intervals():
    layer = Clip(1.0, entries=2)
    layer.build((None, 3))
    low, high = np.array([[-0.5, 0.5, 5.0], [1.5, -3.0, 5.0]]), np.array([[0.5, 1.5, 6.0], [2.0, -2.0, 6.0]])
    least, most = layer.slope_range(low, high)
    assert least.tolist() == [[1, 0, 1], [0, 0, 1]] and most.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("bounded", [None, 2])
def test_jacobians_in_balls_and_constants(bounded):
    net, radius = mlp(input_bound=0.7, bounded_inputs=bounded), np.full(6, 0.1)
    x = points(6, 4, seed=1).numpy()
    maps, why = linear_maps(net, (4,))
    assert not why
    at_centre = local_network(maps, x, np.zeros(6))
    np.testing.assert_allclose(at_centre.jacobian, batch_jacobian(net, tf.constant(x)), atol=1e-6)
    found = local_network(maps, x, radius)
    rng = np.random.default_rng(2)
    for _ in range(30):
        off = rng.normal(size=x.shape)
        near = x + 0.1 * off / np.linalg.norm(off, axis=1, keepdims=True) * rng.uniform(size=(6, 1))
        apart = np.linalg.norm(batch_jacobian(net, tf.constant(near)).numpy() - found.jacobian, 2, axis=(1, 2))
        assert (apart <= found.deviation + 1e-6).all()
    assert np.linalg.norm(batch_jacobian(net, tf.constant(x)).numpy(), 2, axis=(1, 2)).max() <= lipschitz_constant(net)[0]


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("condition", [None, 2])
def test_a_masked_network_clips_entries_alone_in_both_directions(direct, condition):
    net = MaskedMLP(hidden=(8, 8), input_bound=0.7, direct=direct, zero_last=False, activation="tanh", dtype="float64")
    block = MaskedAutoregressive(conditioner=net, dtype="float64")
    given = None if condition is None else points(20, condition, seed=3, scale=3.0)
    x = points(20, 4, scale=2.0)
    z, log_det = block.forward_and_log_det(x, given)
    back, log_det_back = block.inverse_and_log_det(tf.identity(z), given)
    np.testing.assert_allclose(back, x, atol=1e-10)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-10)
    jacobian = batch_jacobian(lambda value: block.forward_and_log_det(value, given)[0], x)
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det, atol=1e-10)
    far = tf.where(tf.abs(x) > 0.7, tf.sign(x) * 50.0, x)
    np.testing.assert_allclose(net(far, given), net(x, given), atol=1e-12)
    if given is not None:
        assert np.abs(net(x, given) - net(x, given + 10.0)).max() > 1e-3
    exact = batch_jacobian(lambda value: tf.reshape(net(value, given), [20, -1]), x)
    found = masked_in_balls(net, x.numpy(), np.zeros(20), given)
    np.testing.assert_allclose(found.jacobian, exact, atol=1e-6)


def test_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Clip(0.5, entries=2), MLP((4,), out_channels=1, input_bound=2.0)])
    model.save(tmp_path / "net.keras")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32") * 3
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "net.keras")(x), model(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Clip(0.0),
        lambda: Clip(1.0, entries=0),
        lambda: Clip(1.0, entries=5)(np.zeros([1, 4])),
        lambda: MLP((4,), out_channels=1, input_bound=-1.0),
        lambda: MaskedMLP(1, input_bound=1.0, angles=True),
    ],
)
def test_refusals(make):
    with pytest.raises(ValueError, match="received"):
        make()
