"""The factory of spline flows: it standardizes first, learns what no Gaussian is, and refuses what cannot be."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm
from inntf.models import DensityModel, spline_flow


def two_moons(n, seed=0):
    rng = np.random.default_rng(seed)
    angle, side = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * np.where(side, -1, 1)[:, None] + side[:, None] * [1.0, 0.5]
    return (1000 + 50 * (x + 0.05 * rng.normal(size=x.shape))).astype("float32")  # far from where splines bend


@pytest.mark.slow
def test_it_learns_data_far_away_better_than_a_gaussian():
    keras.utils.set_random_seed(0)
    flow = spline_flow(event_shape=2, depth=2, hidden=(32,), num_bins=6)
    model = DensityModel(flow)
    model.compile(keras.optimizers.Adam(1e-2))
    x = two_moons(1500)
    model.fit(x, epochs=6, batch_size=100, verbose=0)
    gaussian = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x.T))[1]
    assert model.evaluate(two_moons(1000, 1), batch_size=1000, verbose=0)[0] < gaussian - 0.3


@pytest.mark.parametrize(
    "changes",
    [
        {"mixing": "orthogonal", "tails": "free", "repeat": False},
        pytest.param({}, marks=pytest.mark.slow),
        {"affine": True},
        pytest.param({"mixing": "shuffle"}, marks=pytest.mark.slow),
    ],
)
def test_densities_of_all_kinds_are_those_of_the_jacobian(changes):
    flow = spline_flow(event_shape=3, depth=2, hidden=(4,), num_bins=3, condition_shape=2, dtype="float64", **changes)
    rng = np.random.default_rng(1)
    for v in flow.trainable_variables:
        v.assign(v + 0.3 * rng.normal(size=v.shape))
    assert type(flow.block.blocks[0]) is ActNorm
    x, c = tf.constant(rng.normal(size=(1, 3))), tf.constant(rng.normal(size=(1, 2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = flow.block.forward_and_log_det(x, c)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(tape.jacobian(z, x).numpy()[:, :, 0].reshape(1, 3, 3))[1], atol=1e-9)
    np.testing.assert_allclose(flow.reconstruct(x, c), x, atol=1e-9)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="at least 2 entries"):
        spline_flow(event_shape=1)
    with pytest.raises(ValueError, match="mixing"):
        spline_flow(event_shape=2, mixing="rotation")
    with pytest.raises(ValueError, match="num_bins"):
        spline_flow(event_shape=2, num_bins=1)
