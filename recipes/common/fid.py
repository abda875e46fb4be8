"""Sample quality: the distance between features of real and of generated images.

The features are those of Keras' Inception-v3 where its weights are on this machine (never downloaded); of digits, those of
the classifier kept in `saved_models`, the same in every run; otherwise those of a small classifier trained here.  Numbers of
different kinds cannot be compared, so the kind stands in every name.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from recipes.common import digits_classifier
from recipes.common.classifier import train_classifier
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData, check_images

INCEPTION_WEIGHTS = "INNTF_INCEPTION_WEIGHTS"
_INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclasses.dataclass(frozen=True)
class Features:
    """Features to compare images by.

    Attributes:
        extract: `(n, height, width, channels)` uint8 to `(n, features)`.
        label: name of the number that comes out, with the kind of features.
        accuracy: of the classifier on test images; `None` for Inception.
        probabilities: of the classes, `(n, classes)`; `None` for Inception.
    """

    extract: Callable[[np.ndarray], np.ndarray]
    label: str
    accuracy: float | None = None
    probabilities: Callable[[np.ndarray], np.ndarray] | None = None


def make_features(data: ImageData, seed: int = 0, steps: int = 400) -> Features:
    """Inception features if a weights file is there, else those of the kept classifier of digits, or of one trained on `data`.

    The weights file is that of Keras (without top), named by `INNTF_INCEPTION_WEIGHTS` or in Keras' cache.

    Args:
        data: trains the small classifier.
        seed: of the small classifier.
        steps: training steps of the small classifier.

    Returns:
        The features, with their label.

    Raises:
        UserError: if the named file cannot be used.
    """
    weights = inception_weights()
    if weights is not None:
        return Features(_inception(weights), "FID (Keras Inception-v3 features)")
    if digits_classifier.takes(data):
        kept = digits_classifier.kept()
        label = f"FID (features of the kept classifier of digits, version {kept.version})"
        return Features(kept.features, label, kept.accuracy, kept.probabilities)
    classifier = train_classifier(data, seed, steps)
    label = "FID (features of a small classifier trained here)"
    return Features(classifier.features, label, classifier.accuracy, classifier.probabilities)


def confident_share(features: Features, images: np.ndarray, least: float = 0.9) -> float | None:
    """Share of the images to which the classifier gives one class with a probability above `least`; `None` without one."""
    if features.probabilities is None:
        return None
    return float(np.mean(features.probabilities(check_images(images)).max(-1) > least))


def fid(features: Features, real: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance between the features of two sets of images.

    Args:
        features: from `make_features`.
        real: `(n, height, width, channels)` uint8.
        generated: `(m, height, width, channels)` uint8; see `as_pixels`.

    Returns:
        The distance, 0 for equal sets; it shrinks with growing n and m, so compare only equal numbers of images.

    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    fits = [gaussian_fit(features.extract(check_images(images))) for images in (real, generated)]
    return frechet_distance(*fits[0], *fits[1])


def sample_quality(features: Features, real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """`fid` and `kid` of the same images, whose features are computed once."""
    a, b = (features.extract(check_images(images)) for images in (real, generated))
    return {"fid": frechet_distance(*gaussian_fit(a), *gaussian_fit(b)), "kid": kernel_distance(a, b)}


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD of features `(n, d)` and `(m, d)`, at least two of each, with the kernel `(x . y / d + 1)^3`.

    Returns:
        The estimate, 0 on average for equal distributions (so it may be negative), whatever the number of images.

    Source: Binkowski et al., "Demystifying MMD GANs", 2018, section 4.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: np.ndarray) -> float:
        products = kernel(x, x)
        return float((products.sum() - np.trace(products)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def as_pixels(images: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples of a model as pixels: rounded and clipped to 0..255; where one is NaN or infinite the whole image is black.

    Args:
        images: `(n, height, width, channels)` floats on the scale 0 to 255.

    Returns:
        The images as uint8, and the share of them that held NaN or infinity.

    >>> as_pixels(np.full((1, 2, 2, 1), 300.0))[0].max()
    np.uint8(255)
    """
    images = np.asarray(images, np.float64)
    good = np.isfinite(images).reshape(len(images), -1).all(1)
    kept = np.where(good[:, None, None, None], images, 0.0)
    return np.clip(np.rint(kept), 0, 255).astype(np.uint8), float(1 - good.mean())


def gaussian_fit(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(d,)` and covariance `(d, d)` of features `(n, d)`, in float64.

    Raises:
        UserError: for fewer than two samples, or NaN.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise UserError(f"FID: received features of shape {features.shape}, expected (at least 2, d)")
    if not np.isfinite(features).all():
        raise UserError("FID: received NaN or infinity among the features")
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of two Gaussians.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (R C_b R)^(1/2)) with R = C_a^(1/2)

    Both roots are those of symmetric matrices, by eigenvalues, the slightly negative ones of rounding taken as zero: so
    it is real and stable for singular covariances, where a general matrix root is not.

    Args:
        mean_a: `(d,)`.
        cov_a: `(d, d)`, symmetric, positive semi-definite.
        mean_b: `(d,)`.
        cov_b: `(d, d)`.

    Returns:
        The distance, not negative.

    Source: Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982.

    >>> frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))
    4.0
    """
    root = _symmetric_root(cov_a)
    mixed = np.linalg.eigvalsh(_symmetric(root @ cov_b @ root))
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.clip(mixed, 0, None)).sum()
    return float(max(np.sum((np.asarray(mean_a) - mean_b) ** 2) + trace, 0.0))


def inception_weights() -> pathlib.Path | None:
    """The weights file of Inception-v3 on this machine, if there is one.

    Raises:
        UserError: if `INNTF_INCEPTION_WEIGHTS` names a file that does not exist.
    """
    named = os.environ.get(INCEPTION_WEIGHTS)
    if named:
        path = pathlib.Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"{INCEPTION_WEIGHTS}: {path} does not exist", remedy="Unset it, or name the weights file.")
        return path
    cached = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / _INCEPTION_FILE
    return cached if cached.is_file() else None


def _inception(weights: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    try:
        network = keras.applications.InceptionV3(
            include_top=False, weights=str(weights), pooling="avg", input_shape=(299, 299, 3)
        )
    except (ValueError, OSError) as error:
        raise UserError(f"{weights} holds no weights of Keras' Inception-v3 without top ({error})") from error

    @tf.function(reduce_retracing=True, autograph=False)
    def one_batch(images: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(images, tf.float32)
        pixels = tf.image.grayscale_to_rgb(pixels) if pixels.shape[-1] == 1 else pixels
        return network(tf.image.resize(pixels, (299, 299)) / 127.5 - 1.0, training=False)

    def extract(images: np.ndarray) -> np.ndarray:
        return np.concatenate([one_batch(tf.constant(images[i : i + 32])).numpy() for i in range(0, len(images), 32)])

    return extract


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(_symmetric(np.asarray(matrix, np.float64)))
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
