"""Reconstruction error: exact on known misses, not fooled by caches, non-finite counted."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.stability import reconstruction_error, repeated_reconstruction, summarize
from tests.stability.tiny_blocks import Additive, Linear, Scaled, Shifted


@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
def test_a_known_miss_is_measured(shape):
    block = Shifted(np.ones(6), miss=0.5, dtype="float64")
    x = tf.random.stateless_normal([4, *shape], [0, 1], dtype=tf.float64)
    np.testing.assert_allclose(reconstruction_error(block, x), np.full(4, 0.5), rtol=1e-9)
    np.testing.assert_allclose(reconstruction_error(Linear(np.ones(6), dtype="float64"), x), 0, atol=1e-14)


def test_the_bijector_cache_is_not_asked():
    block = Shifted(np.ones(3), miss=0.5)
    x = tf.zeros([2, 3])
    z = block.forward(x)
    assert block.inverse(z) is x, "TFP remembers where z came from: this round trip proves nothing"
    np.testing.assert_allclose(reconstruction_error(block, x), [0.5, 0.5], rtol=1e-6)


def test_leading_dimensions_and_the_condition():
    block = Additive(2.0, event_ndims=1)
    x, condition = tf.random.stateless_normal([3, 2, 4], [0, 1]), tf.random.stateless_normal([3, 2, 2], [1, 1])
    assert reconstruction_error(block, x, condition).shape == (3, 2)
    assert repeated_reconstruction(block, x[0], 3, condition[0]).samples.shape == (4, 2, 4)
    with pytest.raises(ValueError, match="condition"):
        reconstruction_error(block, x)


def test_overflow_of_the_square_is_not_taken_for_infinity():
    error = reconstruction_error(Shifted(np.ones(4), miss=1e30), tf.zeros([1, 4]))
    np.testing.assert_allclose(error, [1e30], rtol=1e-5)


def test_passes_accumulate():
    block = Shifted(np.ones(4), miss=0.25, dtype="float64")
    out = repeated_reconstruction(block, tf.zeros([2, 4], tf.float64))
    assert out.samples.shape == (10, 2, 4) and out.errors.shape == (9, 2)
    np.testing.assert_allclose(out.errors[:, 0], 0.25 * np.arange(1, 10))
    np.testing.assert_array_equal(out.samples[0], np.zeros((2, 4)))
    with pytest.raises(ValueError, match="pass"):
        repeated_reconstruction(block, tf.zeros([2, 4], tf.float64), passes=0)


def test_non_finite_samples_are_counted_exactly():
    x = np.zeros((10, 4), "float32")
    x[[1, 4, 7], 0] = 5.0
    errors = reconstruction_error(Shifted(np.ones(4), miss=0.5), x)
    assert list(np.where(~np.isfinite(errors))[0]) == [1, 4, 7]
    summary = summarize(errors)
    assert summary.count == 10
    np.testing.assert_allclose(summary[:4], [0.5, 0.5, 0.5, 0.3], rtol=1e-6)
    assert summarize(reconstruction_error(Scaled(0.0), tf.ones([3, 2]))).nonfinite_share == 1.0


def test_summarize():
    values = np.arange(1, 102, dtype=float)
    np.random.default_rng(0).shuffle(values)
    np.testing.assert_allclose(summarize(values)[:4], [51, 100, 101, 0])
    broken = summarize([np.nan, np.inf, -np.inf])
    assert broken.median == broken.max == np.inf and broken.nonfinite_share == 1
    with pytest.raises(ValueError, match="no errors"):
        summarize([])


def test_inside_tf_function():
    block = Shifted(np.ones(4), miss=0.5)
    x = tf.zeros([2, 4])
    np.testing.assert_allclose(tf.function(lambda x: reconstruction_error(block, x))(x), [0.5, 0.5], rtol=1e-6)


def test_something_without_a_block():
    with pytest.raises(TypeError, match="expected an inntf block"):
        reconstruction_error(tf.square, tf.ones([1, 2]))
