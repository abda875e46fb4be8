"""Singular values of blocks whose spectrum is known, and of blocks whose inverse lies."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.stability import condition_number, float64_copy, singular_values
from tests.stability.tiny_blocks import Additive, Linear, Scaled, Shifted, Unlike

METHODS = pytest.mark.parametrize("method", ["exact", "lanczos"])


@METHODS
@pytest.mark.parametrize("shape", [(8,), (2, 2, 2)])
def test_known_spectrum(method, shape):
    spectrum = np.geomspace(0.02, 30, 8)
    x = tf.random.stateless_normal([3, *shape], [0, 1])
    out = singular_values(Linear(spectrum), x, method=method)
    np.testing.assert_allclose(out.largest, np.full(3, 30), rtol=1e-4)
    np.testing.assert_allclose(out.smallest, np.full(3, 0.02), rtol=1e-4)
    np.testing.assert_allclose(out.condition_number, np.full(3, 1500), rtol=1e-4)
    assert out.nonfinite == 0 and out.method == method
    assert np.all(out.converged) and np.all(out.consistent)


@METHODS
def test_condition_of_a_million(method):
    block = Linear(np.geomspace(1e-3, 1e3, 40), dtype="float64")
    x = tf.random.stateless_normal([2, 40], [0, 1], dtype=tf.float64)
    np.testing.assert_allclose(condition_number(block, x, method=method), [1e6, 1e6], rtol=1e-4)


@METHODS
def test_additive_coupling_against_the_closed_form(method):
    block, x = Additive(3.0, dtype="float64"), tf.constant([[0.0, 1.0], [0.7, -2.0], [40.0, 0.0]], tf.float64)
    slope = 3.0 * (1 - np.tanh(x[:, 0].numpy()) ** 2)
    largest = slope / 2 + np.sqrt(1 + slope**2 / 4)
    out = singular_values(block, x, method=method)
    np.testing.assert_allclose(out.largest, largest, rtol=1e-6)
    np.testing.assert_allclose(out.smallest, 1 / largest, rtol=1e-6)


@METHODS
def test_leading_dimensions_and_a_condition_per_sample(method):
    x, condition = tf.random.stateless_normal([2, 3, 4], [0, 1]), tf.random.stateless_normal([2, 3, 2], [1, 1])
    block = Additive(1.0, event_ndims=1)
    out = singular_values(block, x, condition, method=method)
    assert out.largest.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = singular_values(block, x[i, j][None], condition[i, j][None], method=method)
            np.testing.assert_allclose(out.largest[i, j], one.largest[0], rtol=1e-4)


def test_a_block_is_evaluated_at_the_point_itself():
    """Far from zero tanh is flat, so the point matters."""
    out = condition_number(Additive(5.0), tf.constant([[0.0, 0.0], [50.0, 0.0]]))
    assert out[0] > 20
    np.testing.assert_allclose(out[1], 1, rtol=1e-5)


@METHODS
def test_an_inverse_that_is_none_is_flagged(method):
    out = singular_values(Unlike(np.geomspace(1e-2, 1e2, 6)), tf.ones([2, 6]), method=method)
    assert not np.any(out.consistent)
    np.testing.assert_allclose(out.largest, [100, 100], rtol=1e-4)
    assert np.all(out.smallest >= 0.01 * (1 - 1e-4)), "never below the true value: it is an upper bound"
    assert np.all(out.condition_at_least <= 1e4 * (1 + 1e-3))


def test_non_finite_samples_are_counted_exactly():
    x = np.zeros((5, 4), "float32")
    x[[0, 3], 0] = np.nan
    for method in ("exact", "lanczos"):
        out = singular_values(Linear(np.array([1.0, 2, 3, 4])), x, method=method)
        assert out.nonfinite == 0, "a linear map has a finite Jacobian everywhere"
        out = singular_values(Additive(1.0), x, method=method)
        assert out.nonfinite == 2
        assert list(np.isfinite(out.largest)) == [False, True, True, False, True]
        assert list(out.converged.numpy()) == [False, True, True, False, True]


def test_a_singular_map_has_an_infinite_condition_number():
    out = singular_values(Scaled(0.0), tf.ones([3, 2]), method="exact")
    assert out.nonfinite == 3 and not np.any(out.consistent)
    assert np.all(out.smallest == 0) and np.all(out.largest == 0)


def test_same_jacobian_but_a_shifted_inverse_is_left_to_the_reconstruction_error():
    out = singular_values(Shifted(np.array([1.0, 2.0]), miss=5.0), tf.zeros([1, 2]))
    np.testing.assert_allclose(out.condition_number, [2.0], rtol=1e-5)


def test_double_precision_on_request():
    block, x = Scaled(1e-3), tf.ones([1, 2])
    block(x)
    wide = float64_copy(block)
    assert wide.variable_dtype == "float64" and block.variable_dtype == "float32"
    assert wide.scale.numpy() == np.float64(np.float32(1e-3))
    assert float64_copy(wide) is wide
    out = singular_values(block, x, precision="float64")
    np.testing.assert_allclose(out.largest, [np.float64(np.float32(1e-3))], rtol=1e-14)
    with pytest.raises(ValueError, match="not built"):
        float64_copy(Scaled())
    with pytest.raises(ValueError, match="cannot be rebuilt"):
        unregistered = Additive(1.0)
        unregistered(tf.ones([1, 2]))
        unregistered._arguments["slope"] = object()
        float64_copy(unregistered)


def test_bad_options():
    with pytest.raises(ValueError, match="method='svd'"):
        singular_values(Scaled(), tf.ones([1, 2]), method="svd")
    with pytest.raises(ValueError, match="precision='half'"):
        singular_values(Scaled(), tf.ones([1, 2]), precision="half")
