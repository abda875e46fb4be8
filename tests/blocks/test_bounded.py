"""`Bounded`: the formulas against scipy, the ends, and what lies beyond."""

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from inntf.blocks import Bounded

INF = math.inf


def test_each_kind_of_bound_has_its_formula():
    x = np.array([[0.3, 2.5, -4.0, 7.0]])
    z, log_det = Bounded([-1.0, 2.0, -INF, -INF], [3.0, INF, 1.0, INF], dtype="float64").forward_and_log_det(tf.constant(x))
    quantile = scipy.stats.norm.ppf(1.3 / 4)
    assert np.allclose(z, [[quantile, math.log(0.5), -math.log(5.0), 7.0]], atol=1e-12)
    slopes = [1 / (4 * scipy.stats.norm.pdf(quantile)), 2.0, 0.2, 1.0]
    assert float(log_det[0]) == pytest.approx(np.log(slopes).sum(), abs=1e-12)


def test_uniform_numbers_become_standard_normal():
    x = np.random.default_rng(0).uniform(5.0, 9.0, (2000, 1))
    z = Bounded(5.0, 9.0).forward_and_log_det(tf.constant(x, tf.float32))[0].numpy()
    assert scipy.stats.kstest(z[:, 0], "norm").pvalue > 0.01


def test_both_tails_keep_their_digits_and_no_latent_leads_out():
    block = Bounded(-1.0, 1.0)
    z = tf.constant([[-12.0], [-4.5], [4.5], [12.0], [300.0]])
    x = block.inverse_and_log_det(z)[0].numpy()
    assert (np.abs(x) <= 1.0).all() and np.isfinite(block.forward_and_log_det(tf.constant(x))[0]).all()
    near = np.array([[1e-12], [1.0 - 1e-12]])
    found = Bounded(0.0, 1.0, dtype="float64").forward_and_log_det(tf.constant(near))[0].numpy()
    assert np.allclose(found[0], -found[1], rtol=1e-4)


def test_gradients_are_finite_next_to_other_kinds_of_bounds():
    x = tf.constant([[0.0, 2.0, 1.0, 1e30]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = Bounded([0.0, -INF, 0.5, -INF], [1.0, 2.5, INF, INF]).forward_and_log_det(x)
    assert np.isfinite(z).all() and np.isfinite(tape.gradient([z, log_det], x)[:, 1:]).all()


@pytest.mark.parametrize("x", [[-0.1, 0.5], [0.5, -0.1], [1.1, 0.5]])
def test_beyond_a_bound_is_an_error(x):
    block = Bounded([0.0, 0.0], [1.0, INF])
    with pytest.raises(ValueError, match="Distances from the bounds"):
        block.forward_and_log_det(tf.constant([x]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(block.forward_and_log_det)(tf.constant([x]))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (2.0, 1.0), ([0.0, 1.0], [1.0]), (INF, INF), (math.nan, 1.0), ("a", 1.0)]
)
def test_bounds_that_are_none(low, high):
    if low == [0.0, 1.0]:
        high = [1.0, 0.5]
    with pytest.raises(ValueError, match="low < high"):
        Bounded(low, high)


def test_bounds_of_slopes_hold_and_are_attained():
    block = Bounded([0.0, 0.0, -INF], [2.0, INF, 1.0])
    box = (np.array([0.1, 0.5, -3.0]), np.array([1.5, 4.0, 0.8]))
    bounds = block.lipschitz_bounds(box)
    x = np.linspace(*box, 201)
    slopes = np.abs(
        np.gradient(block.forward_and_log_det(tf.constant(x, tf.float32))[0].numpy(), axis=0) / np.gradient(x, axis=0)
    )
    assert bounds.scope == "local"
    assert slopes[1:-1].max() <= bounds.forward * 1.001 and slopes[1:-1].max() > 0.9 * bounds.forward
    assert slopes[1:-1].min() >= 0.999 / bounds.inverse and slopes[1:-1].min() < 1.1 / bounds.inverse
    assert math.isinf(block.lipschitz_bounds().forward) and block.lipschitz_bounds().reason
    assert Bounded().lipschitz_bounds().forward == 1.0
    assert Bounded(0.0, 2.0).lipschitz_bounds().inverse == pytest.approx(2 / math.sqrt(2 * math.pi))
