"""Task `classify`: the same network with and without a constraint, and what the inverse makes of its features."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import IResNetClassifier
from inntf.stability import summarize
from recipes.common import files
from recipes.common.data import batches, eval_batches
from recipes.common.errors import as_user_error
from recipes.common.experiment import Run
from recipes.common.image_data import ImageData
from recipes.common.run_folder import RunFolder
from recipes.iresnet import models
from recipes.iresnet.settings import Config
from recipes.iresnet.training import fit

FREE = "unconstrained"
_SHOWN = 8


def name_of(coefficient: float | None) -> str:
    """Name of a classifier in results and folders."""
    return FREE if coefficient is None else f"c_{coefficient:g}"


def classify(config: Config, data: ImageData, run: Run) -> dict[str, Any]:
    """Train and measure the classifiers that are not in the folder yet; returns their numbers by name."""
    return {
        name_of(c): run.once("classify", name_of(c), lambda c=c: _classifier(config, data, run, c))
        for c in (None, *sorted(config.coefficients))
    }


def _classifier(config: Config, data: ImageData, run: Run, coefficient: float | None) -> dict[str, Any]:
    name = name_of(coefficient)
    some = data.test[:1000], data.test_labels[:1000]
    keras.utils.set_random_seed(config.seed)  # the twins start from the same weights
    with run.strategy.scope(), as_user_error():
        model = models.make_classifier(config, data.shape, data.classes, coefficient)
    model.initialize(models.unit(data.train[:256]))
    history = fit(
        model,
        f"classify_{name}",
        lambda start: _stream(config, data, start),
        config.steps_classify,
        config.log_every,
        run.folder,
        lambda: {"test_accuracy": accuracy(model, *some)},
    )
    print(f"{name}: certifying, classifying, reconstructing ...", flush=True)
    numbers = {**measure(model, config, data, run.folder, name), "coefficient": coefficient, "history": history}
    with files.atomic(run.folder.path / f"classifier_{name}.keras") as beside:
        model.save(beside)
    return numbers


def _stream(config: Config, data: ImageData, start: int) -> tf.data.Dataset:
    pairs = batches(data.train, config.batch_size, config.seed, augment=data.mirrors, labels=data.train_labels, start=start)
    return pairs.map(lambda images, labels: (models.unit(images), labels))


def measure(model: IResNetClassifier, config: Config, data: ImageData, folder: RunFolder, name: str) -> dict[str, Any]:
    """Accuracy before and after the norms are made to hold, bounds, errors of the inverse.

    Rescaling the kernels moves the features a little: the head's batch statistics are taken anew, from training images.
    """
    test, labels = data.test[: config.test_images], data.test_labels[: config.test_images]
    out: dict[str, Any] = {
        "weights": int(sum(np.prod(w.shape) for w in model.trainable_weights)),
        "test_images": len(test),
        "test_accuracy_before_certifying": accuracy(model, test, labels),
    }
    norms = model.certify(models.unit(data.train[:2000]))
    out["test_accuracy"] = accuracy(model, test, labels)
    if not model.invertible:
        return out
    bounds = model.body.lipschitz_bounds()
    out |= {
        "largest_certified_norm": max(norms.values()),
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
    }
    x = models.unit(test[: config.reconstructed]).numpy()
    again, certified = _there_and_back(model, x)
    difference = (x.astype(np.float64) - again.astype(np.float64)).reshape(len(x), -1)
    out |= {
        "reconstruction_error": summarize(np.linalg.norm(difference, axis=1))._asdict(),
        "reconstruction_largest_pixel_error": float(np.max(np.abs(difference))),
        "certified_error_of_the_inverse": summarize(certified)._asdict(),
    }
    with files.atomic(folder.path / f"reconstruction_{name}.npz") as beside:
        np.savez_compressed(beside, data=255.0 * x[:_SHOWN], again=255.0 * again[:_SHOWN])
    return out


def accuracy(model: IResNetClassifier, images: np.ndarray, labels: np.ndarray, batch_size: int = 250) -> float:
    """Share of images whose likeliest class is right."""
    logits = np.concatenate([_logits(model, batch).numpy() for batch in eval_batches(images, batch_size)])
    return float(np.mean(logits.argmax(-1) == labels))


@tf.function(reduce_retracing=True, autograph=False)
def _logits(model: IResNetClassifier, pixels: tf.Tensor) -> tf.Tensor:
    return model(models.unit(pixels), training=False)


def _there_and_back(model: IResNetClassifier, x: np.ndarray, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    features = tf.function(model.features, [tf.TensorSpec([None, *x.shape[1:]], tf.float32)], autograph=False)
    invert = tf.function(model.invert, [tf.TensorSpec([None, *model.body._z_event_shape], tf.float32)], autograph=False)
    found = [invert(features(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
    return np.concatenate([f.x.numpy() for f in found]), np.concatenate([f.error_bound.numpy() for f in found])
