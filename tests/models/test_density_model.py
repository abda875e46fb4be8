"""DensityModel: Keras' fit on a likelihood, with the right weights, saving and strategies."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import ActNorm, AffineCoupling, Permutation
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, glow, real_nvp


@pytest.fixture
def x():
    return (np.random.default_rng(0).normal(size=(512, 2)) * [1.0, 0.1] + [0, 3]).astype("float32")


def test_fit_reaches_the_entropy_of_a_gaussian(x):
    keras.utils.set_random_seed(0)
    model = DensityModel(Chain([ActNorm(), AffineCoupling(), Permutation.reverse(), AffineCoupling()]), event_shape=(2,))
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, epochs=8, batch_size=64, verbose=0)
    entropy = np.log(2 * np.pi * np.e) + np.log(0.1)
    loss, bits = model.evaluate(x, verbose=0)
    assert abs(loss - entropy) < 0.08
    assert bits == pytest.approx(loss / (2 * np.log(2)), rel=1e-4)


def test_loss_is_the_weighted_mean(x):
    model = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(4,)))
    model.compile("sgd")
    weights = np.linspace(0, 1, len(x)).astype("float32")
    log_prob = model.predict(x, verbose=0)
    result = model.test_on_batch(x, sample_weight=weights, return_dict=True)
    assert result["loss"] == pytest.approx(-np.mean(weights * log_prob), rel=1e-4)


def test_initialization_from_data_happens_once(x):
    model = DensityModel(ActNorm(), event_shape=(2,))
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(x, batch_size=len(x), verbose=0)
    z = model.block.forward_and_log_det(x)[0].numpy()
    np.testing.assert_allclose(z.std(0), 1.0, atol=1e-3)
    model.fit(x * 10, verbose=0)
    np.testing.assert_array_equal(model.block.forward_and_log_det(x)[0].numpy(), z)
    off = DensityModel(ActNorm(), event_shape=(2,), data_init=False)
    off.compile(keras.optimizers.SGD(0.0))
    off.fit(x, verbose=0)
    np.testing.assert_allclose(off.block.forward_and_log_det(x)[0].numpy(), x)


def test_weights_that_were_loaded_are_not_initialized_again(x, tmp_path):
    def make():
        return DensityModel(ActNorm(), event_shape=(2,))

    trained, loaded = make(), make()
    trained.initialize(x)
    trained.save_weights(tmp_path / "m.weights.h5")
    loaded.load_weights(tmp_path / "m.weights.h5")
    loaded.compile(keras.optimizers.SGD(0.0))
    loaded.fit(10 * x, verbose=0)
    for a, b in zip(trained.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_datasets_dicts_and_generators(x):
    c = np.ones((len(x), 3), "float32")
    model = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(4,), condition_shape=(3,)))
    model.compile("adam")
    model.fit({"x": x, "condition": c}, verbose=0)
    model.fit(tf.data.Dataset.from_tensor_slices({"x": x, "condition": c}).batch(64), verbose=0)
    other = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(4,)))
    other.compile("adam")
    with pytest.raises(ValueError, match="initialize"):
        other.fit((x[i : i + 8] for i in range(0, 64, 8)), verbose=0)


def test_save_and_load(tmp_path, x):
    model = DensityModel(glow(event_shape=(8, 8, 1), levels=2, depth=2, hidden=4))
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    model.compile("adam")
    model.fit(images, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    loaded.fit(images, verbose=0)  # trains on, without a second initialization from data
    own = DensityModel(Flow(AffineCoupling(), tfp.distributions.MultivariateNormalDiag(tf.zeros(2)), event_shape=(2,)))
    with pytest.raises(ValueError, match="Rescale"):
        own.get_config()


def test_a_learned_base_trains(x):
    base = tfp.distributions.MultivariateNormalDiag(
        tf.Variable([0.0, 0.0]), tfp.util.TransformedVariable([1.0, 1.0], tfp.bijectors.Softplus())
    )
    model = DensityModel(Flow(AffineCoupling(), base, event_shape=(2,)))
    model.compile(keras.optimizers.Adam(0.05))
    before = [v.numpy() for v in base.trainable_variables]
    model.fit(x, verbose=0)
    assert all(np.abs(v.numpy() - b).max() > 1e-3 for v, b in zip(base.trainable_variables, before, strict=True))


def test_mixed_precision_keeps_values_in_float32(x):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(8,)))
        model.compile("adam")
        model.fit(x, verbose=0)
        assert model.predict(x, verbose=0).dtype == np.float32
        assert np.abs(model.flow.reconstruct(x) - x).max() < 1e-3
    finally:
        keras.config.set_dtype_policy("float32")
