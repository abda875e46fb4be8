"""Decoders' Jacobians, padding, bottlenecks that are changed afterwards, codes beside the prior."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.models import inn_autoencoder
from recipes.autoencoder import measuring, stability
from recipes.autoencoder.data import scaled
from recipes.autoencoder.settings import PRESETS
from recipes.common.image_data import ImageData

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module")
def data():
    pixels = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), np.uint8)
    return ImageData(pixels, np.zeros(12), pixels, np.zeros(12), "noise")


@pytest.fixture(scope="module")
def model():
    made = inn_autoencoder(SHAPE, 3, stages=(1,), hidden=3, dense_hidden=4, seed=0)
    rng = np.random.default_rng(1)
    for weight in made.trainable_weights:
        weight.assign(weight.numpy() + 0.2 * rng.normal(size=weight.shape))
    return made


def test_the_decoders_jacobian_is_that_of_autodiff(model, data):
    codes = model.encode(scaled(data.test[:2]))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(codes)
        images = tf.reshape(model.decode(codes), [2, -1])
    wanted = tape.batch_jacobian(images, codes, experimental_use_pfor=False).numpy()
    np.testing.assert_allclose(stability.decoder_jacobian(model, codes.numpy()), wanted, atol=1e-5)
    found = stability.decoder_spectrum(model, codes.numpy())
    assert found["decoder_stretch"] == pytest.approx(np.linalg.norm(wanted, 2, axis=(1, 2)).max(), rel=1e-4)


def test_the_certificate_is_above_what_is_measured_nearby(model, data):
    codes = model.encode(scaled(data.test[:1])).numpy()
    found = stability.decoder_certificate(model, data.test[:1])
    stretch = stability.decoder_spectrum(model, codes)["decoder_stretch"]
    assert stretch <= found["certified_decoder"] * 1.0001 and 1 <= found["certified_over_centre"] < 2


def test_a_bottleneck_changed_afterwards_and_given_back(model, data):
    found = measuring.at_other_bottlenecks(model, [3, 8, 16], data)
    assert model.bottleneck == 3 and list(found) == ["3", "8", "16"]
    assert found["16"] < 1e-5 < min(found["8"], found["3"])  # all entries are kept
    x = scaled(data.test)
    assert found["3"] == pytest.approx(float(tf.reduce_mean(tf.abs(model.reconstruct(x) - x))), rel=1e-5)


def test_the_padding_norm_is_that_of_what_is_cut_off(model, data):
    pad = model.latent(scaled(data.test))[1].numpy()
    assert measuring.padding_norm(model, data.test) == pytest.approx(np.sqrt(np.mean(pad**2)), rel=1e-5)


def test_codes_of_the_prior_are_told_from_others():
    config = dataclasses.replace(PRESETS["small"], samples=300, permutations=200)
    normal = np.random.default_rng(7).normal(size=(300, 2))
    like, unlike = (measuring.codes_beside_the_prior(codes, config, 0) for codes in (normal, 2 * normal))
    assert unlike["mmd_p_value"] < 0.01 < like["mmd_p_value"] and unlike["mmd_squared"] > 5 * abs(like["mmd_squared"])
    assert measuring.codes_beside_the_prior(normal * np.nan, config, 0)["mmd_p_value"] == 0


def test_interpolations_begin_and_end_at_the_codes():
    class Doubled:
        def decode(self, codes):
            return codes[:, None, None] * 2

    shown = measuring.interpolation(Doubled(), np.array([0.0]), np.array([0.5]))
    np.testing.assert_allclose(shown[:, 0, 0, 0], np.linspace(0, 255, measuring.BETWEEN))
    keras.utils.clear_session()
