"""The monotone block: against the formula in numpy, certificates of both directions, bounds and balls."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import MonotoneBlock
from inntf.nets import LipschitzMLP

L = 0.8


def made(dtype="float64", dim=3, coefficient=L**0.5, **kwargs):
    block = MonotoneBlock(network=LipschitzMLP((6,), coefficient=coefficient, dtype=dtype), dtype=dtype, **kwargs)
    block.ensure_built((dim,))
    rng = np.random.default_rng(0)
    block.set_weights([(w + 0.3 * rng.standard_normal(w.shape)).astype(w.dtype) for w in block.get_weights()])
    block.certify(rescale=True)
    return block


def test_it_is_the_cayley_transform_of_its_network():
    block = made()
    w = np.random.default_rng(1).standard_normal((5, 3))
    g = block.network(tf.constant(w)).numpy()
    x, z = (w + g) / 2, (w - g) / 2
    np.testing.assert_allclose(block.forward_and_log_det(x)[0], z, atol=1e-12)
    np.testing.assert_allclose(block.inverse_and_log_det(z)[0], x, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_directions_are_within_their_certificates(dtype):
    block, wide = made(dtype), made()
    wide.set_weights([np.asarray(w, np.float64) for w in block.get_weights()])
    value = np.random.default_rng(2).standard_normal((20, 3)).astype(dtype)
    for name in ("forward", "inverse"):
        found, log_det, certificate = getattr(block, f"{name}_with_certificate")(value)
        truth = getattr(wide, f"{name}_and_log_det")(value.astype(np.float64))[0]
        error = np.linalg.norm(np.asarray(found) - truth, axis=1)
        assert certificate.reached.numpy().all() and certificate.error_bound.shape == log_det.shape == (20,)
        assert np.all(error <= certificate.error_bound + 1e-13)
        assert np.max(certificate.error_bound) < (1e-3 if dtype == "float32" else 1e-11)


def test_slopes_are_within_bounds_that_a_residual_block_does_not_reach():
    block = made(coefficient=0.97**0.5)
    bounds = block.lipschitz_bounds()
    lipschitz = block.certify()
    assert bounds.forward == bounds.inverse == pytest.approx((1 + lipschitz) / (1 - lipschitz))
    x = tf.constant(np.random.default_rng(3).standard_normal((50, 3)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = block.forward_and_log_det(x)[0]
    singular = np.linalg.svd(tape.batch_jacobian(z, x).numpy(), compute_uv=False)
    assert singular.max() <= bounds.forward and 1 / singular.min() <= bounds.inverse
    assert max(singular.max(), 1 / singular.min()) > 1 + lipschitz or singular.min() < 1 / (1 + lipschitz)


@pytest.mark.parametrize("inverse", [False, True])
def test_in_a_ball_no_jacobian_is_further_off(inverse):
    block, rng = made(), np.random.default_rng(4)
    x, radius = rng.standard_normal((2, 3)), np.full(2, 1e-2)
    found = block.local_map(x, radius, None, inverse)
    steps = rng.standard_normal((30, 2, 3))
    points = tf.constant((x + steps * 1e-2 / np.linalg.norm(steps, axis=2, keepdims=True)).reshape(-1, 3))
    with tf.GradientTape() as tape:
        tape.watch(points)
        image = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(points)[0]
    near = tape.batch_jacobian(image, points).numpy().reshape(30, 2, 3, 3)
    off = np.linalg.norm(near - found.jacobian, 2, axis=(2, 3)).max(0)
    assert np.all(off <= found.deviation) and np.all(found.deviation < 1.0)
