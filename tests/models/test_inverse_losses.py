"""Losses of inverse problems against densities of TFP, and for what passes a gradient."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.models import (
    backward_mmd_loss,
    cycle_loss,
    energy_score_loss,
    joint_negative_log_likelihood,
    l2_loss,
    latent_mmd_loss,
    real_nvp,
)
from inntf.numerics import X_SIDE_KERNEL, mmd_squared

tfd = tfp.distributions


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(size=(300, 3))


def test_sums_over_entries_and_means_over_the_batch(normal):
    x, y = normal, normal[::-1].copy()
    expected = np.mean(np.linalg.norm(x - y, axis=1) ** 2)
    np.testing.assert_allclose(l2_loss(x, y), expected)
    np.testing.assert_allclose(cycle_loss(x, y), expected)


@pytest.mark.parametrize("sigma", [0.3, np.array([0.1, 0.5])])
def test_the_likelihood_is_that_of_the_density_it_names(sigma):
    """Of a flow with its log-determinant: the density of [y, z] pulled back through the block."""
    flow = real_nvp(event_shape=4, depth=2, hidden=(8,), dtype="float64")
    x = tf.constant(np.random.default_rng(1).normal(size=(6, 4)))
    y = tf.constant(np.random.default_rng(2).normal(size=(6, 2)))
    out, log_det = flow.block.forward_and_log_det(x)
    got = joint_negative_log_likelihood(out[:, :2], out[:, 2:], log_det, y, sigma)
    scale = tf.concat([tf.broadcast_to(tf.constant(sigma, tf.float64), [2]), tf.ones([2], tf.float64)], 0)
    base = tfd.MultivariateNormalDiag(tf.concat([y, tf.zeros_like(y)], -1), scale)
    np.testing.assert_allclose(got, -tfd.TransformedDistribution(base, tfp.bijectors.Invert(flow.block)).log_prob(x), rtol=1e-9)


def test_the_best_sigma_is_the_deviation(normal):
    y_hat, y = tf.constant(normal), tf.constant(normal + 0.2 * normal[::-1])
    sigma = tf.Variable(tf.sqrt(tf.reduce_mean((y_hat - y) ** 2, 0)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(joint_negative_log_likelihood(y_hat, y_hat[:, :0], tf.zeros(300), y, sigma))
    np.testing.assert_allclose(tape.gradient(loss, sigma), np.zeros(3), atol=1e-9)


def test_a_latent_that_depends_on_y_is_seen_and_y_hat_gets_no_gradient(normal):
    y, independent = tf.constant(normal[:, :1]), tf.constant(normal[:, 1:2])
    free = latent_mmd_loss(independent, y, y, [0, 1])
    assert latent_mmd_loss(-y, y, y, [0, 1]) > 5 * free
    # Without y beside it, the dependent latent passes.
    assert mmd_squared(-y, independent) < 0.1
    with tf.GradientTape() as tape:
        tape.watch([independent, y])
        loss = latent_mmd_loss(independent, y, tf.stop_gradient(y), [0, 1])
    to_z, to_y = tape.gradient(loss, [independent, y])
    assert to_y is None and np.abs(to_z).max() > 0
    assert float(latent_mmd_loss(independent, y, y, [0, 1])) == float(free) != float(latent_mmd_loss(independent, y, y, [0, 2]))


def test_the_backward_loss_is_the_discrepancy_beside_y(normal):
    x_hat, x, y = normal[:, :2], normal[::-1, :2].copy(), normal[:, 2:]
    np.testing.assert_allclose(backward_mmd_loss(x_hat, x), mmd_squared(x_hat, x, X_SIDE_KERNEL), atol=1e-12)
    assert backward_mmd_loss(x_hat, x) < 1e-9  # the same points in another order
    assert backward_mmd_loss(x_hat, x, y) > 0.01


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("l2_loss: received shapes", lambda x: l2_loss(x, x[:, :1])),
        ("cycle_loss: received shapes", lambda x: cycle_loss(x[:, 0], x[:, 0])),
        ("sigma=0", lambda x: joint_negative_log_likelihood(x, x, x[:, 0], x, 0)),
        ("latent_mmd_loss", lambda x: latent_mmd_loss(x, x, x[:, :1], [0, 0])),
        ("backward_mmd_loss", lambda x: backward_mmd_loss(x, x[:, :1])),
    ],
)
def test_shapes_that_would_broadcast_are_refused(normal, words, call):
    with pytest.raises(ValueError, match=words):
        call(normal)


def test_the_energy_score_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    samples, x = rng.normal(size=(4, 30, 3)), rng.normal(size=(30, 3))
    to_truth = np.mean([np.linalg.norm(s - x, axis=1).mean() for s in samples])
    apart = np.mean([np.linalg.norm(samples[i] - samples[j], axis=1).mean() for i in range(4) for j in range(4) if i != j])
    np.testing.assert_allclose(energy_score_loss(samples, x), to_truth - 0.5 * apart, rtol=1e-12)


def test_the_energy_score_is_lowest_for_the_right_posterior():
    """x given y is normal around y with deviation 0.5: others score higher, by half their energy distance."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(40_000, 1))
    x = y + 0.5 * rng.normal(size=y.shape)

    def score(shift=0.0, scale=0.5, centre=y):
        return float(energy_score_loss(centre + shift + scale * rng.normal(size=(2, *y.shape)), x))

    right = score()
    assert min(score(shift=0.2), score(scale=0.3), score(scale=0.8), score(centre=0.0, scale=np.sqrt(1.25))) > right + 0.01


def test_the_energy_score_has_gradients_where_points_coincide():
    samples = tf.Variable(tf.zeros([2, 3, 2]))
    with tf.GradientTape() as tape:
        loss = energy_score_loss(samples, tf.zeros([3, 2]))
    np.testing.assert_array_equal(tape.gradient(loss, samples), np.zeros((2, 3, 2)))


@pytest.mark.parametrize(("samples", "x"), [((1, 5, 2), (5, 2)), ((2, 5, 2), (4, 2)), ((5, 2), (5, 2)), ((2, 5, 2), (5, 1))])
def test_the_energy_score_refuses_what_does_not_fit(samples, x):
    with pytest.raises(ValueError, match="energy_score_loss"):
        energy_score_loss(tf.zeros(samples), tf.zeros(x))
