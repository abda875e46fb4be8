"""Rational-quadratic splines: against TFP, against autodiff, at the knots, in the tails, at the extremes."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.numerics import spline_forward, spline_inverse, spline_slope_bounds
from inntf.numerics.transformers.spline_knots import inner_knots, slopes_at_knots

BINS, BOUND = 6, 3.0
WIDTH = 3 * BINS - 1
SHAPE = {"num_bins": BINS, "bound": BOUND}


def _random(seed, n=400, scale=1.0, spread=2.0, dtype="float64"):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=n) * spread, dtype), tf.constant(rng.normal(size=(n, WIDTH)) * scale, dtype)


def _knots(raw, side, limits=(1e-3, 1e-3)):
    """Knots of x or y, `(n, BINS + 1)`."""
    inner = inner_knots(tf.transpose(raw[:, side * BINS : (side + 1) * BINS]), limits[side], BOUND)[1]
    edge = BOUND * tf.ones_like(raw[:, :1])
    return tf.concat([-edge, tf.transpose(inner), edge], 1)


@pytest.mark.parametrize("max_derivative", [None, 50.0])
def test_agrees_with_tfp(max_derivative):
    x, raw = _random(0)
    limits = (1e-3, 1e-3, 1e-3, max_derivative)
    x_knots, y_knots = (_knots(raw, i, limits) for i in (0, 1))
    oracle = tfp.bijectors.RationalQuadraticSpline(
        bin_widths=x_knots[:, 1:] - x_knots[:, :-1],
        bin_heights=y_knots[:, 1:] - y_knots[:, :-1],
        knot_slopes=slopes_at_knots(raw[:, 2 * BINS :], *limits[2:])[0],
        range_min=-BOUND,
    )
    z, log_derivative = spline_forward(x, raw, max_derivative=max_derivative, **SHAPE)
    np.testing.assert_allclose(z, oracle.forward(x), atol=1e-10)
    np.testing.assert_allclose(log_derivative, oracle.forward_log_det_jacobian(x, 0), atol=1e-8)


def test_log_derivative_is_that_of_autodiff_both_ways():
    x, raw = _random(1)
    for function in (spline_forward, spline_inverse):
        with tf.GradientTape() as tape:
            tape.watch(x)
            z, log_derivative = function(x, raw, **SHAPE)
        np.testing.assert_allclose(log_derivative, np.log(tape.gradient(z, x)), atol=1e-9)


def test_derivative_is_that_of_finite_differences():
    x, raw = _random(2, n=100)
    step = 1e-6
    difference = (spline_forward(x + step, raw, **SHAPE)[0] - spline_forward(x - step, raw, **SHAPE)[0]) / (2 * step)
    np.testing.assert_allclose(difference, tf.exp(spline_forward(x, raw, **SHAPE)[1]), rtol=1e-3)


@pytest.mark.parametrize("max_derivative", [None, 50.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-3)])
def test_round_trip(dtype, tolerance, max_derivative):
    x, raw = _random(3, dtype=dtype)
    z, forward = spline_forward(x, raw, max_derivative=max_derivative, **SHAPE)
    back, inverse = spline_inverse(tf.constant(z.numpy()), raw, max_derivative=max_derivative, **SHAPE)
    assert z.dtype == back.dtype == forward.dtype == x.dtype
    np.testing.assert_allclose(back, x, atol=tolerance)
    np.testing.assert_allclose(forward + inverse, np.zeros(len(x)), atol=10 * tolerance)


def test_error_of_the_round_trip_is_the_conditioning_and_no_more():
    # Extreme parameters: slopes from 1e-6 to 1e3.  The inverse can lose eps / slope and should lose little more.
    x, raw = _random(4, n=4000, scale=4.0, dtype="float32")
    z, log_derivative = spline_forward(x, raw, **SHAPE)
    back, _ = spline_inverse(z, raw, **SHAPE)
    eps = np.finfo(np.float32).eps * BOUND
    unit = eps * (1 + 1 / tf.exp(log_derivative).numpy())
    assert np.quantile(np.abs(back - x) / unit, 0.999) < 10


def test_zero_parameters_are_the_identity():
    x = tf.constant(np.linspace(-5, 5, 41))
    for max_derivative in (None, 3.0, 1e3):
        for function in (spline_forward, spline_inverse):
            z, log_derivative = function(x, tf.zeros([41, WIDTH], x.dtype), max_derivative=max_derivative, **SHAPE)
            np.testing.assert_allclose(z, x, atol=1e-14)
            np.testing.assert_allclose(log_derivative, np.zeros(41), atol=1e-13)


def _awkward_inputs(raw):
    x_knots, y_knots = (_knots(raw, i) for i in (0, 1))
    far = [-np.inf, -1e30, -BOUND - 1e-3, -BOUND, 0.0, BOUND, BOUND + 1e-3, 1e30, np.inf]
    return np.concatenate([x_knots[0], y_knots[0], far])


@pytest.mark.parametrize("function", [spline_forward, spline_inverse])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_gradients_are_finite_at_the_knots_and_outside(function, dtype, scale):
    row = tf.constant(np.random.default_rng(5).normal(size=(1, WIDTH)) * scale, dtype)
    x = tf.constant(_awkward_inputs(row), dtype)
    raw = tf.repeat(row, len(x), 0)
    with tf.GradientTape() as tape:
        tape.watch([x, raw])
        z, log_derivative = function(x, raw, **SHAPE)
        loss = tf.reduce_sum(tf.where(tf.math.is_finite(z), z, 0)) + tf.reduce_sum(log_derivative)
    for gradient in tape.gradient(loss, [x, raw]):
        assert np.all(np.isfinite(gradient))
    outside = np.abs(x) > BOUND
    np.testing.assert_array_equal(z[outside], x[outside])
    np.testing.assert_array_equal(log_derivative[outside], 0)


def test_gradient_of_the_inverse_at_the_middle_of_a_bin():
    # There q = 0 in the identity spline, where |q| would have a zero gradient.
    x = tf.constant([-2.5, -0.5, 0.5, 1.5], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, _ = spline_inverse(x, tf.zeros([4, WIDTH], x.dtype), **SHAPE)
    np.testing.assert_allclose(tape.gradient(z, x), np.ones(4), atol=1e-12)


def test_gradients_to_the_parameters():
    x, raw = _random(6, n=3)
    for function in (spline_forward, spline_inverse):
        analytic, numeric = tf.test.compute_gradient(lambda r, f=function: f(x, r, **SHAPE)[1], [raw], delta=1e-5)
        np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)


def test_is_monotonic_and_continuous_across_the_edge():
    raw = tf.repeat(tf.constant(np.random.default_rng(7).normal(size=(1, WIDTH))), 2001, 0)
    x = tf.constant(np.linspace(-1.5 * BOUND, 1.5 * BOUND, 2001))
    z, log_derivative = spline_forward(x, raw, **SHAPE)
    assert np.all(np.diff(z) > 0)
    assert np.max(np.abs(np.diff(log_derivative))) < 0.3  # the slope has no jump, edges included


def test_nan_stays_nan():
    z, _ = spline_forward(tf.constant([np.nan]), tf.zeros([1, WIDTH]), **SHAPE)
    assert np.isnan(z[0])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_any_shape_and_dynamic_batch_in_a_graph(jit_compile):
    x, raw = _random(8, n=24, dtype="float32")
    expected = spline_forward(x, raw, **SHAPE)[0]
    function = tf.function(lambda x, raw: spline_forward(x, raw, **SHAPE)[0], jit_compile=jit_compile)
    if not jit_compile:
        spec = tf.TensorSpec([None, 3, 4]), tf.TensorSpec([None, 3, 4, WIDTH])
        function = function.get_concrete_function(*spec)
    z = function(tf.reshape(x, [2, 3, 4]), tf.reshape(raw, [2, 3, 4, WIDTH]))
    np.testing.assert_allclose(tf.reshape(z, [-1]), expected, atol=1e-5)


def test_narrow_parameters_take_the_dtype_of_the_value():
    x, raw = _random(9, n=5, dtype="float32")
    z, log_derivative = spline_forward(x, tf.cast(raw, tf.bfloat16), **SHAPE)
    assert z.dtype == log_derivative.dtype == tf.float32


def _slopes(rng, n, **limits):
    """Log-slopes at random places for parameters pushed to every extreme."""
    raw = tf.constant(rng.normal(size=(n, WIDTH)) * rng.choice([0.1, 1.0, 10.0, 100.0], size=(n, WIDTH)))
    x_knots = _knots(raw, 0, tuple(limits.values()))
    index = rng.integers(0, BINS, size=n)
    left, right = (np.take_along_axis(x_knots.numpy(), (index + i)[:, None], 1)[:, 0] for i in (0, 1))
    place = rng.beta(0.5, 0.5, size=n)
    return np.exp(spline_forward(tf.constant(left + place * (right - left)), raw, **SHAPE, **limits)[1])


def test_slope_bounds_hold_and_are_nearly_reached():
    limits = {"min_bin_width": 0.05, "min_bin_height": 0.1, "min_derivative": 0.2, "max_derivative": 4.0}
    low, high = spline_slope_bounds(num_bins=BINS, **limits)
    slopes = _slopes(np.random.default_rng(10), 400_000, **limits)
    assert low <= slopes.min() < 1.1 * low
    assert 0.9 * high < slopes.max() <= high


def test_slope_bounds_reached_in_the_plain_formula():
    # Corners and interiors of the box of (slope, left derivative, right derivative), by brute force.
    limits = {"min_bin_width": 0.1, "min_bin_height": 0.02, "min_derivative": 0.05, "max_derivative": 30.0}
    low, high = spline_slope_bounds(num_bins=4, **limits)
    flattest, steepest = 0.02 / (1 - 3 * 0.1), (1 - 3 * 0.02) / 0.1
    rng = np.random.default_rng(11)
    s = np.exp(rng.uniform(np.log(flattest), np.log(steepest), 300_000))
    s[::3], s[1::3] = flattest, steepest
    d0, d1 = (np.exp(rng.uniform(np.log(0.05), np.log(30.0), s.size)) for _ in range(2))
    d0[::2], d1[::5], d1[1::5] = 30.0, 30.0, 0.05
    xi = rng.random(s.size)
    zeta = 1 - xi
    slope = s**2 * (d1 * xi**2 + 2 * s * xi * zeta + d0 * zeta**2) / (s + (d0 + d1 - 2 * s) * xi * zeta) ** 2
    assert low * (1 - 1e-12) <= slope.min() < 1.1 * low
    assert 0.9 * high < slope.max() <= high * (1 + 1e-12)


def test_slope_is_unbounded_without_a_largest_derivative():
    assert spline_slope_bounds(num_bins=8) == (0.0, math.inf)
    assert spline_slope_bounds(num_bins=1) == (1.0, 1.0)


@pytest.mark.parametrize(
    "arguments",
    [{"num_bins": 5}, {"min_bin_width": 0.2}, {"min_bin_height": 0.0}, {"min_derivative": 1.0}, {"max_derivative": 1.0}],
)
def test_impossible_arguments_are_refused(arguments):
    x, raw = _random(12, n=2)
    with pytest.raises(ValueError, match="received"):
        spline_forward(x, raw, **{**SHAPE, **arguments})


def test_one_bin_is_the_identity():
    x, _ = _random(13, n=20)
    raw = tf.constant(np.random.default_rng(13).normal(size=(20, 2)))
    np.testing.assert_allclose(spline_forward(x, raw, num_bins=1, bound=BOUND)[0], x, atol=1e-14)
