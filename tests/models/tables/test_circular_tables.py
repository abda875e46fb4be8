"""Angles in a table: densities that close where their circle does, against Jacobians, fresh, shaken and trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.models import table_flow
from inntf.nets import AngleFeatures

PERIODS = {"a": 360.0, "b": 24.0}
N = 64


def columns(names):
    rng = np.random.default_rng(0)
    a = rng.vonmises(3.0, 2.0, N)
    every = {
        "a": np.degrees(a) % 360.0,
        "x": np.cos(a) + 0.3 * rng.normal(size=N),
        "b": rng.uniform(0.0, 24.0, N),
        "y": rng.gamma(4.0, size=N),
    }
    return {name: every[name] for name in names}


def model(names, architecture, dtype="float64"):
    given = columns(names)
    kinds = {name: ("angle", PERIODS[name]) for name in names if name in PERIODS}
    return table_flow(given, kinds, architecture=architecture, depth=1, hidden=(6,), bins=4, dtype=dtype).initialize(given)


def shake(model, size):
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign_add(size * rng.normal(size=weight.shape))


def jump(model, names, angle):
    """Largest difference of log-densities on both sides of the seam."""
    ends = {name: np.repeat(column[:6], 2) for name, column in columns(names).items()}
    ends[angle] = np.tile([0.0, PERIODS[angle] * (1 - 1e-9)], 6)
    found = model.log_prob(ends).numpy().reshape(6, 2)
    return np.abs(found[:, 0] - found[:, 1]).max()


@pytest.mark.parametrize(
    ("names", "architecture"),
    [("axby", "spline_maf"), ("ab", "spline_maf"), ("axy", "spline_coupling"), ("abx", "spline_coupling")],
)
def test_log_dets_are_those_of_the_jacobian_and_nothing_jumps(names, architecture):
    made = model(names, architecture)
    shake(made, 0.2)
    x = tf.constant(made.columns.encode(columns(names))[:1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z, log_det = made.block.forward_and_log_det(x)
        entries = tf.unstack(z[0])
    jacobian = [tape.gradient(entry, x)[0] for entry in entries]
    np.testing.assert_allclose(log_det[0], np.linalg.slogdet(jacobian)[1], atol=1e-8)
    np.testing.assert_allclose(made.block.inverse_value(tf.identity(z)), x, atol=1e-7)
    for angle in set(names) & set(PERIODS):
        assert jump(made, names, angle) < 1e-4


def test_a_number_that_follows_an_angle_across_the_seam_is_learned():
    keras.utils.set_random_seed(0)
    given = columns("ax")
    made = model("ax", "spline_maf", dtype="float32")
    before = np.mean(made.log_prob(given))
    made.compile(keras.optimizers.Adam(2e-2), run_eagerly=True)
    made.fit(given, epochs=4, batch_size=N, verbose=0)
    assert np.mean(made.log_prob(given)) > before + 0.1
    assert jump(made, "ax", "a") < 1e-3


def test_networks_that_saw_angles_as_numbers_would_jump(monkeypatch):
    made = model("ax", "spline_maf")
    shake(made, 0.2)
    assert jump(made, "ax", "a") < 1e-4
    monkeypatch.setattr(AngleFeatures, "call", lambda self, x: tf.concat([x[:, :1], x[:, :1], x[:, 1:]], 1))
    assert jump(made, "ax", "a") > 1e-2
