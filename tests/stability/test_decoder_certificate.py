"""Certificates of the decoder of an autoencoder hold, are tight, and are in the report."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling
from inntf.models import inn_autoencoder
from inntf.stability import certified_decoder_radius, certify, certify_decoder, find_block, stability_report

EVENT = (4, 4, 1)


def trained(bottleneck=3, **kwargs):
    model = inn_autoencoder(EVENT, bottleneck, stages=(2,), hidden=4, dense_hidden=6, seed=1, **kwargs)
    rng = np.random.default_rng(7)
    model.set_weights([w + 0.2 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def images(n=3):
    return np.random.default_rng(0).uniform(size=(n, *EVENT)).astype("float32")


def slopes(model, y):
    """Largest singular values of `decode`, by autodiff."""
    y = tf.constant(y)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        x = tf.reshape(model.decode(y), [len(y), -1])
    return np.linalg.svd(tape.batch_jacobian(x, y, experimental_use_pfor=False).numpy(), compute_uv=False)[:, 0]


@pytest.mark.parametrize(("radius", "factor"), [(1e-3, 1.05), (0.1, 200.0)])
def test_no_slope_in_the_ball_is_above_the_bound(radius, factor):
    model, x = trained(dtype="float64"), images()
    found = certify_decoder(model, x, radius)
    y = model.encode(x).numpy()
    rng = np.random.default_rng(3)
    for i in range(len(x)):
        steps = rng.standard_normal((200, 3))
        steps *= radius * rng.uniform(size=(200, 1)) ** (1 / 3) / np.linalg.norm(steps, axis=1, keepdims=True)
        assert slopes(model, y[i] + steps).max() <= found.bound[i]
    np.testing.assert_allclose(found.at_centre, slopes(model, y), rtol=1e-2)
    assert np.all(found.bound < factor * found.at_centre)


def test_the_radius_is_the_largest_at_which_the_bound_is_within_the_factor():
    model, x = trained(dtype="float64"), images(2)
    radius = certified_decoder_radius(model, x, 1.5, steps=9)
    within, beyond = certify_decoder(model, x, radius), certify_decoder(model, x, 1.1 * radius)
    assert np.all(within.bound <= 1.5 * within.at_centre) and np.all(beyond.bound > 1.5 * beyond.at_centre)
    with pytest.raises(ValueError, match="above 1"):
        certified_decoder_radius(model, x, 1.0)


def test_it_is_at_most_that_of_the_whole_inverse_there():
    model = trained(16, dtype="float64")  # all entries: the decoder is the inverse
    x = images()
    found, whole = certify_decoder(model, x, 1e-3), certify(model, at=x, radius=1e-3)
    np.testing.assert_allclose(found.bound, whole.inverse, rtol=1e-6)
    model.bottleneck = 3
    z = model.block(x).numpy().reshape(3, 16)
    cut = np.where(np.arange(16) < 3, z, 0.0).reshape(3, *EVENT)
    there = certify(model, at=model.block.inverse_and_log_det(cut)[0].numpy(), radius=1e-3)
    assert np.all(certify_decoder(model, x, 1e-3).bound <= there.inverse)


def test_the_report_of_an_autoencoder():
    model = trained()
    assert find_block(model) is model.block
    report = stability_report(model, images(), radius=1e-3, passes=1)
    assert report["verdict"] == "stable" and report["own_samples"] is None and "prior_weight=0" in report["own_samples_missing"]
    assert report["decoder"]["certified"] == 3 and report["decoder"]["bound"] >= report["decoder"]["at_centre"] > 0.1
    assert "Decoder, proved within 0.001" in str(report) and report.to_json()
    alone = stability_report(model.block, images(), passes=1)
    assert alone["decoder"] is None and alone["own_samples"]["count"] == 1024


def test_samples_of_a_model_with_a_prior_lie_on_its_surface():
    report = stability_report(trained(prior_weight=1.0), images(), passes=1)
    assert report["own_samples"]["count"] == 1024 and report["own_samples"]["nonfinite_share"] == 0
    assert report["density_error"] is None and report["verdict"] == "stable"


def test_what_is_refused():
    with pytest.raises(TypeError, match="an InnAutoencoder"):
        certify_decoder(AffineCoupling().ensure_built((2,)), np.zeros([1, 2]), 0.1)
    with pytest.raises(ValueError, match="positive, finite"):
        certify_decoder(trained(), images(), 0.0)
