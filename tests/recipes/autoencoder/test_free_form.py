"""The free-form injective flow: its surrogate has the gradient of a log-determinant; codes and samples."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.autoencoder.free_form import FreeFormInjectiveFlow, sphere, volume_surrogate
from recipes.autoencoder.networks import dense_pair

WIDTH, CODE, DIMS = 5, 2, 4


@pytest.fixture(scope="module")
def encoder():
    rng = np.random.default_rng(0)
    first, last = (tf.Variable(rng.normal(size=shape)) for shape in ((DIMS, WIDTH), (WIDTH, CODE)))
    return lambda x: tf.tanh(x @ first) @ last, [first, last]


def test_the_surrogate_has_on_average_the_gradient_of_the_log_determinant(encoder):
    encode, weights = encoder
    x = tf.constant(np.random.default_rng(1).normal(size=(1, DIMS)))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = encode(x)
        jacobian = inner.batch_jacobian(y, x)[0]
        half_log_det = 0.5 * tf.linalg.logdet(jacobian @ tf.transpose(jacobian))
    exact = outer.gradient(half_log_det, weights)

    pseudo_inverse = tf.constant(np.linalg.pinv(jacobian.numpy()))
    decode = lambda y: y @ tf.transpose(pseudo_inverse)  # noqa: E731
    count = 2000
    draws = sphere(count, CODE, [0, 0], tf.float64)

    def gradient_of(v):
        with tf.GradientTape() as tape:
            surrogate = volume_surrogate(encode, decode, x, v[None])[2]
        return tape.gradient(surrogate, weights)

    found = tf.map_fn(tf.function(gradient_of), draws, fn_output_signature=[tf.float64] * 2)
    for estimates, wanted in zip(found, exact, strict=True):
        error = np.std(estimates, 0) / np.sqrt(count)
        deviation = np.abs(np.mean(estimates, 0) - wanted) / np.maximum(error, 1e-12)
        assert deviation.max() < 4.5 and np.abs(wanted).max() > 0.05
        assert np.linalg.norm(np.mean(estimates, 0) - wanted) < 0.1 * np.linalg.norm(wanted)


def test_vectors_have_the_covariance_of_a_normal_distribution():
    v = sphere(20_000, 3, [1, 2], tf.float64).numpy()
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), np.sqrt(3), rtol=1e-12)
    np.testing.assert_allclose(v.T @ v / len(v), np.eye(3), atol=0.03)


def test_the_decoder_has_no_gradient_from_the_surrogate():
    keras.utils.set_random_seed(0)
    encoder, decoder = dense_pair((3, 3, 1), 2, (4,))
    x = tf.random.stateless_normal([5, 3, 3, 1], [0, 1])
    with tf.GradientTape() as tape:
        code, _, surrogate = volume_surrogate(encoder, decoder, x, sphere(5, 2, [0, 0]))
    gradients = tape.gradient(surrogate, [*encoder.trainable_weights, *decoder.trainable_weights])
    assert code.shape == (5, 2) and surrogate.shape == (5,)
    assert any(g is not None for g in gradients[: len(encoder.trainable_weights)])
    assert all(g is None for g in gradients[len(encoder.trainable_weights) :])


def test_training_lowers_the_loss_and_gives_repeatable_samples():
    keras.utils.set_random_seed(0)
    model = FreeFormInjectiveFlow(*dense_pair((2, 2, 1), 1, (16,)), (2, 2, 1), seed=3)
    model.compile(keras.optimizers.Adam(1e-2))
    x = np.random.default_rng(0).normal(size=(64, 1)).repeat(4, 1).reshape(-1, 2, 2, 1).astype(np.float32) / 3
    data = tf.data.Dataset.from_tensors(x).repeat()
    first = model.fit(data, steps_per_epoch=1, verbose=0).history["squared_error"][-1]
    last = model.fit(data, steps_per_epoch=60, verbose=0).history["squared_error"][-1]
    assert last < 0.7 * first
    samples = model.sample(3, 5)
    assert samples.shape == (3, 2, 2, 1)
    np.testing.assert_array_equal(samples, model.sample(3, 5))
