"""Frechet distance against closed forms; features; pixels."""

import dataclasses

import numpy as np
import pytest

from recipes.common import fid as quality
from recipes.common.classifier import train_classifier
from recipes.common.data import load_images
from recipes.common.errors import UserError

RNG = np.random.default_rng(1)


def random_covariance(d, rank=None):
    root = RNG.normal(size=(d, rank or d))
    return root @ root.T


@pytest.mark.parametrize("d", [1, 3, 20])
def test_diagonal_covariances_have_a_closed_form(d):
    mean_a, mean_b = RNG.normal(size=(2, d))
    a, b = RNG.uniform(0, 4, size=(2, d))
    expected = ((mean_a - mean_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert quality.frechet_distance(mean_a, np.diag(a), mean_b, np.diag(b)) == pytest.approx(expected, rel=1e-10)


def test_commuting_covariances_in_any_basis():
    basis, _ = np.linalg.qr(RNG.normal(size=(8, 8)))
    a, b = RNG.uniform(0, 4, size=(2, 8))
    got = quality.frechet_distance(np.zeros(8), (basis * a) @ basis.T, np.zeros(8), (basis * b) @ basis.T)
    assert got == pytest.approx(((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rel=1e-9)


def test_general_covariances_agree_with_the_root_of_the_product():
    a, b = random_covariance(6), random_covariance(6)
    eigenvalues = np.linalg.eigvals(a @ b).real  # of A B, similar to R B R
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(eigenvalues).sum()
    assert quality.frechet_distance(np.zeros(6), a, np.zeros(6), b) == pytest.approx(expected, rel=1e-8)
    assert quality.frechet_distance(np.zeros(6), b, np.zeros(6), a) == pytest.approx(expected, rel=1e-8)


def test_singular_covariances_are_no_trouble():
    a = random_covariance(30, rank=3)
    assert quality.frechet_distance(np.zeros(30), a, np.zeros(30), a) == pytest.approx(0, abs=1e-5)
    assert quality.frechet_distance(np.zeros(30), a, np.zeros(30), np.zeros((30, 30))) == pytest.approx(np.trace(a))


def test_samples_of_two_gaussians_reach_the_closed_form():
    a, b = RNG.normal(size=(40_000, 3)), 1.0 + 2.0 * RNG.normal(size=(40_000, 3))
    got = quality.frechet_distance(*quality.gaussian_fit(a), *quality.gaussian_fit(b))
    assert got == pytest.approx(3 * 1.0 + 3 * 1.0, rel=0.03)


@pytest.mark.parametrize("features", [np.zeros((1, 4)), np.zeros(4), np.full((5, 4), np.nan)])
def test_features_that_cannot_be_fitted_are_refused(features):
    with pytest.raises(UserError, match="FID"):
        quality.gaussian_fit(features)


def test_one_feature_is_enough():
    mean, cov = quality.gaussian_fit(np.arange(4.0)[:, None])
    assert mean.shape == (1,) and cov.shape == (1, 1)


def test_as_pixels_rounds_clips_and_counts():
    images = np.zeros((4, 2, 2, 1))
    images[0], images[1], images[2, 0, 0], images[3] = -7, 300, np.nan, 1.6
    pixels, broken = quality.as_pixels(images)
    assert pixels[:, 1, 1, 0].tolist() == [0, 255, 0, 2] and pixels.dtype == np.uint8 and broken == 0.25


@pytest.fixture(scope="module")
def digits():
    return load_images("mnist_5k").first(2000, 400)


@pytest.fixture(scope="module")
def features(digits):
    return quality.make_features(digits)


def test_digits_are_measured_with_the_kept_classifier(digits, features):
    assert "kept classifier of digits" in features.label
    right = features.probabilities(digits.test).argmax(-1) == digits.test_labels
    assert right.mean() > 0.95 and features.accuracy > 0.97
    padded = quality.make_features(digits.padded(32))
    np.testing.assert_array_equal(padded.extract(digits.padded(32).test[:20]), features.extract(digits.test[:20]))


def test_other_images_get_a_classifier_that_is_trained_and_named(digits):
    features = quality.make_features(dataclasses.replace(digits, name="other_mnist"), seed=1, steps=150)
    assert features.accuracy > 0.85 and "small classifier trained here" in features.label
    np.testing.assert_allclose(features.probabilities(digits.test[:7]).sum(-1), 1, rtol=1e-5)


def test_digits_are_told_with_confidence_and_noise_is_not(digits, features):
    noise = RNG.integers(100, 140, digits.test.shape).astype(np.uint8)
    upside_down = digits.test[:, ::-1]
    assert quality.confident_share(features, digits.test) > 0.9
    assert quality.confident_share(features, noise) < 0.05
    assert quality.confident_share(features, upside_down) < quality.confident_share(features, digits.test)
    assert quality.confident_share(dataclasses.replace(features, probabilities=None), noise) is None


def test_kid_is_unbiased_and_what_its_sums_say(digits, features):
    a, b = (RNG.integers(0, 5, size=(n, 2, 2, 1)).astype(np.uint8) for n in (6, 5))
    x, y = (images.reshape(len(images), -1).astype(float) for images in (a, b))
    k = lambda u, v: (u @ v / 4 + 1) ** 3  # noqa: E731
    inside = [np.mean([k(u[i], u[j]) for i in range(len(u)) for j in range(len(u)) if i != j]) for u in (x, y)]
    assert quality.kernel_distance(x, y) == pytest.approx(sum(inside) - 2 * np.mean([k(u, v) for u in x for v in y]))
    real, half = digits.train[:400], digits.train[400:800]
    noise = RNG.integers(0, 256, digits.test.shape).astype(np.uint8)
    near, far = (quality.sample_quality(features, real, images) for images in (half, noise))
    assert abs(near["kid"]) < 0.02 * far["kid"] and near["fid"] == pytest.approx(quality.fid(features, real, half))


def test_fid_orders_images_by_quality(digits, features):
    real = digits.train[:400]
    noisy = np.clip(digits.test + RNG.normal(0, 60, digits.test.shape), 0, 255).astype(np.uint8)
    noise = RNG.integers(0, 256, digits.test.shape).astype(np.uint8)
    scores = [quality.fid(features, real, images) for images in (real, digits.test, noisy, noise)]
    assert scores[0] == pytest.approx(0, abs=1e-6) and scores == sorted(scores) and scores[3] > 3 * scores[1]


def test_fid_refuses_floats(digits, features):
    with pytest.raises(UserError, match="dtype"):
        quality.fid(features, digits.test, digits.test / 255.0)


def test_the_same_seed_trains_the_same_classifier(digits):
    first, again, other = (train_classifier(digits, seed=s, steps=3).features(digits.test[:8]) for s in (0, 0, 1))
    np.testing.assert_allclose(first, again, rtol=1e-4, atol=1e-4)
    assert np.abs(first - other).max() > 0.1


def test_inception_is_used_only_from_a_file_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv(quality.INCEPTION_WEIGHTS, raising=False)
    assert quality.inception_weights() is None
    monkeypatch.setenv(quality.INCEPTION_WEIGHTS, str(tmp_path / "none.h5"))
    with pytest.raises(UserError, match=quality.INCEPTION_WEIGHTS):
        quality.inception_weights()
