"""A network whose Lipschitz constant is what was asked for, and whose maps for certificates are itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import OrthogonalNet, lipschitz_constant, lipschitz_tensor
from inntf.nets.linear_maps import linear_maps
from inntf.nets.slope_ranges import slope_range
from inntf.numerics import batch_jacobian
from inntf.numerics.orthogonal import cayley, nonexpansive


def built(event, seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    net = OrthogonalNet(**{"hidden": 7, "out_channels": 3, "dtype": "float64", **kwargs})
    net.build((None, *event))
    return net


def data(event, n=4):
    return tf.constant(np.random.default_rng(0).normal(size=(n, *event)))


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e30])
def test_cayley_is_a_rotation_for_any_numbers(scale):
    raw = np.random.default_rng(0).normal(size=(5, 5)) * scale
    rotation = nonexpansive(cayley(tf.constant(raw)), tf.float32).numpy().astype(np.float64)
    assert 1 - 1e-5 < np.linalg.norm(rotation, 2) <= 1
    if scale < 1e30:  # beyond, the imaginary part alone is left, and whatever is singular in it
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(5), atol=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-4)


def test_cayley_agrees_with_its_formula_and_turns_by_an_angle():
    angle = 0.7
    raw = tf.constant([[0.0, np.tan(angle / 2) / 2], [-np.tan(angle / 2) / 2, 0.0]], tf.float64)
    turned = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(cayley(raw), turned, atol=1e-12)


@pytest.mark.parametrize(("event", "inputs"), [((3,), 3), ((5,), 5), ((4, 3, 3), 3), ((4, 3, 5), 5)])
def test_the_constant_the_jacobian_and_the_maps(event, inputs):
    net = built(event, coefficient=0.8, initial_slope=-0.5)
    x = data(event)
    jacobian = batch_jacobian(net, x).numpy()
    assert np.linalg.norm(jacobian, 2, axis=(1, 2)).max() <= 0.8
    assert lipschitz_constant(net) == (0.8, "") and float(lipschitz_tensor(net)) == 0.8
    if len(event) == 1:
        value, own = net.value_and_jacobian(x, net.effective_weights())
        np.testing.assert_allclose(own, jacobian, atol=1e-12)
        np.testing.assert_allclose(value, net(x), atol=1e-12)
    maps, why = linear_maps(net, event)
    value = x.numpy().reshape(len(x), -1)
    for part in maps:
        value = part.activate(part.image(value) + part.bias)
        assert part.norm <= 1 + 1e-9
    assert not why
    np.testing.assert_allclose(value, net(x).numpy().reshape(len(x), -1), atol=1e-12)
    slopes = slope_range(maps[0].activation, np.full_like(maps[0].bias, -1.0)[None], np.full_like(maps[0].bias, 2.0)[None])
    channels = np.reshape(slopes, [2, -1, 10])
    np.testing.assert_allclose(channels[:, 0, :3], 1.0)
    np.testing.assert_allclose(channels[0, 0, 3:], np.tanh(-1.0), rtol=1e-12)
    np.testing.assert_allclose(channels[1, 0, 3:], np.tanh(2.0), rtol=1e-12)


def test_pixels_see_their_neighbours_and_a_border_adds_nothing():
    net = built((5, 5, 3), depth=1)
    x = data((5, 5, 3), 1)
    seen = np.abs(batch_jacobian(lambda x: net(x)[:, 2, 2], x).numpy().reshape(3, 5, 5, 3)).sum((0, 3)) > 1e-12
    wanted = np.zeros((5, 5), bool)
    wanted[[1, 2, 2, 2, 3], [2, 1, 2, 3, 2]] = True
    np.testing.assert_array_equal(seen, wanted)


def test_the_start_has_the_slope_that_was_asked_for():
    net = built((3,), hidden=64, initial_slope=-0.9)
    jacobian = batch_jacobian(net, data((3,))).numpy()
    assert np.abs(jacobian + 0.9 * np.eye(3)).max() <= 0.1 + 1e-9


def test_a_condition_may_make_it_wider_than_its_output_and_saving_keeps_it():
    net = built((5,), depth=3, coefficient=0.5)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(net))
    twin.set_weights(net.get_weights())
    np.testing.assert_array_equal(twin(data((5,))), net(data((5,))))


def test_sixteen_bits_do_not_stretch():
    net = built((3,), dtype="mixed_bfloat16")
    kernels = [np.asarray(tf.cast(k, tf.float64)) for k in net.effective_weights()[:3]]
    assert all(0.9 < np.linalg.norm(k, 2) <= 1 for k in kernels)


@pytest.mark.parametrize("wrong", [{"coefficient": -1.0}, {"initial_slope": 2.0}, {"hidden": 0}, {"depth": 0}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="received"):
        OrthogonalNet(**wrong)
    with pytest.raises(ValueError, match="out_channels"):
        OrthogonalNet(4)(tf.ones([2, 3]))


def test_it_reaches_its_constant():
    """Fit |x|, of slope 1 on both sides: rotations and folds lose nothing."""
    net = built((1,), hidden=4, depth=1, out_channels=1, seed=1, dtype="float32")
    x = tf.linspace(-2.0, 2.0, 64)[:, None]
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(net.trainable_weights)

    @tf.function
    def train():
        for _ in tf.range(150):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(net(x) - tf.abs(x)))
            optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_weights), net.trainable_weights, strict=True))

    train()
    slopes = batch_jacobian(net, tf.constant([[-1.9], [1.9]])).numpy().ravel()
    np.testing.assert_allclose(slopes, [-1, 1], atol=0.05)
