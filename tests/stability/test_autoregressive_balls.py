"""Certificates in balls of autoregressive blocks, both directions, against points of the balls."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import MaskedAutoregressive
from inntf.nets import MaskedMLP
from inntf.numerics import SplineTransform, batch_jacobian
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.precision import float64_copy
from tests.stability.test_ball_certificate import check, mixed, shaken


def masked(**options):
    return MaskedMLP(**{"hidden": (12, 12), "activation": "tanh", "zero_last": False} | options)


BLOCKS = {
    "affine": lambda: MaskedAutoregressive(conditioner=masked()),
    "shift": lambda: MaskedAutoregressive(conditioner=masked(), transformer="shift"),
    "latent": lambda: MaskedAutoregressive(conditioner=masked(activation="relu"), reads="latent"),
    "residual, direct": lambda: MaskedAutoregressive(
        conditioner=masked(residual=True, direct=True, ordering="random", hidden=(12, 12, 12))
    ),
    "spline": lambda: MaskedAutoregressive(conditioner=masked(), transformer=SplineTransform(4)),
    "angles": lambda: MaskedAutoregressive(
        conditioner=masked(angles=[0, 2], direct=True, residual=True, identity=[2], ordering=[2, 3, 1, 4])
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "shift")) for name in BLOCKS])
def test_nothing_in_the_ball_is_above(name):
    block = shaken(mixed(BLOCKS[name], 2), (4,), gain=0.04)
    x = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    small, _ = check(block, x, [1e-4, 0.05], count=4)
    assert small < (1.2 if "residual" in name else 1.1)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_one_block_in_balls(name, inverse):
    block = float64_copy(shaken(BLOCKS[name](), (4,), gain=0.2))
    x = tf.random.stateless_normal([3, 4], [1, 2], dtype=tf.float64)
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    for radius in (1e-6, 1e-2):
        found = block.local_map(x.numpy(), np.full(3, radius), None, inverse)
        np.testing.assert_allclose(found.value, way(x)[0].numpy(), rtol=1e-12)
        assert np.isfinite(found.deviation).all() or radius > 1e-6
        step = np.random.default_rng(0).normal(size=(12, 3, 4))
        step *= radius / np.linalg.norm(step, axis=2, keepdims=True)
        points = tf.constant((x.numpy() + step).reshape(-1, 4))
        seen = batch_jacobian(lambda v: way(v)[0], points).numpy().reshape(12, 3, 4, 4) - found.jacobian
        assert (np.linalg.norm(seen, 2, axis=(2, 3)) <= found.deviation * (1 + 1e-9)).all()


@pytest.mark.parametrize("reads", ["data", "latent"])
def test_a_condition_is_held_fixed(reads):
    keras.utils.set_random_seed(0)
    block = MaskedAutoregressive(conditioner=masked(), reads=reads)
    x, condition = tf.random.stateless_normal([3, 4], [0, 1]), tf.random.stateless_normal([3, 2], [1, 1])
    block.forward_and_log_det(x, condition)
    found = certify_balls(block, x.numpy(), 1e-4, condition)
    wide, given = float64_copy(block), tf.cast(condition, tf.float64)
    jacobian = batch_jacobian(lambda v: wide.forward_and_log_det(v, given)[0], tf.cast(x, tf.float64)).numpy()
    seen = np.linalg.norm(jacobian, 2, axis=(1, 2)), np.linalg.norm(np.linalg.inv(jacobian), 2, axis=(1, 2))
    for bound, value in zip((found.forward, found.inverse), seen, strict=True):
        assert (bound >= value).all() and (bound < 1.1 * value).all()


def test_a_network_of_your_own_keeps_the_global_bound():
    own = keras.saving.register_keras_serializable("tests")(type("Own", (MaskedMLP,), {}))
    block = shaken(MaskedAutoregressive(conditioner=own(hidden=(8,), zero_last=False), transformer="shift"), (3,))
    found = certify_balls(block, np.zeros([1, 3]), 1e-3)
    assert any("Own" in reason for reason in found.reasons) and np.isfinite(found.forward).all()


@pytest.mark.parametrize("name", ["affine", "spline"])
def test_weights_that_are_lost_leave_no_bound(name):
    block = shaken(mixed(BLOCKS[name], 1), (4,))
    for weight in block.trainable_weights:
        weight.assign(tf.fill(weight.shape, np.nan))
    found = certify_balls(block, np.ones([2, 4]), 1e-4)
    assert np.isinf(found.forward).all() and np.isinf(found.inverse).all()


def test_where_nothing_holds_in_the_ball_the_centre_is_still_told():
    block = shaken(MaskedAutoregressive(conditioner=masked()), (4,), gain=1.0)
    x = np.random.default_rng(0).normal(size=(3, 4))
    wide, far, near = float64_copy(block), certify_balls(block, x, 10.0), certify_balls(block, x, 1e-9)
    jacobian = batch_jacobian(lambda v: wide.forward_and_log_det(v)[0], tf.constant(x)).numpy()
    assert np.isinf(far.inverse).all() and any("too much" in reason for reason in far.reasons)
    for found in (far, near):
        np.testing.assert_allclose(found.inverse_at_centre, np.linalg.norm(np.linalg.inv(jacobian), 2, axis=(1, 2)), rtol=1e-6)
