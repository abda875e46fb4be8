"""Last batches of a pass: fewer samples count for less, and a replica may have none."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.models import FlowGan, glow, inn_autoencoder


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


@pytest.mark.parametrize("make", [autoencoder, gan, lambda rate: gan(rate, "hybrid")], ids=["autoencoder", "mle", "hybrid"])
def test_a_replica_without_samples_reports_no_nan(make):
    cpus = [cpu.name for cpu in tf.config.list_logical_devices("CPU")][:2]
    images = np.random.default_rng(0).normal(size=(33, 4, 4, 1)).astype("float32")
    found = {}
    for name, strategy in (("one", None), ("two", tf.distribute.MirroredStrategy(cpus))):
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else tf.init_scope():
            model = make(1e-3)
        found[name] = model.fit(images, batch_size=16, verbose=0, shuffle=False).history
        assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    for key, (value,) in found["two"].items():
        assert np.isfinite(value), key
        if key in ("loss", "reconstruction", "bits_per_dim"):
            assert value == pytest.approx(found["one"][key][0], rel=0.02), key
