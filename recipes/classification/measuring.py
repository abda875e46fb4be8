"""What is measured of a trained classifier: accuracy, inverse, singular values, memory-saving gradients, time of a step."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import IResNetClassifier
from inntf.stability import SingularValues, gradient_angle, singular_summary, singular_values, summarize
from inntf.stability.reconstruction import most_changed
from inntf.training import write_stability
from recipes.classification.models import Standardization, make_classifier
from recipes.classification.settings import Config
from recipes.common.batches import eval_batches
from recipes.common.image_data import ImageData

SHOWN = 6


def measure(
    model: IResNetClassifier,
    config: Config,
    data: ImageData,
    scale: Standardization,
    fixed: Iterable[Any],
    stability: tf.summary.SummaryWriter,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers of one trained classifier, and the test images that reconstruction changes most, pixels."""
    test, labels = data.test[: config.test_images], data.test_labels[: config.test_images]
    x = scale(data.test[: config.reconstructed]).numpy()
    again = there_and_back(model, x)
    errors = np.linalg.norm((x.astype(np.float64) - again).reshape(len(x), -1), axis=1)
    _, verdict = write_stability(stability, model, x[:32], config.steps, samples=1, precision="float64")
    spectrum = singular_summary(spectra(model, x[: config.jacobian_images]))
    angle = gradient_angle(model, fixed, cross_entropy)
    bounds = model.body.lipschitz_bounds()
    numbers = {
        "test_accuracy": accuracy(model, scale, test, labels),
        "test_images": len(test),
        "reconstruction_error": summarize(errors)._asdict(),
        "largest_singular_value": spectrum["largest"],
        "smallest_singular_value": spectrum["smallest"],
        "condition_number": spectrum["condition_number"],
        "condition_number_at_least": spectrum["condition_at_least"],
        "singular_values_by": spectrum["method"],
        "verdict": str(verdict),
        "angle_degrees": angle.degrees,
        "angle_degrees_max": float(np.degrees(angle.max)),
        "gradients_nonfinite": angle.nonfinite_reversible,
        "gradients_compared": len(angle.angles),
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        "weights": int(sum(np.prod(w.shape) for w in model.trainable_weights)),
    }
    shown = most_changed(errors[None], SHOWN)
    return numbers, {"data": scale.pixels(x[shown]), "again": scale.pixels(again[shown])}


def spectra(model: IResNetClassifier, x: np.ndarray) -> SingularValues:
    """In float64: by Lanczos, or from all of the Jacobian where the inverse does not confirm what that found."""
    values = singular_values(model.body, x, method="lanczos", iterations=40, tolerance=0.05, precision="float64")
    if values.nonfinite or not np.all(values.consistent):
        values = singular_values(model.body, x, method="exact", precision="float64")
    return values


def accuracy(
    model: IResNetClassifier, scale: Standardization, images: np.ndarray, labels: np.ndarray, batch_size: int = 250
) -> float:
    """Share of images whose likeliest class is right."""
    right = [np.argmax(_logits(model, scale(batch)).numpy(), -1) for batch in eval_batches(images, batch_size)]
    return float(np.mean(np.concatenate(right) == labels))


def cross_entropy(model: IResNetClassifier, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """The loss whose gradients are compared, at inference, as in the papers."""
    x, labels = batch
    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, model(x, training=False), from_logits=True))


def there_and_back(model: IResNetClassifier, x: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """What the inverse makes of the latents, float32."""
    back = tf.function(
        lambda x: model.body.inverse_and_log_det(model.body.forward_and_log_det(x)[0])[0],
        reduce_retracing=True,
        autograph=False,
    )
    return np.concatenate([back(tf.constant(x[i : i + batch_size])).numpy() for i in range(0, len(x), batch_size)])


def seconds_per_step(
    config: Config, data: ImageData, scale: Standardization, make_stream: Any, rounds: int = 3
) -> dict[str, float]:
    """Time of a memory-saving training step with finite differences every so many steps, over one without; taken in turns."""
    if not config.timed_every:
        return {}
    body, steps = config.bodies[0], max(config.timed_every)
    kinds: dict[str, tuple[str, int | None]] = {"none": ("none", None)}
    kinds |= {f"every {every}": ("fd", every) for every in config.timed_every}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    models = {}
    for name, (regularizer, every) in kinds.items():
        keras.utils.set_random_seed(config.seed)
        models[name] = make_classifier(config, data, body, regularizer, backprop="reversible", every=every)
        models[name].initialize(scale(data.train[: config.init_images]))
    batches = make_stream().take(steps).cache()
    for turn in range(rounds + 1):  # the first one traces
        for name, model in models.items():
            begun = time.perf_counter()
            model.fit(batches, epochs=1, shuffle=False, verbose=0)
            taken[name] += [] if turn == 0 else [time.perf_counter() - begun]
    plain = np.median(taken["none"])
    return {name: float(np.median(times) / plain) for name, times in taken.items() if name != "none"}


@tf.function(reduce_retracing=True, autograph=False)
def _logits(model: IResNetClassifier, x: tf.Tensor) -> tf.Tensor:
    return model(x, training=False)
