"""Densities of angles: a base on the circle, and flows that close there."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling, Coupling, MaskedAutoregressive
from inntf.compose import Chain
from inntf.models import CircularBase, Flow
from inntf.nets import MLP, MaskedMLP
from inntf.numerics import CircularSplineTransform
from tests.stability.test_ball_certificate import shaken


def torus(dtype="float64"):
    """Two angles and a number: each angle is moved given the others, and the number given the angles."""
    parts = [
        Coupling(
            transformer=CircularSplineTransform(5), conditioner=MLP([8], zero_last=False, angles=[0]), split=[0, 2], dtype=dtype
        ),
        Coupling(
            transformer=CircularSplineTransform(5), conditioner=MLP([8], zero_last=False, angles=[0]), split=[1, 2], dtype=dtype
        ),
        AffineCoupling(conditioner=MLP([8], zero_last=False, angles=True), split=[0, 1], dtype=dtype),
    ]
    chain = shaken(Chain(parts, dtype=dtype), (3,), gain=0.3)
    return Flow(chain, CircularBase(3, angles=[0, 1], dtype=dtype))


def test_the_base_is_uniform_on_the_circle_and_normal_elsewhere():
    base = CircularBase(2, angles=[1])
    x = base.sample(4000, seed=3).numpy()
    assert x.shape == (4000, 2) and np.abs(x[:, 1]).max() < np.pi and np.abs(x[:, 0]).max() > 2.5
    np.testing.assert_allclose([x[:, 0].std(), x[:, 1].std()], [1.0, np.pi / np.sqrt(3)], rtol=0.05)
    expected = -np.log(2 * np.pi) - 0.5 * np.log(2 * np.pi) - 0.5
    np.testing.assert_allclose(base.log_prob([[1.0, -3.0], [1.0, 3.2]]), [expected, -np.inf], rtol=1e-6)
    assert CircularBase(2).event_shape == (2,) and base.copy(bound=1.0).log_prob([0.0, 2.0]) == -np.inf


def test_a_density_of_two_angles_and_a_number_closes_and_integrates_to_one():
    flow = torus()
    grid = np.linspace(-np.pi, np.pi, 41)[:-1] + np.pi / 40
    line = np.linspace(-12, 12, 81)
    points = np.stack(np.meshgrid(grid, grid, line, indexing="ij"), -1).reshape(-1, 3)
    volume = (2 * np.pi / 40) ** 2 * (line[1] - line[0])
    np.testing.assert_allclose(np.sum(flow.prob(tf.constant(points))) * volume, 1.0, atol=2e-2)
    for angle in (0, 1):
        ends = np.array([[0.4, 1.0, 0.3]] * 2)
        ends[:, angle] = -np.pi + 1e-7, np.pi - 1e-7
        np.testing.assert_allclose(*flow.log_prob(tf.constant(ends)), atol=1e-4)
    x = flow.sample(200, seed=1)
    assert np.abs(x[:, :2]).max() <= np.pi and np.isfinite(flow.log_prob(tf.identity(x))).all()


def test_an_autoregressive_density_of_angles_closes_and_integrates_to_one():
    net = MaskedMLP(hidden=(8,), zero_last=False, direct=True, angles=True)
    block = MaskedAutoregressive(conditioner=net, transformer=CircularSplineTransform(5), dtype="float64")
    flow = Flow(shaken(block, (2,), gain=0.3), CircularBase(2, dtype="float64"))
    grid = np.linspace(-np.pi, np.pi, 81)[:-1] + np.pi / 80
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(np.mean(flow.prob(tf.constant(points))) * (2 * np.pi) ** 2, 1.0, atol=1e-2)
    for angle in (0, 1):
        ends = np.array([[0.4, 1.0]] * 2)
        ends[:, angle] = -np.pi + 1e-7, np.pi - 1e-7
        np.testing.assert_allclose(*flow.log_prob(tf.constant(ends)), atol=1e-4)
    x = tf.constant(points[::101])
    np.testing.assert_allclose(flow.reconstruct(x), x, atol=1e-9)


def test_bad_arguments():
    for wrong in ({"angles": [3]}, {"angles": [0, 0]}, {"bound": -1.0}, {"dim": 0}):
        with pytest.raises(ValueError, match="CircularBase"):
            CircularBase(**{"dim": 3} | wrong)
