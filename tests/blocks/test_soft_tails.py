"""`SoftTails`: the identity in the middle to the last digit, the formula outside, bounds that are attained."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import SoftTails


def test_the_middle_stays_and_the_rest_follows_the_formula():
    x = np.array([[0.3, -4.999, 5.0, -6.0, 45.0]])
    z, log_det = SoftTails(5.0, 0.2, dtype="float64").forward_and_log_det(tf.constant(x))
    np.testing.assert_array_equal(z.numpy()[:, :3], x[:, :3])
    np.testing.assert_allclose(z[:, 3:], [[-(5 + 0.2 + 0.8 * 5 / 6), 5 + 8 + 0.8 * 200 / 45]], rtol=1e-14)
    assert float(log_det[0]) == pytest.approx(np.log(0.2 + 0.8 * 25 / 36) + np.log(0.2 + 0.8 * 25 / 45**2), abs=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out_all_is_finite_both_ways(dtype):
    x = tf.constant([[-1e36, 1e-30, 5.0001, 1e20, 0.0, -40.0]], dtype)
    block = SoftTails(dtype=dtype)
    z, log_det = block.forward_and_log_det(x)
    back = tf.identity(z)
    with tf.GradientTape() as tape:
        tape.watch(back)
        again, inverse = block.inverse_and_log_det(back)
    np.testing.assert_allclose(again, x, rtol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(inverse, -log_det, rtol=1e-6)
    slopes = tape.gradient(again, back).numpy()
    np.testing.assert_allclose(np.log(slopes).sum(), inverse[0], rtol=1e-5)
    assert slopes.min() == 1.0 and slopes.max() <= 10 * (1 + 1e-6)


def test_bounds_are_attained():
    block = SoftTails(2.0, 0.25, dtype="float64").ensure_built((1,))
    assert block.lipschitz_bounds().forward == 1.0 and block.lipschitz_bounds().inverse == pytest.approx(4.0)
    bounds = block.lipschitz_bounds((4.0, 8.0))
    assert bounds.forward == pytest.approx(0.25 + 0.75 / 4) and 1 / bounds.inverse == pytest.approx(0.25 + 0.75 / 16)
    ends = np.array([[-1.5], [6.0]])
    np.testing.assert_allclose(block.image_box((-1.5, 6.0)), block.forward(ends)[:, 0])


@pytest.mark.parametrize("arguments", [{"bound": 0.0}, {"slope": 0.0}, {"slope": 1.5}])
def test_numbers_that_are_none(arguments):
    with pytest.raises(ValueError, match="a positive bound, and a slope"):
        SoftTails(**arguments)


def test_far_out_no_digits_are_lost_and_infinity_stays():
    block = SoftTails(5.0, slope=1e-6).ensure_built((4,))
    x = np.array([[5e6, -3e4, 7.0, 1e30]], np.float32)
    z, log_det = block.forward_and_log_det(tf.constant(x))
    t = np.abs(x.astype(np.float64)) - 5.0
    expected = np.sign(x) * (5.0 + 1e-6 * t + (1 - 1e-6) * 5.0 * t / (5.0 + t))
    np.testing.assert_allclose(z, expected, rtol=1e-6)
    back, _ = block.inverse_and_log_det(tf.constant(expected.astype(np.float32)))
    np.testing.assert_allclose(back[0, 2], 7.0, rtol=1e-5)
    ends = tf.constant([[np.inf, -np.inf, 0.0, 1.0]])
    for way in (block.forward_and_log_det, block.inverse_and_log_det):
        there, log_det = way(ends)
        np.testing.assert_array_equal(there, ends)
        assert np.isfinite(log_det).all()
