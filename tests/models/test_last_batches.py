"""Last batches of a pass: fewer samples count for less, and a replica may have none."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.models import FlowGan, glow, inn_autoencoder
from tests.house.source import ROOT


def gan(rate, objective="mle"):
    critic = None if objective == "mle" else keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model = FlowGan(glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4), critic, objective=objective, seed=0)
    model.compile(keras.optimizers.SGD(rate), *([] if critic is None else [keras.optimizers.SGD(rate)]))
    return model


def autoencoder(rate):
    model = inn_autoencoder((4, 4, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0, prior_weight=0.1)
    model.compile(keras.optimizers.SGD(rate))
    return model


def test_an_image_of_a_small_last_batch_counts_once():
    images = np.random.default_rng(0).uniform(size=(17, 4, 4, 1)).astype("float32")
    images[16] *= 100
    model = gan(0.0)
    reported = model.fit(images, batch_size=16, verbose=0, shuffle=False).history["bits_per_dim"][0]
    mean = float(model.bits_per_dim(-tf.reduce_mean(model.flow.log_prob(images + model.noise / 2))))
    assert reported == pytest.approx(mean, rel=0.05)


REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.models.test_last_batches import autoencoder, gan

images = np.random.default_rng(0).normal(size=(33, 4, 4, 1)).astype("float32")

def trained(strategy, make):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = make(1e-3)
    history = model.fit(images, batch_size=16, verbose=0, shuffle=False).history
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    return history

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for make in (autoencoder, gan, lambda rate: gan(rate, "hybrid")):
    one, several = trained(tf.distribute.get_strategy(), make), trained(two, make)
    for key, (value,) in several.items():
        assert np.isfinite(value), key
        if key in ("loss", "reconstruction", "bits_per_dim"):
            assert abs(value - one[key][0]) < 0.02 * abs(one[key][0]), (key, value, one[key])
"""


def test_a_replica_without_samples_reports_no_nan(tmp_path):
    """33 images in batches of 16: the last one leaves the second replica none."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", REPLICAS], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
