"""Adam with the penalty in its gradient, and where learning rates drop."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.autoencoder.optimizer import AdamWithPenalty, drops
from recipes.autoencoder.settings import PRESETS


def test_a_step_is_that_of_adam_on_the_penalized_gradient():
    start, gradients = np.array([1.0, -2.0]), [np.array([0.1, 0.3]), np.array([-0.2, 0.05])]
    penalty, rate, beta1, beta2, eps = 0.1, 0.01, 0.8, 0.7, 1e-4
    w, m, v = start.copy(), np.zeros(2), np.zeros(2)
    for t, raw in enumerate(gradients, 1):
        g = raw + penalty * w
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        w = w - rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps)
    variable = keras.Variable(start, dtype="float64")
    optimizer = AdamWithPenalty(rate, penalty=penalty, beta_1=beta1, beta_2=beta2, epsilon=eps)
    for raw in gradients:
        optimizer.apply([tf.constant(raw)], [variable])
    np.testing.assert_allclose(variable.numpy(), w, rtol=1e-6)
    assert AdamWithPenalty.from_config(optimizer.get_config()).penalty == penalty


def test_rates_drop_where_the_paper_lets_them():
    paper = PRESETS["paper"]
    assert paper.drops_of("inn") == [0.8] and paper.drops_of("classic") == pytest.approx([k / 10 for k in range(1, 10)])
    cifar = dataclasses.replace(paper, dataset="cifar10")
    assert cifar.drops_of("inn") == pytest.approx([10 / 15]) and cifar.drops_of("classic") == [0.6, 0.85]
    rate = drops(1.0, 150, cifar.drops_of("inn"))
    assert float(rate(99)) == 1.0 and float(rate(100)) == pytest.approx(0.1)


def test_trainings_of_a_sweep():
    config = dataclasses.replace(PRESETS["small"], models=("inn", "inn_vae"), bottlenecks=(8, 2), repeats=2, seed=5)
    assert config.trainings() == [
        ("inn", 2, 5), ("inn", 8, 5), ("inn_vae", 12, 5), ("inn", 2, 6), ("inn", 8, 6), ("inn_vae", 12, 6),
    ]  # fmt: skip
    assert [b for m, b, _ in PRESETS["paper"].trainings() if m == "inn"] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
