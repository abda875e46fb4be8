"""The autoencoder within a flow: its density is that of a bijection, its codes are decoded."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.autoencoder.networks import dense_pair
from recipes.autoencoder.within_flow import AutoencoderWithinFlow, central_first

SHAPE = (3, 4, 1)


@pytest.fixture(params=[1, 3], ids=["one dimension", "three"])
def model(request):
    """In float64, with weights that are not those of the start."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        keras.utils.set_random_seed(1)
        encoder, _ = dense_pair(SHAPE, 2 * request.param, (6,))
        _, decoder = dense_pair(SHAPE, request.param, (6,))
        made = AutoencoderWithinFlow(encoder, decoder, SHAPE, request.param, hidden=5)
        rng = np.random.default_rng(0)
        for weight in made.trainable_weights:
            weight.assign(weight.numpy() + 0.3 * rng.normal(size=weight.shape))
        yield made
    finally:
        keras.config.set_dtype_policy(before)


def images(count, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(size=(count, *SHAPE)))


def test_log_prob_is_that_of_the_autodiff_jacobian(model):
    x = images(3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        code, rest, log_det = model.latent(x)
        both = tf.concat([code, rest], -1)
    dims = math.prod(SHAPE)
    jacobian = tf.reshape(tape.batch_jacobian(both, x, experimental_use_pfor=False), [3, dims, dims]).numpy()
    sign, wanted = np.linalg.slogdet(jacobian)
    assert np.all(sign != 0) and log_det.dtype == tf.float64
    np.testing.assert_allclose(log_det, wanted, rtol=1e-9)
    normal = -0.5 * np.sum(both.numpy() ** 2, -1) - 0.5 * dims * math.log(2 * math.pi)
    np.testing.assert_allclose(model.log_prob(x), normal + wanted, rtol=1e-9)


def test_codes_survive_decoding_and_images_on_the_manifold_come_back(model):
    y = tf.constant(np.random.default_rng(2).normal(size=(5, model.bottleneck)))
    x = model.decode(y)
    code, rest, _ = model.latent(x)
    np.testing.assert_allclose(code, y, atol=1e-9)
    np.testing.assert_allclose(rest, np.zeros(rest.shape), atol=1e-9)
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-9)


def test_bits_per_dim_are_nats_of_grey_levels(model):
    x = tf.round(images(4) * 255) / 255
    parts = model.parts(x)
    # A level is 1/255 wide: density times width is its probability, whose binary logarithm counts.
    noise = tf.random.stateless_uniform(tf.shape(x), [0, 0], -0.5, 0.5, x.dtype) / 255
    probability = model.log_prob(x + noise) - math.prod(SHAPE) * math.log(255)
    wanted = -np.mean(probability) / math.log(2) / math.prod(SHAPE)
    assert float(parts["bits_per_dim"]) == pytest.approx(wanted, rel=1e-9)


def test_the_core_lies_in_the_middle():
    order = central_first((5, 5, 1))
    assert order[0] == 12 and set(order[:5]) == {12, 7, 11, 13, 17} and sorted(order) == list(range(25))
