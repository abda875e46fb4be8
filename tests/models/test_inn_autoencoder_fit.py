"""The invertible autoencoder as a keras.Model: fit, another bottleneck, saving, freezing."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling, Permutation, Rescale
from inntf.compose import Chain
from inntf.models import InnAutoencoder, inn_autoencoder
from inntf.nets import MLP
from inntf.numerics import Gaussian
from inntf.stability import FiniteDifferences
from recipes.common.mnist_5k import mnist_5k
from tests.house.source import ROOT


def adam(rate=1e-3):
    return keras.optimizers.Adam(rate, beta_1=0.8, beta_2=0.8, epsilon=1e-4)


def digits(n=256):
    return (mnist_5k()[0][:n].reshape(-1, 28, 28, 1) / 255.0).astype("float32")


def rows(n=64):
    """Digits as vectors of 49 pixels."""
    return digits(n).reshape(n, 7, 4, 7, 4).mean((2, 4)).reshape(n, 49)


def tiny(bottleneck=8, backprop="stored", **kwargs):
    """An autoencoder of vectors: what Keras does with it does not depend on the block."""
    keras.utils.set_random_seed(3)
    nets = [MLP(8, zero_last=False) for _ in range(2)]
    first, second = (AffineCoupling(conditioner=net) for net in nets)
    block = Chain([first, Permutation.reverse(), second], backprop=backprop).ensure_built((49,))
    return InnAutoencoder(block, bottleneck, **{"seed": 2} | kwargs)


@pytest.fixture(scope="module")
def trained():
    """A model trained for a few steps, what `fit` said, and what `evaluate` said before."""
    settings = {"stages": (1,), "hidden": 4, "dense_hidden": 8, "seed": 2}
    model = inn_autoencoder((28, 28, 1), 8, prior_weight=0.1, **settings)
    model.compile(adam(1e-2))
    before = model.evaluate(digits(), batch_size=16, verbose=0, return_dict=True)
    history = model.fit(digits(), epochs=4, batch_size=16, verbose=0, validation_data=digits(64))
    return model, history.history, before


def test_fit_lowers_the_loss(trained):
    model, history, before = trained
    terms = {"loss", "reconstruction", "padding", "prior"}
    assert set(history) == terms | {f"val_{name}" for name in terms}
    after = model.evaluate(digits(), batch_size=16, verbose=0, return_dict=True)
    for name in ("loss", "padding", "prior"):  # 64 small steps do not teach it to reconstruct; see below
        assert after[name] < 0.9 * before[name], name
    assert history["val_loss"][-1] < 0.9 * history["val_loss"][0]


def test_it_learns_to_reconstruct():
    model, x = tiny(bottleneck=8), rows(1000)
    model.compile(adam(1e-2))
    before = model.evaluate(x, verbose=0, return_dict=True)
    model.fit(x, epochs=10, batch_size=50, verbose=0)
    after = model.evaluate(x, verbose=0, return_dict=True)
    assert after["reconstruction"] < 0.65 * before["reconstruction"]
    assert after["padding"] < 0.1 * before["padding"]


def test_the_loss_is_the_formula(trained):
    model = trained[0]
    x = digits(32)
    found = model.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    y, pad = (part.numpy().astype(np.float64) for part in model.latent(x))
    assert found["reconstruction"] == pytest.approx(np.mean(np.abs(x - model(x))), rel=1e-5)
    assert found["padding"] == pytest.approx(np.mean(pad**2), rel=1e-5)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["padding"] + 0.1 * found["prior"], rel=1e-5)
    normal = np.random.default_rng(0).standard_normal((4000, 8))

    def kernel(a, b):
        squares = np.sum((a[:, None] - b) ** 2, -1)
        return np.mean([w**2 / (w**2 + squares) for w in (0.2, 0.5, 0.9, 1.3)]) * 4

    expected = kernel(y, y) + kernel(normal[:32], normal[:32]) - 2 * kernel(y, normal)
    assert found["prior"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("mode", ["stored", "reversible"])
def test_another_bottleneck(mode):
    model = tiny(backprop=mode)
    model.compile(adam())
    x = rows(64)
    history = model.fit(x, epochs=1, batch_size=32, verbose=0, validation_data=x)
    before, weights = model.evaluate(x, verbose=0, return_dict=True), model.get_weights()
    model.predict(x, verbose=0)
    model.bottleneck = 49
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    whole = model.evaluate(x, verbose=0, return_dict=True)
    assert before["reconstruction"] > 3e-3 > whole["reconstruction"] and whole["padding"] == 0
    assert np.max(np.abs(model.predict(x, verbose=0) - x)) < 1e-4
    assert model.encode(x).shape == (64, 49)
    history = model.fit(x, epochs=1, batch_size=32, verbose=0)
    assert history.history["reconstruction"][0] < 3e-3
    model.bottleneck = 8
    assert model.evaluate(x, verbose=0, return_dict=True)["reconstruction"] > 3e-3


def test_another_bottleneck_in_the_middle_of_fit():
    class Widen(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.bottleneck = (8, 49)[epoch]

    model = tiny()
    model.compile(adam())
    found = model.fit(rows(64), epochs=2, batch_size=32, verbose=0, validation_data=rows(32), callbacks=[Widen()]).history
    assert found["reconstruction"][0] > 3e-3 > found["reconstruction"][1]
    assert found["val_reconstruction"][0] > 3e-3 > found["val_reconstruction"][1]


LOAD = """
import sys
import keras, numpy as np
import inntf
model = keras.saving.load_model(sys.argv[1] + "/model.keras")
with np.load(sys.argv[1] + "/numbers.npz") as numbers:
    np.testing.assert_allclose(model.encode(numbers["x"]), numbers["y"], atol=1e-5)
    np.testing.assert_allclose(model.predict(numbers["x"], verbose=0), numbers["x_hat"], atol=1e-5)
    np.testing.assert_allclose(model.sample(3, seed=4), numbers["samples"], atol=1e-5)
    loss = model.evaluate(numbers["x"], verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(loss, numbers["loss"], rtol=1e-4)
    model.bottleneck = 784
    np.testing.assert_allclose(model.predict(numbers["x"], verbose=0), numbers["x"], atol=1e-4)
    assert model.optimizer.iterations == 64 and model.optimizer.beta_1 == 0.8
"""


def test_saved_and_loaded_in_a_fresh_process(trained, tmp_path):
    model, x = trained[0], digits(32)
    model.save(tmp_path / "model.keras")
    numbers = {"x": x, "y": model.encode(x), "x_hat": model(x), "samples": model.sample(3, seed=4)}
    numbers["loss"] = model.evaluate(x, verbose=0, return_dict=True)["loss"]
    np.savez(tmp_path / "numbers.npz", **numbers)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]


def fourth_power(x, x_hat):
    return tf.reduce_mean((x - x_hat) ** 4, 1)


def test_configuration():
    registered = keras.saving.register_keras_serializable("tests")(fourth_power)
    model = tiny(reconstruction=registered, kernel=Gaussian([1.0, 2.0]), padding_weight=0.5, prior_weight=2.0)
    model.bottleneck = 17
    model.trainable = False
    again = InnAutoencoder.from_config(model.get_config())
    assert again.get_config() == model.get_config() and not again.trainable_weights
    assert (again.bottleneck, again.kernel, again.reconstruction) == (17, Gaussian([1.0, 2.0]), registered)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone(rows(2)), model(rows(2)), atol=1e-6)
    with pytest.raises(ValueError, match="the kernel"):
        tiny(kernel=lambda squares: squares).get_config()


def test_frozen_weights_stay():
    model = tiny()
    model.block.blocks[0].trainable = False
    model.compile(adam())
    before = model.get_weights()
    model.fit(rows(64), batch_size=32, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    frozen = len(model.block.blocks[0].weights)
    assert not any(changed[:frozen]) and any(changed[frozen:])


def test_what_a_step_draws_is_repeated(tmp_path):
    """A training that goes on from a checkpoint is the same training."""

    def run(folder=None):
        model = tiny(prior_weight=5.0)
        model.compile(adam())
        for epoch in range(2):
            model.fit(rows(64), initial_epoch=epoch, epochs=epoch + 1, batch_size=32, shuffle=False, verbose=0)
            if folder is not None and epoch == 0:
                model.save(folder / "half.keras")
                model = keras.saving.load_model(folder / "half.keras")
        return model.get_weights()

    def difference(a, b):
        return max(np.max(np.abs(u - v)) for u, v in zip(a, b, strict=True))

    assert difference(run(), run(tmp_path)) < 1e-6
    other = tiny(prior_weight=5.0)
    other.seed = 3
    other.compile(adam())
    other.fit(rows(64), epochs=2, batch_size=32, shuffle=False, verbose=0)
    assert difference(run(), other.get_weights()) > 1e-5


def test_regularizers_are_in_the_loss_of_training():
    model = tiny(regularizers=[FiniteDifferences(0.5, every=1)])
    model.compile(adam())
    found = model.fit(rows(64), batch_size=32, verbose=0).history
    name = model.regularizers[0].name
    assert found["loss"][0] == pytest.approx(found["reconstruction"][0] + found["padding"][0] + found[name][0], rel=1e-4)
    assert name not in model.evaluate(rows(32), verbose=0, return_dict=True)


def test_compiled_by_xla():
    losses = []
    for jit_compile in (False, True):
        model = tiny()
        model.compile(adam(), jit_compile=jit_compile)
        losses.append(model.fit(rows(64), batch_size=32, shuffle=False, verbose=0).history["loss"][0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.models.test_inn_autoencoder_fit import rows, tiny

def weights(strategy, **kwargs):
    with strategy.scope():
        model = tiny(**kwargs)
        model.compile(keras.optimizers.SGD(0.1))
    model.fit(tf.data.Dataset.from_tensor_slices(rows(32)).batch(32), verbose=0)
    return model.get_weights()

def distance(a, b):
    return max(np.abs(u - v).max() for u, v in zip(a, b))

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert distance(weights(two), weights(tf.distribute.get_strategy())) < 1e-6
assert distance(weights(two, prior_weight=1.0), weights(two, prior_weight=1.0)) == 0  # the same draws
assert distance(weights(two, prior_weight=1.0), weights(two)) > 1e-4
"""


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one_device(tmp_path):
    """Of all terms that are means; each replica compares its own codes with the prior, with draws of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", REPLICAS], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def test_weights_of_samples_are_refused():
    model = tiny()
    model.compile(adam())
    with pytest.raises(ValueError, match="sample weights"):
        model.fit(rows(32), sample_weight=np.ones(32), verbose=0)
    with pytest.raises(ValueError, match="sample weights"):
        model.fit(rows(32), validation_data=(rows(32), None, np.ones(32)), verbose=0)
    with pytest.raises(ValueError, match="sample weights"):
        model.evaluate(rows(32), sample_weight=np.ones(32), verbose=0)
    model.fit(rows(32), rows(32), verbose=0)  # the habit of autoencoders: a y is no news


def test_weights_of_a_loaded_model_go_into_one_made_anew(tmp_path):
    """Both have their layers at the same places of the file, and nothing is said to be missing."""
    settings = {"stages": (1,), "hidden": 4, "dense_hidden": 4}
    model, other = (inn_autoencoder((8, 8, 1), 3, seed=seed, **settings) for seed in (0, 1))
    model.set_weights([w + 1.0 for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping nested container")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.save_weights(tmp_path / "loaded.weights.h5")
    other.load_weights(tmp_path / "loaded.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_float64_data_keep_their_digits():
    block = Chain([Permutation.reverse()], dtype="float64").ensure_built((6,))
    model = InnAutoencoder(block, 6)
    model.compile(adam())
    x = 1e4 + np.random.default_rng(0).normal(size=(32, 6))
    assert np.abs(model.predict(x, batch_size=8, verbose=0) - x).max() < 1e-9
    far = 1e9 + np.random.default_rng(0).normal(size=(32, 6))
    shifted = InnAutoencoder(Chain([Rescale(shift=-1e9, dtype="float64")]).ensure_built((6,)), 3)
    shifted.compile(keras.optimizers.SGD(0.0))
    exact = np.abs(shifted(far).numpy() - far).mean()
    assert exact < 1  # of entries that differ from 1e9 by about 1, where float32 rounds to 64
    for found in (
        shifted.evaluate(far, verbose=0, return_dict=True)["reconstruction"],
        shifted.fit(far, verbose=0).history["reconstruction"][0],
        shifted.fit(far, validation_data=far, verbose=0).history["val_reconstruction"][0],
        shifted.fit(far, validation_data=(far,), verbose=0).history["val_reconstruction"][0],
        shifted.fit(tf.concat([far, far], 0), validation_split=0.5, verbose=0).history["val_reconstruction"][0],
    ):
        assert found == pytest.approx(exact, rel=1e-6)
