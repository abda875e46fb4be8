"""Angles by cosine and sine: periodic networks, their constants, and their Jacobians in balls."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import MLP, AngleFeatures, lipschitz_constant
from inntf.nets.angle_features import SinusOfSome
from inntf.nets.linear_maps import linear_maps
from inntf.nets.local_network import local_network
from inntf.numerics import batch_jacobian


def net(**kwargs):
    made = MLP((8,), out_channels=3, activation="tanh", zero_last=False, dtype="float64", **kwargs)
    made.build((None, 4))
    return made


def test_a_network_of_angles_has_their_period():
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 4)))
    turned = x + 2 * np.pi * np.array([1.0, 0.0, -2.0, 0.0])
    some, everything, none = net(angles=[0, 2]), net(angles=True), net()
    np.testing.assert_allclose(some(turned), some(x), atol=1e-12)
    np.testing.assert_allclose(everything(x + 2 * np.pi), everything(x), atol=1e-12)
    assert np.abs(none(turned) - none(x)).max() > 1e-3 and np.abs(some(x + 2 * np.pi) - some(x)).max() > 1e-3
    degrees = AngleFeatures(bound=180.0)
    np.testing.assert_allclose(degrees(tf.constant([[90.0]])), [[0.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize("bound", [np.pi, 1.0])
def test_its_constant_is_that_of_the_jacobian(bound):
    layer = AngleFeatures([1], bound, dtype="float64")
    x = tf.constant(np.random.default_rng(1).normal(size=(20, 3)))
    singular = np.linalg.svd(batch_jacobian(layer, x).numpy(), compute_uv=False)
    assert abs(singular.max() - lipschitz_constant(layer)[0]) < 1e-12
    made = net(angles=True)
    measured = np.linalg.svd(batch_jacobian(made, 3 * tf.concat([x, x[:, :1]], 1)).numpy(), compute_uv=False).max()
    assert measured <= lipschitz_constant(made)[0] < 10 * measured


def test_slopes_of_the_sine_on_intervals():
    rng = np.random.default_rng(2)
    low = rng.uniform(-10, 10, [400, 2])
    high = low + rng.exponential(2.0, low.shape)
    least, most = SinusOfSome(1).slope_range(low, high)
    points = np.cos(np.linspace(low[:, 0], high[:, 0], 2001))
    assert (least[:, 0] <= points.min(0)).all() and (most[:, 0] >= points.max(0)).all()
    np.testing.assert_allclose(least[:, 0], points.min(0), atol=1e-4)
    np.testing.assert_allclose(most[:, 0], points.max(0), atol=1e-4)
    assert (least[:, 1] == 1).all() and (most[:, 1] == 1).all()


def test_its_jacobian_in_balls():
    made, radius = net(angles=[0, 3]), np.full(4, 0.2)
    x = np.random.default_rng(3).normal(size=(4, 4))
    maps, why = linear_maps(made, (4,))
    assert not why
    found = local_network(maps, x, radius)
    np.testing.assert_allclose(found.value, made(x), atol=1e-12)
    rng = np.random.default_rng(4)
    for _ in range(20):
        step = rng.normal(size=x.shape)
        step *= 0.2 / np.linalg.norm(step, axis=1, keepdims=True)
        moved = batch_jacobian(made, tf.constant(x + step)).numpy() - found.jacobian
        assert (np.linalg.svd(moved, compute_uv=False)[:, 0] <= found.deviation).all()


def test_files_and_bad_angles():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(net(angles=[0, 2])))
    assert again.angles == [0, 2] and MLP.from_config({"hidden": [4]}).angles is False
    for wrong in ([0, 0], [-1], "ab", [1.5], 3):
        with pytest.raises(ValueError, match="expected distinct indices"):
            MLP(angles=wrong)
    with pytest.raises(ValueError, match="an input of 4 entries"):
        net(angles=[4])
