"""Sylvester flows: determinant, exact bounds, inverses and their certificates, balls, weights at their worst."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Planar, Sylvester
from inntf.compose import Chain, Repeat, backprop_mode
from inntf.numerics.norms import inner_diagonal
from inntf.numerics.norms.inner_diagonal import inner_diagonal_norms
from tests.blocks.second_derivatives import check_second_derivatives_of_the_inverse
from tests.blocks.test_planar_and_radial import jacobians

DIM = 5


def made(directions=3, strength=1.0, dtype="float64", seed=0, dim=DIM):
    block = Sylvester(directions=directions, seed=seed, dtype=dtype).ensure_built((dim,))
    rng = np.random.default_rng(seed)
    block.set_weights([(w + strength * rng.standard_normal(w.shape)).astype(dtype) for w in block.get_weights()])
    return block


def slopes(block, value, inverse):
    """Jacobians of one direction; of the inverse by those of `forward` at its results."""
    value = tf.constant(value)
    return np.linalg.inv(jacobians(block, block.inverse_and_log_det(value)[0])) if inverse else jacobians(block, value)


def at(block, s):
    """The data whose `s` is this."""
    parts = block.parts(tf.float64)
    return (np.asarray(s) - parts.offset.numpy()) @ np.linalg.pinv(parts.read.numpy()).T


@pytest.mark.parametrize("directions", [1, 3, DIM])
def test_log_det_and_bounds_are_those_of_the_jacobian(directions):
    block = made(directions, 1.5)
    corners = np.array(list(itertools.product([0.0, 12.0], repeat=directions)))  # slopes 1 and 0 of each tanh
    x = np.concatenate([at(block, corners), 3 * np.random.default_rng(1).standard_normal((100, DIM))])
    found = jacobians(block, x)
    sign, log_det = np.linalg.slogdet(found)
    assert np.all(sign > 0)
    np.testing.assert_allclose(block.forward_and_log_det(x)[1], log_det, atol=1e-10)
    singular, bounds = np.linalg.svd(found, compute_uv=False), block.lipschitz_bounds()
    assert bounds.forward == pytest.approx(singular.max(), rel=1e-6) and bounds.forward >= singular.max() * (1 - 1e-9)
    assert bounds.inverse == pytest.approx(1 / singular.min(), rel=1e-6) and bounds.inverse >= (1 - 1e-9) / singular.min()


def test_of_many_directions_the_bounds_still_hold(monkeypatch):
    rng, low, high = np.random.default_rng(2), np.array([0.0, 0.2, 0.1, 0.0]), np.array([1.0, 0.3, 0.9, 0.0])
    outer, inner = (tf.constant(np.triu(rng.standard_normal((4, 4)))) for _ in range(2))
    outer = tf.linalg.set_diag(outer, tf.constant([-0.5, 3.0, 0.1, -0.9], tf.float64) / tf.linalg.diag_part(inner))
    ends = tf.constant(low), tf.constant(high)
    exact = [float(norm) for norm in inner_diagonal_norms(outer, inner, *ends)]
    monkeypatch.setattr(inner_diagonal, "EXACT_UP_TO", 3)
    proven = [float(norm) for norm in inner_diagonal_norms(outer, inner, *ends)]
    t = np.concatenate([rng.uniform(low, high, (300, 4)), np.where(rng.random((100, 4)) < 0.5, low, high)])
    singular = np.linalg.svd(np.eye(4) + (outer.numpy() * t[:, None, :]) @ inner.numpy(), compute_uv=False)
    for most, bound, larger in zip((singular.max(), 1 / singular.min()), exact, proven, strict=True):
        assert most <= bound <= larger <= 20 * bound and bound <= most * (1 + 1e-9)


def test_on_a_box_bounds_are_smaller_and_hold():
    block = made(3, 1.0, seed=4)
    middle = at(block, np.array([1.0, -1.5, 2.0]))
    low, high = middle - 0.1, middle + 0.15
    x = np.random.default_rng(0).uniform(low, high, (300, DIM))
    singular = np.linalg.svd(jacobians(block, x), compute_uv=False)
    local, whole = block.lipschitz_bounds((low, high)), block.lipschitz_bounds()
    assert local.scope == "local" and local.condition_number < 0.8 * whole.condition_number
    assert singular.max() <= local.forward and 1 / singular.min() <= local.inverse
    box, z = block.image_box((low, high)), block(x).numpy()
    assert np.all(z >= box[0]) and np.all(z <= box[1]) and np.all(box[1] - box[0] < 3 * (z.max(0) - z.min(0)) + 0.3)


@pytest.mark.parametrize("directions, inverse, size", [(3, False, 0.05), (3, True, 0.02), (DIM, True, 0.01), (2, True, 0.5)])
def test_in_a_ball_no_jacobian_is_further_off(directions, inverse, size):
    block, rng = made(directions, 0.7 if directions < DIM else 0.3, seed=5), np.random.default_rng(5)
    x, radius = rng.standard_normal((6, DIM)), np.full(6, size)
    found = block.local_map(x, radius, None, inverse)
    np.testing.assert_allclose(found.jacobian, slopes(block, x, inverse), atol=1e-9)
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    np.testing.assert_allclose(found.value, way(tf.constant(x))[0], atol=1e-9)
    steps = rng.standard_normal((50, 6, DIM))
    steps *= rng.uniform(0, 1, (50, 6, 1)) ** (1 / DIM) * size / np.linalg.norm(steps, axis=2, keepdims=True)
    near = slopes(block, (x + steps).reshape(-1, DIM), inverse).reshape(50, 6, DIM, DIM)
    off = np.linalg.norm(near - found.jacobian, 2, axis=(2, 3)).max(0)
    assert np.all(off <= found.deviation) and np.all(np.isfinite(found.deviation))
    assert np.all(found.deviation <= 12 * off) or size == 0.5, found.deviation / off


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_the_inverse_is_within_its_certificate(dtype, strength):
    block = made(3, strength, dtype, seed=6)
    wide = made(3, seed=6)
    wide.set_weights([np.asarray(w, np.float64) for w in block.get_weights()])
    x = 2 * np.random.default_rng(1).standard_normal((100, DIM))
    z = wide.forward_and_log_det(x)[0].numpy().astype(dtype)
    found, log_det, certificate = block.inverse_with_certificate(z)
    truth = wide.inverse_and_log_det(z.astype(np.float64))[0]
    error = np.linalg.norm(np.asarray(found) - truth, axis=1)
    assert certificate.reached.numpy().all() and np.all(error <= certificate.error_bound + 1e-12)
    assert np.median(certificate.error_bound) < (3e-5 if dtype == "float32" else 1e-11)
    assert certificate.evaluations.shape == log_det.shape == (100,)


def test_certificates_come_in_the_shape_of_the_batch():
    x, log_det, certificate = made(2, dtype="float32").inverse_with_certificate(tf.ones([2, 3, DIM]))
    assert x.shape == (2, 3, DIM) and certificate.error_bound.shape == certificate.reached.shape == log_det.shape == (2, 3)


@pytest.mark.parametrize("strength", [-1e3, 1e3])
def test_no_weights_make_it_singular_in_silence(strength):
    block = Sylvester(directions=2, least_slope=0.05, seed=0).ensure_built((DIM,))
    block.outer.assign(strength * np.array([[1, 1], [0, -1]], np.float32))
    x = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    z, log_det = block.forward_and_log_det(x)
    assert np.isfinite(z).all() and np.all(log_det > 2 * np.log(0.05) - 1e-5)
    bounds = block.lipschitz_bounds()
    assert bounds.forward > 100 and bounds.inverse > 20
    block.inner.assign(np.full((2, 2), strength, np.float32))
    assert np.isinf(block.lipschitz_bounds().inverse) and "finite" in block.lipschitz_bounds().reason


def test_of_one_direction_it_is_a_planar_step():
    block = made(1, 1.0, seed=3)
    parts = block.parts(tf.float64)
    twin = Planar(dtype="float64").ensure_built((DIM,))
    w, u = parts.read.numpy()[0], parts.push.numpy()[:, 0]
    slope = 1 + w @ u
    along = np.log(np.expm1(slope)) - np.log(np.e - 1)  # what Planar's softplus makes this slope of
    twin.set_weights([w, u + (along - w @ u) * w / (w @ w), block.offset.numpy()[0]])
    x = np.random.default_rng(0).standard_normal((20, DIM))
    for a, b in zip(block.forward_and_log_det(x), twin.forward_and_log_det(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert block.lipschitz_bounds().inverse == pytest.approx(twin.lipschitz_bounds().inverse, rel=1e-9)


def test_second_derivatives_of_the_inverse():
    check_second_derivatives_of_the_inverse(made(2, 1.0, seed=2), np.random.default_rng(2).standard_normal((3, DIM)))


def test_at_the_start_it_is_the_identity_and_more_directions_than_entries_are_refused():
    x = tf.random.stateless_normal([3, DIM], [1, 2])
    z, log_det = Sylvester(seed=0).forward_and_log_det(x)
    np.testing.assert_allclose(z, x, atol=1e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)
    with pytest.raises(ValueError, match="directions=6, expected at most 5"):
        Sylvester(directions=6).ensure_built((DIM,))


def test_in_chains_and_repeats_gradients_are_those_of_stored_activations():
    x = tf.constant(np.random.default_rng(0).standard_normal((4, DIM)))
    chain = Chain([made(2, 0.7, seed=i) for i in range(3)], dtype="float64", backprop="reversible", checkpoint_every=3)
    repeat = Repeat.from_chain(chain.ensure_built((DIM,)), backprop="reversible")
    found = {}
    for name, block, mode in (("stored", chain, "stored"), ("chain", chain, "reversible"), ("repeat", repeat, "reversible")):
        with backprop_mode(mode), tf.GradientTape() as tape:
            z, log_det = block.forward_and_log_det(tf.identity(x))
            loss = tf.reduce_sum(tf.sin(z)) + tf.reduce_sum(log_det)
        gradients = tape.gradient(loss, [weight.value for weight in block.trainable_weights])
        found[name] = np.sort(np.concatenate([np.ravel(gradient) for gradient in gradients]))
    np.testing.assert_allclose(found["chain"], found["stored"], atol=1e-10)
    np.testing.assert_allclose(found["repeat"], found["stored"], atol=1e-10)
