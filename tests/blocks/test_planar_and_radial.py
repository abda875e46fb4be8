"""Planar and radial flows: exact bounds, inverses and their certificates, balls, weights at their worst."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Planar, Radial
from inntf.compose import Chain
from inntf.stability.ball_certificate import certify_balls
from tests.blocks.second_derivatives import check_second_derivatives_of_the_inverse

DIM = 4


def made(cls, weights, dtype="float64", dim=DIM):
    block = cls(dtype=dtype).ensure_built((dim,))
    block.set_weights([np.asarray(w, dtype) for w in weights])
    return block


def weights_of(cls, seed, strength=1.0):
    rng = np.random.default_rng(seed)
    if cls is Planar:
        return rng.standard_normal(DIM), strength * rng.standard_normal(DIM), 0.3 * rng.standard_normal()
    return rng.standard_normal(DIM), rng.standard_normal(), strength * rng.standard_normal()


def jacobians(block, x, inverse=False):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = (block.inverse_and_log_det if inverse else block.forward_and_log_det)(x)[0]
    return tape.batch_jacobian(z, x).numpy()


BOTH = pytest.mark.parametrize("cls", [Planar, Radial])


@BOTH
@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_hold_and_are_attained_somewhere(cls, seed):
    block = made(cls, weights_of(cls, seed, 2.0))
    x = 3 * np.random.default_rng(seed).standard_normal((300, DIM))
    centre = np.asarray(block.weights[0])
    if cls is Planar:  # with points of the plane w x + b = 0, where the push is steepest
        x[0] = -centre * float(block.offset) / (centre @ centre)
    else:
        x[0] = centre + 1e-9
        x[1] = 1e6
    singular = np.linalg.svd(jacobians(block, x), compute_uv=False)
    bounds = block.lipschitz_bounds()
    assert bounds.forward == pytest.approx(singular.max(), rel=1e-5) and bounds.forward >= singular.max() * (1 - 1e-12)
    assert bounds.inverse == pytest.approx(1 / singular.min(), rel=1e-5) and bounds.inverse >= (1 - 1e-12) / singular.min()


@BOTH
def test_on_a_box_they_are_smaller_and_hold(cls):
    weights = weights_of(cls, 3, 2.0)
    block = made(cls, (*weights[:2], 9.0) if cls is Planar else weights)  # the box is to one side of the plane
    low, high = np.full(DIM, 1.5), np.array([2.0, 1.8, 2.5, 1.6])
    x = np.random.default_rng(0).uniform(low, high, (500, DIM))
    singular = np.linalg.svd(jacobians(block, x), compute_uv=False)
    local, whole = block.lipschitz_bounds((low, high)), block.lipschitz_bounds()
    assert local.scope == "local" and local.condition_number < whole.condition_number
    assert singular.max() <= local.forward and 1 / singular.min() <= local.inverse
    box = block.image_box((low, high))
    z = block(x)
    assert np.all(z >= box[0]) and np.all(z <= box[1])


@BOTH
@pytest.mark.parametrize("inverse", [False, True])
def test_in_a_ball_no_jacobian_is_further_off(cls, inverse):
    block, rng = made(cls, weights_of(cls, 5, 2.0)), np.random.default_rng(5)
    x = rng.standard_normal((6, DIM))
    x[0] = np.asarray(block.weights[0])  # the centre of a radial flow
    radius = np.full(6, 0.2)
    found = block.local_map(x, radius, None, inverse)
    at = found.jacobian
    np.testing.assert_allclose(at[1:], jacobians(block, x, inverse)[1:], atol=1e-9)
    steps = rng.standard_normal((200, 6, DIM))
    steps *= rng.uniform(0, 1, (200, 6, 1)) ** (1 / DIM) * 0.2 / np.linalg.norm(steps, axis=2, keepdims=True)
    near = jacobians(block, (x + steps).reshape(-1, DIM), inverse).reshape(200, 6, DIM, DIM)
    off = np.linalg.norm(near - at, 2, axis=(2, 3)).max(0)
    assert np.all(off <= found.deviation) and np.all(found.deviation <= 6 * off)


@BOTH
def test_chains_of_them_are_certified_in_balls(cls):
    chain = Chain([made(cls, weights_of(cls, seed)) for seed in range(4)], dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, DIM))
    found = certify_balls(chain, x, 1e-4)
    singular = np.linalg.svd(jacobians(chain, x), compute_uv=False).max(1)
    assert np.all(found.forward >= singular * (1 - 1e-9)) and np.all(found.forward <= 1.01 * singular)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strength", [0.1, 3.0, 30.0, -30.0])
def test_planar_inverse_is_within_its_certificate(dtype, strength):
    rng = np.random.default_rng(1)
    w = rng.standard_normal(DIM)
    block = made(Planar, (w, strength * w, 0.2), dtype)
    wide = made(Planar, [np.asarray(v, np.float64) for v in block.get_weights()])
    z = 3 * rng.standard_normal((200, DIM)).astype(dtype)
    x, log_det, certificate = block.inverse_with_certificate(z)
    truth = wide.inverse_and_log_det(z.astype(np.float64))[0]
    error = np.linalg.norm(np.asarray(x) - truth, axis=1)
    assert certificate.reached.numpy().all() and np.all(error <= certificate.error_bound + 1e-12)
    assert np.median(certificate.error_bound) < (1e-3 if dtype == "float32" else 1e-11)
    assert certificate.evaluations.shape == log_det.shape == (200,)


def test_certificates_come_in_the_shape_of_the_batch():
    block = made(Planar, weights_of(Planar, 0), "float32")
    x, log_det, certificate = block.inverse_with_certificate(tf.ones([2, 3, DIM]))
    assert x.shape == (2, 3, DIM) and certificate.error_bound.shape == certificate.reached.shape == log_det.shape == (2, 3)


@pytest.mark.parametrize("strength", [-1e3, 1e3])
@BOTH
def test_no_weights_make_it_singular_in_silence(cls, strength):
    weights = {Planar: (np.ones(DIM), np.full(DIM, strength), 0.0), Radial: (np.zeros(DIM), 0.0, strength)}
    block = made(cls, weights[cls], "float32")
    x = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    z, log_det = block.forward_and_log_det(x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all()
    bounds = block.lipschitz_bounds()
    assert bounds.forward >= 1 and (bounds.inverse > 100 or bounds.forward > 100)


def test_second_derivatives_of_the_planar_inverse():
    block = made(Planar, weights_of(Planar, 2, 2.0))
    check_second_derivatives_of_the_inverse(block, np.random.default_rng(2).standard_normal((3, DIM)))


def test_at_the_start_they_are_the_identity():
    x = tf.random.stateless_normal([3, DIM], [1, 2])
    for block in (Planar(), Radial()):
        z, log_det = block.forward_and_log_det(x)
        np.testing.assert_allclose(z, x, atol=1e-6)
        np.testing.assert_allclose(log_det, 0, atol=1e-6)
