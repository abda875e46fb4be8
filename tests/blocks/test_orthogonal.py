"""Products of Householder reflections: what they are, that training leaves them orthogonal, and that they learn a rotation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import OrthogonalLinear
from inntf.compose import Repeat
from inntf.stability.precision import float64_copy


def reflections_in_turn(vectors):
    product = np.eye(len(vectors))
    for v in vectors.T:
        product = product @ (np.eye(len(v)) - 2 * np.outer(v, v) / (v @ v))
    return product


@pytest.mark.parametrize(("size", "count"), [(1, 1), (5, 2), (5, None), (40, None)])
def test_it_is_the_product_of_its_reflections(size, count):
    block = OrthogonalLinear(reflections=count, seed=3, dtype="float64").ensure_built((size,))
    expected = reflections_in_turn(block.vectors.numpy())
    np.testing.assert_allclose(block.kernel(), expected, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(expected), (-1.0) ** (count or size), atol=1e-10)
    x = np.random.default_rng(0).normal(size=(3, size))
    np.testing.assert_allclose(block.forward_and_log_det(x)[0], x @ expected.T, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e6])
def test_it_is_orthogonal_whatever_the_weights(scale):
    block = OrthogonalLinear(dtype="float64").ensure_built((8,))
    rng = np.random.default_rng(1)
    nearly_one = rng.normal(size=(8, 1)) + 1e-9 * rng.normal(size=(8, 8))  # reflections that all but undo each other
    for vectors in (rng.normal(size=(8, 8)), nearly_one, np.eye(8), np.zeros([8, 8])):
        block.vectors.assign(scale * vectors)
        with tf.GradientTape() as tape:
            kernel = block.kernel()
            loss = tf.reduce_sum(kernel[0])
        np.testing.assert_allclose(kernel @ tf.transpose(kernel), np.eye(8), atol=1e-13)
        assert np.isfinite(tape.gradient(loss, block.vectors.value)).all()
    assert tuple(block.lipschitz_bounds()) == (1.0, 1.0)
    block.vectors.assign(np.full([8, 8], np.nan))
    assert "not finite" in block.lipschitz_bounds().reason


def test_it_learns_a_rotation_and_stays_orthogonal_in_float32():
    rng = np.random.default_rng(2)
    wanted = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    wanted[:, 0] *= np.linalg.det(wanted)  # of the determinant that four reflections have
    x = tf.constant(rng.normal(size=(64, 4)), tf.float32)
    y = tf.constant(x.numpy() @ wanted.T, tf.float32)
    block = OrthogonalLinear(seed=0).ensure_built((4,))
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(block.forward_and_log_det(x)[0] - y))
        optimizer.apply([tape.gradient(loss, block.vectors.value)], block.trainable_variables)
        return loss

    first = float(step())
    for _ in range(150):
        last = float(step())
    assert last < 1e-3 * first
    kernel = float64_copy(block).kernel().numpy()
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=1e-12)
    back = block.inverse_and_log_det(block.forward_and_log_det(x)[0])[0]
    assert np.abs(back - x).max() < 2e-6


def test_pixels_of_images_repeats_and_bad_counts():
    block = OrthogonalLinear(seed=1, dtype="float64").ensure_built((2, 3, 4))
    x = np.random.default_rng(3).normal(size=(2, 2, 3, 4))
    np.testing.assert_allclose(block.forward_and_log_det(x)[0], np.einsum("oc,bhwc->bhwo", block.kernel(), x), atol=1e-12)
    rows = Repeat(lambda: OrthogonalLinear(), 3).ensure_built((4,))
    assert np.abs(np.diff(rows.weights[0].numpy(), axis=0)).min() > 0  # each starts by itself
    with pytest.raises(ValueError, match="reflections=5, expected at most 4"):
        OrthogonalLinear(reflections=5).ensure_built((4,))
    with pytest.raises(ValueError, match="reflections=0"):
        OrthogonalLinear(reflections=0)
