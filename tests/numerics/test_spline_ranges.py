"""Derivatives of splines on boxes: against autodiff at points inside, at knots, at the edges of the square and outside."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics.transformers.spline import SplineTransform
from inntf.numerics.transformers.splines import spline_forward


def derivatives(spline, values, inverse, second=False):
    """By value and raw parameters, `(n, 1 + P)`; and `(n, 1 + P, 1 + P)`."""
    values = tf.constant(values)
    with tf.GradientTape() as outer:
        outer.watch(values)
        with tf.GradientTape() as inner:
            inner.watch(values)
            out = (spline.inverse if inverse else spline.forward)(values[:, 0], values[:, 1:])[0]
        first = inner.gradient(out, values)
    return (first.numpy(), outer.batch_jacobian(first, values).numpy()) if second else first.numpy()


def ranges(spline, middle, radius, inverse):
    ends = [(column - radius, column + radius) for column in middle.T]
    own, others = spline.derivative_ranges(ends[0], ends[1:], inverse)
    return tuple(np.stack([part[i] for part in (own, *others)], 1) for i in (0, 1))


def cases(spline, gain, inverse, count=12):
    """Values everywhere, and others near a knot (of the side they are on), an edge of the square, and outside."""
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(count, spline.parameters)) * gain
    value = rng.uniform(-1, 1, count) * spline.bound
    k = spline.num_bins
    side = raw[:, k : 2 * k] if inverse else raw[:, :k]
    share = np.exp(side - side.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    knots = np.cumsum(1e-3 + (1 - k * 1e-3) * share, 1) * 2 * spline.bound - spline.bound
    value[: count // 3] = knots[: count // 3, 0]
    value[-4:] = spline.bound, -spline.bound, spline.bound + 0.5, -1e3
    return np.concatenate([value[:, None], raw], 1)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(("bins", "gain"), [(2, 0.3), (8, 1.0), (5, 6.0)])
def test_derivatives_and_second_derivatives_at_points(bins, gain, inverse):
    spline = SplineTransform(bins, 2.0)
    x = cases(spline, gain, inverse)[4:8]
    first, second = derivatives(spline, x, inverse, second=True)
    columns = [(column, column) for column in x.T]
    found, pieces = spline.second_derivatives(columns[0], columns[1:], inverse)
    np.testing.assert_allclose(found[0], first, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[1], first, rtol=1e-6, atol=1e-8)
    ((rows, (low, high)),) = pieces
    assert rows.tolist() == [0, 1, 2, 3]
    size = np.abs(second).max((1, 2), keepdims=True)
    np.testing.assert_allclose(low / size, second / size, rtol=0, atol=1e-6)
    np.testing.assert_allclose(high / size, second / size, rtol=0, atol=1e-6)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("radius", [1e-9, 1e-5, 1e-2, 0.3])
@pytest.mark.parametrize(("bins", "gain"), [(3, 0.5), (8, 4.0)])
def test_no_point_of_the_box_is_outside(bins, gain, radius, inverse):
    spline = SplineTransform(bins, 2.0)
    x = cases(spline, gain, inverse)
    low, high = ranges(spline, x, radius, inverse)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(8):
        step = np.clip(2 * rng.uniform(-1, 1, x.shape), -1, 1)  # many of them at the ends
        seen.append(derivatives(spline, x + radius * step, inverse))
    seen = np.stack(seen)
    size = 1e-9 * (1 + np.abs(seen))
    assert (seen >= low - size).all() and (seen <= high + size).all()


@pytest.mark.parametrize("inverse", [False, True])
def test_they_are_right_to_first_order(inverse):
    spline = SplineTransform(4, 2.0)
    x = cases(spline, 1.0, inverse)[4:8]
    radius = 1e-7
    low, high = ranges(spline, x, radius, inverse)
    _, second = derivatives(spline, x, inverse, second=True)
    furthest = radius * np.abs(second).sum(2)  # the corner that moves a derivative most
    largest = furthest.max(1, keepdims=True)
    assert ((high - low) / 2 <= 1.001 * furthest + 1e-3 * largest).all()


def test_the_constants_are_those_of_the_spline():
    raw = np.random.default_rng(0).normal(size=(5, 11))
    x = np.linspace(-1.9, 1.8, 5)
    u = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(u)
        v = spline_forward(u, tf.constant(raw), num_bins=4, bound=2.0)[0]
    low, high = ranges(SplineTransform(4, 2.0), np.concatenate([x[:, None], raw], 1), 0.0, False)
    np.testing.assert_allclose((low + high)[:, 0] / 2, tape.gradient(v, u).numpy(), rtol=1e-9)


@pytest.mark.parametrize("inverse", [False, True])
def test_far_outside_it_is_the_identity_and_what_is_not_finite_is_unknown(inverse):
    spline = SplineTransform(4, 2.0)
    x = np.zeros([3, 12])
    x[:, 0] = 7.0, np.nan, 0.0
    x[2, 3] = np.inf
    low, high = ranges(spline, x, 0.1, inverse)
    assert low[0].tolist() == high[0].tolist() == [1.0] + [0.0] * 11
    assert np.isinf(low[1:]).all() and np.isinf(high[1:]).all()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("gain", [50.0, 1e3, 1e5])
def test_extreme_parameters(gain, inverse):
    spline = SplineTransform(6, 2.0)
    x = cases(spline, gain, inverse)
    low, high = ranges(spline, x, 1e-6, inverse)
    seen = derivatives(spline, x, inverse)
    width = (high / 2 - low / 2) / (1 + np.abs(seen))
    assert np.isfinite(width).mean() > 0.9 and np.median(width) < 1e-9  # beside a knot an inverse may be as steep as it likes
    assert (width[4:8] < 1e-7).all() and (width[8:10] < 1e-2).all() and (width[10:] == 0).all()  # between knots, edges, outside
    size = 1e-6 * (1 + np.abs(seen))
    assert ((seen >= low - size) | ~np.isfinite(seen)).all() and ((seen <= high + size) | ~np.isfinite(seen)).all()
