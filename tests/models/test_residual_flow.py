"""The factory of residual flows: densities that are true, on vectors and on images, and inverses that come back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Dequantize, Rescale, ResidualBlock
from inntf.models import residual_flow
from inntf.nets import ConcatLipSwish, SpectralDense
from inntf.numerics import ExactLogDet, PowerSeries
from inntf.training import certify_spectral_norms


def roughened(flow, seed=0):
    """Weights well away from the start, norms certified."""
    rng = np.random.default_rng(seed)
    for w in flow.block.trainable_weights:
        w.assign(w.numpy() + rng.normal(size=w.shape) * 0.3)
    certify_spectral_norms(flow.block, rescale=True)
    return flow


def test_density_is_that_of_the_change_of_variables():
    flow = roughened(residual_flow(event_shape=3, depth=3, hidden=(8, 8), coefficient=0.8, dtype="float64"))
    x = tf.random.stateless_normal([4, 3], [1, 2], dtype=tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        z = flow.block.forward_and_log_det(x)[0]
    jacobian = tape.batch_jacobian(z, x, experimental_use_pfor=False).numpy()
    normal = -0.5 * np.sum(z.numpy() ** 2, 1) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(flow.log_prob(x), normal + np.log(np.abs(np.linalg.det(jacobian))), rtol=1e-9)
    assert np.abs(jacobian - np.eye(3)).max() > 0.1, "the blocks do nothing"


def test_every_norm_is_at_most_the_coefficient_and_the_inverse_is_certified():
    flow = roughened(residual_flow(event_shape=2, depth=3, hidden=(8,), coefficient=0.7, actnorm=False, log_det="exact"))
    norms = certify_spectral_norms(flow.block)
    assert len(norms) == 6 and 0.6 < max(norms.values()) <= 0.7
    bounds = flow.block.lipschitz_bounds()
    assert 1.2 < bounds.forward <= (1 + 0.49) ** 3 and bounds.inverse <= (1 - 0.49) ** -3
    x = tf.random.stateless_normal([6, 2], [3, 4]) * 5
    z = flow.block.forward_and_log_det(x)[0]
    np.testing.assert_allclose(flow.block.inverse_and_log_det(z)[0], x, atol=1e-4)


def test_it_starts_near_the_identity():
    flow = residual_flow(event_shape=2, depth=4, hidden=(8, 8), actnorm=False)
    x = tf.random.stateless_normal([6, 2], [3, 4])
    assert np.abs(flow.block.forward_and_log_det(x)[0] - x).max() < 0.05


@pytest.mark.parametrize(("factor_out", "latent"), [(True, (32,)), (False, (2, 2, 8))])
def test_images_by_levels(factor_out, latent):
    flow = residual_flow(
        event_shape=(4, 4, 2),
        levels=1 if not factor_out else 2,
        depth=1,
        hidden=4,
        factor_out=factor_out,
        log_det=PowerSeries(terms=3),
        preprocessing=[Dequantize(4), Rescale(shift=-0.5)],
    )
    x = tf.cast(tf.random.stateless_uniform([3, 4, 4, 2], [1, 2], maxval=4, dtype=tf.int32), tf.float32)
    flow.initialize(x)
    z, log_det = flow.block.forward_and_log_det(x)
    assert z.shape == (3, *latent) and log_det.shape == (3,)
    np.testing.assert_allclose(flow.block.inverse_and_log_det(z)[0], x, atol=1e-3)
    assert flow.log_prob(x).shape == (3,)


@pytest.mark.parametrize("factor_out", [False, True])
def test_blocks_at_full_resolution_and_a_depth_a_level(factor_out):
    flow = residual_flow(
        event_shape=(4, 4, 1),
        levels=2,
        depth=(2, 1),
        unsqueezed=3,
        hidden=4,
        activation=ConcatLipSwish,
        factor_out=factor_out,
        repeat=False,
        log_det=PowerSeries(terms=2),
        dtype="float64",
    )
    flow = roughened(flow)
    networks = [block.network.layers for block in flow.block._flatten_layers() if isinstance(block, ResidualBlock)]
    assert sorted(layers[1].singular_vector.shape[1] for layers in networks) == [1, 2, 2, 4, 4, 4]
    assert [type(layer).__name__ for layer in networks[0]] == ["ConcatLipSwish", "SpectralConv2D"] * 3
    x = tf.random.stateless_normal([3, 4, 4, 1], [1, 2], dtype=tf.float64)
    z, _ = flow.block.forward_and_log_det(x)
    assert np.abs(z - tf.reshape(x, z.shape)).max() > 0.1
    np.testing.assert_allclose(flow.block.inverse_and_log_det(z)[0], x, atol=1e-8)


def test_a_network_and_an_estimator_of_ones_own():
    made = []

    def network(channels):
        made.append(keras.Sequential([SpectralDense(channels, 0.3)]))
        return made[-1]

    flow = residual_flow(event_shape=2, depth=2, network=network, log_det=ExactLogDet(), actnorm=False, repeat=False)
    assert len(made) == 2 and flow.block.lipschitz_bounds().forward <= 1.3**2 + 1e-3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"depth": 0}, "depth=0"),
        ({"event_shape": (4, 4, 1), "levels": 2, "depth": (1, 2, 3)}, "depth=\\(1, 2, 3\\)"),
        ({"event_shape": (4, 4, 1), "levels": 2, "depth": (1, 0)}, "depth=0"),
        ({"event_shape": (4, 4, 1), "unsqueezed": 2}, "unsqueezed=2"),
        ({"coefficient": 1.0}, "coefficient=1.0"),
        ({"log_det": "guess"}, "roulette"),
        ({"levels": 1}, "levels=1"),
        ({"event_shape": (4, 4, 1), "factor_out": True}, "factor_out"),
        ({"event_shape": (4, 4, 1), "hidden": (4,)}, "hidden"),
    ],
)
def test_what_cannot_be_is_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        residual_flow(**{"event_shape": 2, **arguments})


def test_a_condition_moves_the_map_and_keeps_the_inverse():
    flow = residual_flow(event_shape=3, depth=2, hidden=(8,), condition_shape=2)
    for weight in flow.block.trainable_weights:
        weight.assign(weight + 0.3 * tf.random.stateless_normal(weight.shape, [1, 2]))
    certify_spectral_norms(flow, rescale=True)
    x, y = (tf.random.stateless_normal([5, n], [n, 0]) for n in (3, 2))
    z, log_det = flow.block.forward_and_log_det(x, condition=y)
    other = flow.block.forward_and_log_det(x + 0.0, condition=y + 1.0)[0]
    assert np.abs(other - z).max() > 1e-3
    back, log_det_back = flow.block.inverse_and_log_det(z + 0.0, condition=y)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det, -log_det_back, atol=1e-4)
    assert flow.given(y).sample(seed=0).shape == (5, 3)


def test_a_condition_and_levels_are_refused():
    with pytest.raises(ValueError, match="without levels"):
        residual_flow(event_shape=(4, 4, 1), levels=1, condition_shape=(4, 4, 1))
