"""Logit and Rescale: log-determinants against autodiff, digits near the ends, exact bounds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Logit, Rescale
from inntf.compose import Chain
from inntf.core.refusals import marked_refusals

BLOCKS = {
    "logit": lambda **k: Logit(0.05, **k),
    "logit-plain": lambda **k: Logit(0.0, **k),
    "rescale": lambda **k: Rescale(-3.0, 0.5, **k),
    "rescale-channels": lambda **k: Rescale(np.array([1.0, -2.0, 0.25]), [0.0, 1.0, 2.0], **k),
    "rescale-pixels": lambda **k: Rescale(np.linspace(1, 2, 4).reshape(2, 2, 1), np.ones((2, 2, 3)), **k),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_log_det_is_that_of_the_jacobian_and_back(make):
    block = make(dtype="float64")
    x = tf.constant(np.random.default_rng(0).uniform(0.05, 0.95, size=(4, 2, 2, 3)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = block.forward_and_log_det(x)
    slopes = tape.gradient(z, x).numpy()  # elementwise maps: the Jacobian is diagonal
    np.testing.assert_allclose(log_det, np.log(np.abs(slopes)).reshape(4, -1).sum(1), atol=1e-12)
    fresh = tf.constant(z.numpy())
    with tf.GradientTape() as tape:
        tape.watch(fresh)
        back, log_det = block.inverse_and_log_det(fresh)
    np.testing.assert_allclose(back, x, atol=1e-13)
    np.testing.assert_allclose(log_det, np.log(np.abs(tape.gradient(back, fresh))).reshape(4, -1).sum(1), atol=1e-12)


def test_logit_formula_and_ends():
    z = Logit(0.05, dtype="float64")(np.array([[0.0, 0.25, 1.0]])).numpy()
    y = np.array([0.05, 0.275, 0.95])
    np.testing.assert_allclose(z, [np.log(y / (1 - y))], atol=1e-14)


def test_logit_keeps_the_digits_near_one():
    rest = np.array([[1e-7, 1e-4]])  # with alpha = 0, 1 - x in float64
    z = Logit(0.0, dtype="float64")(1.0 - rest).numpy()
    np.testing.assert_allclose(z, np.log1p(-rest) - np.log(1.0 - (1.0 - rest)), rtol=1e-12)


def test_logit_clamps_nothing():
    block = Logit(0.05, dtype="float64")
    z = tf.constant([[-30.0, -4.0, 4.0, 30.0]], tf.float64)
    x, log_det = block.inverse_and_log_det(z)
    assert x[0, 0] < 0.0
    assert x[0, 3] > 1.0
    assert np.all(np.isfinite(log_det))
    np.testing.assert_allclose(block.forward_and_log_det(tf.identity(x))[0][0, 1:3], z[0, 1:3], atol=1e-12)


def test_logit_names_its_range():
    block = Logit(0.05)
    for bad in (-0.2, 1.2, 3.0):
        with pytest.raises(ValueError, match="range"):
            block.forward_and_log_det(tf.constant([[bad, 0.5]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="range"):
        tf.function(block.forward_and_log_det)(tf.constant([[1.2, 0.5]]))
    far = block.inverse_and_log_det(tf.constant([[-200.0, -20.0], [20.0, 200.0]]))[0]
    block.forward_and_log_det(far)  # what the inverse returns is never refused
    assert np.isnan(block.forward_and_log_det(tf.constant([[float("nan"), 0.5]]))[0][0, 0])


def test_logit_log_det_is_finite_far_out_in_float32():
    x, log_det = Logit(0.05).inverse_and_log_det(tf.constant([[-90.0, 90.0, 200.0]]))
    assert np.all(np.isfinite(x))
    np.testing.assert_allclose(log_det, [-380.0 - 3 * np.log(0.9)], rtol=1e-5)


@pytest.mark.parametrize(
    "domain", [(0.0, 1.0), (0.2, 0.4), (0.6, 0.9), (0.45, 0.6), (np.array([0.1, 0.5]), np.array([0.2, 0.5]))]
)
def test_logit_bounds_are_exact_on_a_box(domain):
    block = Logit(0.05, dtype="float64")
    low, high = (np.broadcast_to(np.asarray(end, float), (2,)) for end in domain)
    x = tf.constant(np.linspace(low, high, 2001))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = block.forward_and_log_det(x)[0]
    slopes = tape.gradient(z, x).numpy()
    bounds = block.lipschitz_bounds(domain)
    assert bounds.scope == "local"
    np.testing.assert_allclose(tuple(bounds), (slopes.max(), 1 / slopes.min()), rtol=1e-5)


def test_logit_global_bounds():
    bounds = Logit(0.05).lipschitz_bounds()
    assert np.isinf(bounds.forward)
    assert bounds.reason
    assert bounds.inverse == pytest.approx(0.25 / 0.9)
    assert np.isinf(Logit(0.0).lipschitz_bounds((0, 1)).forward)
    assert np.isinf(Logit(0.05).lipschitz_bounds((-1, 1)).forward)


def test_rescale_bounds_are_exact():
    assert tuple(Rescale([0.5, -4.0]).lipschitz_bounds()) == (4.0, 2.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Logit(0.5), "alpha"),
        (lambda: Logit(-0.1), "alpha"),
        (lambda: Rescale(0.0), "scale of 0"),
        (lambda: Rescale([1.0, 0.0]), "scale of 0"),
        (lambda: Rescale(np.nan), "finite"),
        (lambda: Rescale("big"), "a number or an array"),
        (lambda: Rescale([1.0, 2.0])(tf.ones([2, 3])), "broadcasts"),
        (lambda: Rescale(shift=np.ones((5, 3)))(tf.ones([2, 3])), "broadcasts"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_configuration_with_arrays_survives(tmp_path):
    block = Rescale(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    x = tf.constant([[1.0, 1.0]])
    np.testing.assert_array_equal(Rescale.from_config(block.get_config())(x), block(x))
    np.testing.assert_array_equal(block.copy(shift=0.0)(x), [[1.0, 2.0]])
    model = keras.Sequential([keras.Input((2,)), Chain([block, Logit(0.0)])])
    model.save(tmp_path / "m.keras")
    z = np.array([[-2.6, -1.8]], np.float32)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(z), model(z))


@pytest.mark.parametrize("way", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids=["eager", "graph"])
def test_within_marked_refusals_what_is_out_of_range_is_not_a_number(way):
    block = Logit().ensure_built((2,))
    x = tf.constant([[0.5, 0.25], [0.5, -0.1]])
    with marked_refusals():
        z = way(lambda x: block.forward_and_log_det(x)[0])(x).numpy()
    assert np.isfinite(z[0]).all() and np.isfinite(z[1, 0]) and np.isnan(z[1, 1])
