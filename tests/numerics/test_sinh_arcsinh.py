"""The sinh-arcsinh transformer: bounds that are reached, ranges on boxes, smoothness, and what its numbers mean."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Coupling
from inntf.nets import MLP
from inntf.numerics import SinhArcsinhTransform
from tests.stability.test_ball_certificate import check, shaken

KINDS = {
    "all": SinhArcsinhTransform(0.5, 1.0, 0.3),
    "straight tails": SinhArcsinhTransform(max_log_tail=0.0),
    "tail alone": SinhArcsinhTransform(0.0, 0.0, 1.0),
}


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("radius", [1e-6, 0.3])
@pytest.mark.parametrize("name", KINDS)
def test_no_derivative_leaves_its_range(name, radius, inverse):
    transform, rng = KINDS[name], np.random.default_rng(0)
    x = np.concatenate([2 * rng.normal(size=(30, 1)), rng.normal(size=(30, transform.parameters))], 1)
    ends = [(column - radius, column + radius) for column in x.T]
    own, others = transform.derivative_ranges(ends[0], ends[1:], inverse)
    low, high = (np.stack([part[i] for part in (own, *others)], 1) for i in (0, 1))
    for _ in range(20):
        at = tf.constant(x + radius * np.clip(2 * rng.uniform(-1, 1, x.shape), -1, 1))
        with tf.GradientTape() as tape:
            tape.watch(at)
            out = (transform.inverse if inverse else transform.forward)(at[:, 0], at[:, 1:])[0]
        found = tape.gradient(out, at).numpy()
        slack = 1e-9 * (1 + np.abs(found))
        assert (low - slack <= found).all() and (found <= high + slack).all()
    assert (high - low).max() < 1e3 * radius  # right to first order


@pytest.mark.parametrize("name", KINDS)
def test_slopes_are_reached_at_the_ends_of_the_box(name):
    transform = KINDS[name]
    corners = np.stack(np.meshgrid(*[[-40.0, 40.0]] * (transform.parameters - 1), indexing="ij"), -1)
    raw = np.concatenate(
        [np.zeros([corners.size // (transform.parameters - 1), 1]), corners.reshape(-1, transform.parameters - 1)], 1
    )
    for magnitude in (0.5, 6.0):
        u = np.linspace(-magnitude, magnitude, 201)
        grid = tf.constant(np.repeat(raw, 201, 0))
        log_slope = transform.forward(tf.constant(np.tile(u, len(raw))), grid)[1]
        low, high = transform.slopes(magnitude)
        np.testing.assert_allclose(np.exp(log_slope.numpy().max()), high, rtol=1e-9)
        assert low <= np.exp(log_slope.numpy().min()) * (1 + 1e-12) and np.exp(log_slope.numpy().min()) < 1.6 * low


def test_straight_tails_are_bounded_everywhere_and_powers_are_not():
    assert SinhArcsinhTransform(0.5, 1.0, 0.0).slopes(np.inf) == (np.exp(-1.5), np.exp(1.5))
    assert KINDS["all"].slopes(np.inf) == (0.0, np.inf) and np.isfinite(KINDS["all"].slopes(1e30)).all()
    block = Coupling(transformer=KINDS["all"], conditioner=MLP((4,))).ensure_built((4,))
    assert block.lipschitz_bounds((-1.0, 1.0)).scope == "local" and np.isfinite(block.lipschitz_bounds((-1.0, 1.0)).inverse)
    assert "pass domain" in block.lipschitz_bounds().reason


def test_skew_and_tail_make_normal_numbers_skewed_and_heavy():
    z = tf.constant(np.random.default_rng(1).normal(size=20000))
    transform = SinhArcsinhTransform(0.0, 1.0, 0.5)
    moments = {}
    for name, raw in {
        "none": [0.0, 0.0, 0.0],
        "skew": [0.0, 9.0, 0.0],
        "heavy": [0.0, 0.0, 9.0],
        "light": [0.0, 0.0, -9.0],
    }.items():
        v = transform.forward(z, tf.constant([raw] * 20000, tf.float64))[0].numpy()
        v = (v - v.mean()) / v.std()
        moments[name] = (v**3).mean(), (v**4).mean()
    assert abs(moments["none"][0]) < 0.1 and abs(moments["none"][1] - 3) < 0.2
    assert moments["skew"][0] > 0.5 and moments["heavy"][1] > 5 and moments["light"][1] < 2.6


def test_second_derivatives_are_continuous_at_zero():
    raw = tf.constant([[0.3, 0.4, -0.7, 0.9]], tf.float64)

    def curve(u):
        with tf.GradientTape() as tape:
            tape.watch(u)
            log_slope = KINDS["all"].forward(u, raw)[1]
        return float(tape.gradient(log_slope, u)[0])

    sides = [curve(tf.constant([u], tf.float64)) for u in (-1e-9, 0.0, 1e-9)]
    np.testing.assert_allclose(sides, sides[1], atol=1e-7)


@pytest.mark.slow
def test_certificates_in_balls():
    net = lambda n: MLP([8], out_channels=n, activation="tanh", zero_last=False)  # noqa: E731
    block = shaken(Coupling(transformer=KINDS["all"], conditioner=net, dtype="float64"), (4,), gain=0.2)
    x = np.random.default_rng(2).normal(size=(2, 4))
    small, _ = check(block, x, [1e-4, 0.1], count=2)
    assert small < 1.05


def test_negative_limits_are_refused():
    with pytest.raises(ValueError, match="max_skew=-1"):
        SinhArcsinhTransform(max_skew=-1.0)
