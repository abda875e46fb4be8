"""Splines with free ends, without tails, and on the circle: at and beyond the ends, and derivatives on boxes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Coupling, SplineCoupling
from inntf.nets import MLP
from inntf.numerics import CircularSplineTransform, SplineTransform, spline_forward, spline_inverse
from inntf.numerics.transformers.spline_knots import parameters_of
from tests.numerics.test_spline_ranges import derivatives, ranges
from tests.stability.test_ball_certificate import check, shaken

KINDS = {
    "free": SplineTransform(4, 2.0, tails="free"),
    "none": SplineTransform(4, 2.0, tails="none"),
    "circular": CircularSplineTransform(4, 2.0),
}


def draw(spline, count=12, outside=False):
    rng = np.random.default_rng(0)
    value = rng.uniform(-0.9, 0.9, count) * spline.bound
    if outside:
        value[-4:] = 2.5, -2.0, 2.0, -9.0
    return np.concatenate([value[:, None], rng.normal(size=(count, spline.parameters))], 1)


def kept_clear_of_the_seam(x, inverse, margin=0.3):
    """Circular ones whose values and images are not near the seam."""
    spline = KINDS["circular"]
    image = (spline.inverse if inverse else spline.forward)(tf.constant(x[:, 0]), tf.constant(x[:, 1:]))[0].numpy()
    turned = (x[:, 0] - x[:, -1] + 2) % 4 - 2 if inverse else x[:, 0]
    return x[(np.abs(image) < 2 - margin) & (np.abs(turned) < 2 - margin)]


def cases(name, inverse):
    x = draw(KINDS[name], 40 if name == "circular" else 12, outside=name == "free")
    return kept_clear_of_the_seam(x, inverse) if name == "circular" else x


@pytest.mark.parametrize(("name", "inverse"), [("free", False), ("free", True), ("none", False), ("circular", True)])
def test_derivatives_and_second_derivatives_at_points(name, inverse):
    spline, x = KINDS[name], cases(name, inverse)
    x = x[(np.abs(x[:, 0]) != 2.0)]  # second derivatives jump there
    first, second = derivatives(spline, x, inverse, second=True)
    columns = [(column, column) for column in x.T]
    found, pieces = spline.second_derivatives(columns[0], columns[1:], inverse)
    np.testing.assert_allclose(found[0], first, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[1], first, rtol=1e-6, atol=1e-8)
    seen, size = np.zeros(len(x)), np.abs(second).max((1, 2), keepdims=True) + 1e-9
    for rows, (low, high) in pieces:
        seen[rows] += 1
        np.testing.assert_allclose(low / size[rows], second[rows] / size[rows], rtol=0, atol=1e-6)
        np.testing.assert_allclose(high / size[rows], second[rows] / size[rows], rtol=0, atol=1e-6)
    assert len(x) > 5 and (seen == 1).all()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("radius", [1e-5, 0.1])
@pytest.mark.parametrize("name", KINDS)
def test_no_point_of_the_box_is_outside(name, radius, inverse):
    spline, x = KINDS[name], cases(name, inverse)
    low, high = ranges(spline, x, radius, inverse)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(8):
        moved = x + radius * np.clip(2 * rng.uniform(-1, 1, x.shape), -1, 1)
        if name == "none":
            moved[:, 0] = np.clip(moved[:, 0], -2.0, 2.0)
        seen.append(derivatives(spline, moved, inverse))
    seen = np.stack(seen)
    size = 1e-9 * (1 + np.abs(seen))
    assert np.isfinite(low).all(1).mean() > 0.3
    assert (seen >= low - size).all() and (seen <= high + size).all()


def test_free_ends_go_on_as_straight_lines():
    spline = KINDS["free"]
    raw = tf.constant(draw(spline)[:1, 1:].repeat(6, 0))
    u = tf.constant([-7.0, -5.0, -2.0 - 1e-9, 2.0 + 1e-9, 5.0, 7.0], tf.float64)
    v, log_slope = (part.numpy() for part in spline.forward(u, raw))
    np.testing.assert_allclose(v[[2, 3]], [-2.0, 2.0], atol=1e-8)
    np.testing.assert_allclose((v[1] - v[0]) / 2, np.exp(log_slope[0]), rtol=1e-12)
    np.testing.assert_allclose((v[5] - v[4]) / 2, np.exp(log_slope[5]), rtol=1e-12)
    np.testing.assert_allclose(log_slope[[0, 5]], log_slope[[2, 3]], atol=1e-6)
    inner = spline.forward(tf.constant([-2.0 + 1e-9, 2.0 - 1e-9], tf.float64), raw[:2])[1]
    np.testing.assert_allclose(inner, log_slope[[2, 3]], atol=1e-6)
    assert abs(log_slope[0] - log_slope[5]) > 0.1  # each end has its own


def test_without_tails_the_box_goes_onto_itself_and_what_is_outside_is_refused():
    spline = KINDS["none"]
    raw = tf.constant(draw(spline)[:3, 1:], tf.float32)
    ends, log_slope = spline.forward(tf.constant([-2.0, 2.0, 0.5]), raw)
    np.testing.assert_allclose(ends[:2], [-2.0, 2.0], atol=1e-6)
    assert np.abs(log_slope[:2]).max() > 0.05  # at the ends, too
    for way in (spline.forward, spline.inverse):
        with pytest.raises(ValueError, match=r"SplineTransform: received values from 0 to 2.1, expected .*\[-2, 2\]. Rescale"):
            way(tf.constant([0.0, 0.0, 2.1]), raw)
    block = SplineCoupling(bound=2.0, tails="none").ensure_built((2,))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Rescale data into the interval"):
        tf.function(block.forward_and_log_det)(tf.constant([[0.0, 3.0]]))
    low, high = ranges(spline, np.array([[1.99, *np.zeros(13)]]), 0.1, False)
    assert np.isinf(low).all() and np.isinf(high).all()  # the box leaves where the map is defined


def test_on_the_circle_nothing_jumps_and_nothing_leaves_it():
    spline = KINDS["circular"]
    raw = tf.constant(draw(spline)[:1, 1:].repeat(201, 0))
    at = lambda u: spline.forward(tf.constant(u, tf.float64), raw[: len(u)])  # noqa: E731
    v, log_slope = at(np.linspace(-2, 2, 201))
    assert (v >= -2).numpy().all() and (v < 2).numpy().all()
    left, right = at(np.array([-2.0, 2.0 - 1e-9])), at(np.array([2.0, -2.0 - 4e-9]))
    circle = lambda a, b: np.abs(np.exp(0.5j * np.pi * (np.asarray(a) - np.asarray(b))) - 1)  # noqa: E731
    assert circle(left[0], right[0]).max() < 1e-7
    np.testing.assert_allclose(left[1], right[1], atol=1e-6)
    np.testing.assert_allclose(left[1][0], left[1][1], atol=1e-6)  # the slopes at both ends are one
    trapezoid = np.mean(np.exp(log_slope.numpy()[:-1]))
    np.testing.assert_allclose(trapezoid, 1.0, atol=1e-2)  # once round
    np.testing.assert_allclose(at(np.array([0.3 + 4.0, 0.3]))[0][0], at(np.array([0.3, 0.3]))[0][1], atol=1e-12)
    assert float(spline.forward(tf.constant([1.9999999]), tf.zeros([1, 13]))[0][0]) < 2.0  # float32


@pytest.mark.parametrize("inverse", [False, True])
def test_where_the_seam_may_be_crossed_nothing_is_told(inverse):
    spline = KINDS["circular"]
    x = np.zeros([3, 14])
    x[:, 0] = 1.99, 0.5, 0.5
    x[2, -1] = -1.49 if inverse else 1.49
    low, high = ranges(spline, x, 0.02, inverse)
    assert np.isinf(low[[0, 2], 0]).all() and np.isinf(high[[0, 2], 0]).all() and np.isfinite(high[1]).all()
    points = [(column, column) for column in x[1:2].T]
    assert np.isfinite(spline.second_derivatives(points[0], points[1:], inverse)[0][0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["free", "circular"])
def test_certificates_in_balls(name):
    net = lambda n: MLP([8], out_channels=n, activation="tanh", zero_last=False, angles=name == "circular")  # noqa: E731
    block = Coupling(transformer=KINDS[name], conditioner=net, dtype="float64")
    shaken(block, (4,), gain=0.2)
    x = np.array([[1.5, 0.2, 3.0 if name == "free" else 0.1, 0.1]])
    small = check(block, x, [1e-3], count=1)
    assert small[0] < 1.1


def test_bad_arguments_and_files():
    assert SplineTransform.from_config(KINDS["free"].get_config()).tails == "free"
    assert SplineTransform.from_config({"num_bins": 4, "bound": 2.0}).tails == "identity"  # of before
    assert CircularSplineTransform().bound == math.pi
    with pytest.raises(ValueError, match="tails='linear', expected 'identity', 'free' or 'none'"):
        SplineTransform(tails="linear")
    with pytest.raises(ValueError, match="num_bins=1"):
        CircularSplineTransform(1)


@pytest.mark.parametrize("tails", ["identity", "free", "none", "circular"])
@pytest.mark.parametrize("function", [spline_forward, spline_inverse])
def test_gradients_can_be_differentiated_again_and_along_directions(function, tails):
    rng = np.random.default_rng(1)
    x = tf.constant(rng.uniform(-1.9, 1.9, size=2))
    raw, v = (tf.constant(rng.normal(size=(2, parameters_of(3, tails)))) for _ in range(2))

    def gradient(raw):
        with tf.GradientTape() as tape:
            tape.watch(raw)
            z, log_derivative = function(x, raw, num_bins=3, bound=2.0, tails=tails)
            total = tf.reduce_sum(tf.sin(z) * log_derivative)
        return tape.gradient(total, raw)

    analytic, numeric = tf.test.compute_gradient(gradient, [raw], delta=1e-5)
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-7)
    with tf.autodiff.ForwardAccumulator(raw, v) as along:
        z, _ = function(x, raw, num_bins=3, bound=2.0, tails=tails)
    step = 1e-6
    ends = [function(x, raw + sign * step * v, num_bins=3, bound=2.0, tails=tails)[0] for sign in (1, -1)]
    np.testing.assert_allclose(along.jvp(z), (ends[0] - ends[1]) / (2 * step), atol=1e-7)


def test_values_and_parameters_broadcast():
    x, raw = tf.constant([[0.5], [-0.5]]), tf.random.normal([3, 5], seed=1)
    z, log_derivative = spline_forward(x, raw, num_bins=2, bound=2.0)
    assert z.shape == log_derivative.shape == (2, 3)
    np.testing.assert_allclose(z[1, 2], spline_forward(tf.constant(-0.5), raw[2], num_bins=2, bound=2.0)[0], rtol=1e-6)
