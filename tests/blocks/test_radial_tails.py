"""`RadialTails`: the identity within its ball to the last digit, the formula outside, bounds and balls that hold."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import RadialTails
from inntf.numerics import batch_jacobian


def drawn(x, bound, width, slope):
    r = np.linalg.norm(x, axis=1, keepdims=True)
    t = np.maximum(r - bound, 0)
    return x * np.where(t > 0, (bound + slope * t + (1 - slope) * width * t / (width + t)) / r, 1)


def test_the_ball_stays_and_the_rest_follows_the_formula():
    block = RadialTails(2.0, 1.5, slope=0.1, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)) * np.geomspace(0.1, 1e4, 50)[:, None]
    z, log_det = block.forward_and_log_det(tf.constant(x))
    inside = np.linalg.norm(x, axis=1) <= 2.0
    assert 5 < inside.sum() < 45
    np.testing.assert_array_equal(z.numpy()[inside], x[inside])
    np.testing.assert_allclose(z, drawn(x, 2.0, 1.5, 0.1), rtol=1e-13)
    jacobian = batch_jacobian(block.forward, tf.constant(x))
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det, atol=1e-10)
    back, inverse = block.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, x, rtol=1e-11)
    np.testing.assert_allclose(inverse, -log_det, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out_and_at_zero_all_is_finite_both_ways(dtype):
    x = tf.constant([[-1e36, 1e30, 5.0001], [0.0, 0.0, 0.0], [1e20, 0.0, -40.0], [1e-30, 0.0, 0.0], [3.0, -4.0, 0.001]], dtype)
    block = RadialTails(dtype=dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z, log_det = block.forward_and_log_det(x)
        back, inverse = block.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, x, rtol=50 * np.finfo(dtype).eps)
    np.testing.assert_allclose(inverse, -log_det, rtol=1e-5)
    for value in (z, log_det):
        assert np.isfinite(tape.gradient(value, x)).all()


def test_bounds_are_attained():
    block = RadialTails(2.0, 2.0, 0.25, dtype="float64").ensure_built((2,))
    assert block.lipschitz_bounds().forward == 1.0 and block.lipschitz_bounds().inverse == pytest.approx(4.0)
    bounds = block.lipschitz_bounds((np.array([4.0, 0.0]), np.array([8.0, 0.0])))
    assert bounds.forward == pytest.approx((2 + 0.5 + 0.75) / 4) and 1 / bounds.inverse == pytest.approx(0.25 + 0.75 / 16)


@pytest.mark.parametrize("inverse", [False, True])
def test_jacobians_stay_within_the_balls_deviation(inverse):
    block = RadialTails(1.5, 1.0, 0.1, dtype="float64").ensure_built((3,))
    rng = np.random.default_rng(1)
    x, radius = rng.normal(size=(40, 3)) * 1.5, np.full(40, 0.1)
    way = block.inverse if inverse else block.forward
    found = block.local_map(x, radius, inverse=inverse)
    np.testing.assert_allclose(found.value, way(tf.constant(x)), atol=1e-12)
    np.testing.assert_allclose(found.jacobian, batch_jacobian(way, tf.constant(x)), atol=1e-10)
    for _ in range(40):
        off = rng.normal(size=x.shape)
        near = x + 0.1 * off / np.linalg.norm(off, axis=1, keepdims=True) * rng.uniform(size=(40, 1))
        apart = np.linalg.norm(batch_jacobian(way, tf.constant(near)).numpy() - found.jacobian, 2, axis=(1, 2))
        assert (apart <= found.deviation + 1e-10).all()
    assert (found.deviation[np.linalg.norm(x, axis=1) < 1.4] < 1e-12).all()


@pytest.mark.parametrize("arguments", [{"bound": 0.0}, {"width": -1.0}, {"slope": 0.0}, {"slope": 1.5}])
def test_numbers_that_are_none(arguments):
    with pytest.raises(ValueError, match="a positive bound and width, and a slope"):
        RadialTails(**arguments)


def test_balls_without_end_have_the_global_bounds():
    block = RadialTails(1.5, 1.0, 0.1, dtype="float64").ensure_built((3,))
    found = block.local_map(np.full([1, 3], 2.0), np.array([np.inf]))
    assert np.isfinite(found.jacobian).all() and not np.isnan(found.deviation).any()
