"""The invertible autoencoder: its maps, its density, its gradients."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, InjectivePadding
from inntf.compose import Chain, backprop_mode
from inntf.models import REFERENCE_AUTOENCODERS, InnAutoencoder, inn_autoencoder
from inntf.nets import MLP
from inntf.numerics import mmd_squared

EVENT = (8, 8, 1)


def small(bottleneck=5, *, trained=True, dtype="float64", **kwargs):
    """A tiny one; `trained`: with weights as training leaves them, none of them zero."""
    settings = {"stages": (2,), "hidden": 4, "dense_hidden": 6, "seed": 1} | kwargs
    model = inn_autoencoder(EVENT, bottleneck, dtype=dtype, **settings)
    if trained:
        rng = np.random.default_rng(7)
        model.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def images(n=3, seed=0, dtype="float64"):
    return np.random.default_rng(seed).uniform(size=(n, *EVENT)).astype(dtype)


def test_decode_undoes_encode_where_nothing_is_cut_off():
    model = small(64)
    codes = model.encode(tf.constant(images()))
    back = model.decode(tf.constant(codes.numpy()))  # a fresh tensor: nothing remembers where it came from
    assert np.max(np.abs(back - images())) < 1e-12
    assert np.max(np.abs(codes - images().reshape(3, 64))) > 0.1, "the model is no identity"


@pytest.mark.parametrize("bottleneck", [1, 11, 63])
def test_a_code_of_the_decoded_is_the_code(bottleneck):
    model = small(bottleneck)
    y = np.random.default_rng(2).standard_normal((4, bottleneck))
    found, pad = model.latent(tf.constant(model.decode(y).numpy()))
    assert np.max(np.abs(found - y)) < 1e-11 and np.max(np.abs(pad)) < 1e-11


def test_an_untrained_one_keeps_the_first_pixels():
    model = small(13, trained=False)
    x = images()
    expected = x.reshape(3, 64).copy()
    expected[:, 13:] = 0
    assert np.max(np.abs(model(x) - expected.reshape(x.shape))) < 1e-14
    assert np.max(np.abs(model.latent(x)[1] - x.reshape(3, 64)[:, 13:])) < 1e-14


@pytest.mark.parametrize("bottleneck", [1, 6, 64])
def test_log_prob_is_that_of_the_exact_jacobian(bottleneck):
    model = small(bottleneck, stages=(1,))
    x = images(2)
    y = tf.constant(model.encode(x).numpy())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        flat = tf.reshape(model.decode(y), [2, 64])
    jacobian = tape.batch_jacobian(flat, y, experimental_use_pfor=False).numpy()
    volume = 0.5 * np.linalg.slogdet(np.swapaxes(jacobian, 1, 2) @ jacobian)[1]
    expected = -0.5 * np.sum(y.numpy() ** 2, 1) - 0.5 * bottleneck * math.log(2 * math.pi) - volume
    np.testing.assert_allclose(model.log_prob(x), expected, atol=1e-9)
    np.testing.assert_allclose(tf.function(model.log_prob)(tf.constant(x)), expected, atol=1e-9)


def test_the_density_integrates_to_one():
    """Of a curve in the plane, by its length."""
    net = MLP(8, activation="tanh", dtype="float64")
    chain = Chain([AffineCoupling(conditioner=net, dtype="float64"), ActNorm(dtype="float64")]).ensure_built((2,))
    rng = np.random.default_rng(3)
    chain.set_weights([w + 0.3 * rng.standard_normal(w.shape) if w.dtype.kind == "f" else w for w in chain.get_weights()])
    model = InnAutoencoder(chain, 1)
    curve = model.decode(np.linspace(-8, 8, 4001)[:, None]).numpy()
    density = np.exp(model.log_prob(curve))
    lengths = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    assert abs(np.sum(lengths * (density[1:] + density[:-1]) / 2) - 1) < 1e-4


def loss_and_gradients(model, x, mode):
    with backprop_mode(mode), tf.GradientTape() as tape:
        x_hat, y, pad = model(x, training=True, parts=True)
        normal = tf.constant(np.random.default_rng(1).standard_normal(y.shape))
        loss = tf.reduce_mean(tf.abs(x - x_hat)) + tf.reduce_mean(pad**2) + mmd_squared(y, normal, model.kernel)
    return loss, tape.gradient(loss, [v.value for v in model.trainable_variables])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mode", ["reversible", "checkpointed"])
def test_gradients_of_both_directions(mode, compiled):
    model = small(5, stages=(1,) if compiled else (3, 2))
    x = tf.constant(images())
    expected = loss_and_gradients(model, x, "stored")
    function = tf.function(lambda x: loss_and_gradients(model, x, mode)) if compiled else None
    found = function(x) if compiled else loss_and_gradients(model, x, mode)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    assert any(np.max(np.abs(g)) > 1e-3 for g in expected[1])
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_gradients_against_finite_differences():
    model = small(5, reconstruction="l2")
    x = tf.constant(images())
    variables = model.trainable_variables
    rng = np.random.default_rng(5)
    direction = [rng.standard_normal(v.shape) for v in variables]
    _, gradients = loss_and_gradients(model, x, "reversible")
    slope = sum(float(np.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
    start, values = model.get_weights(), []
    for step in (1e-6, -1e-6):
        model.set_weights([w + step * d for w, d in zip(start, direction, strict=True)])
        values.append(float(loss_and_gradients(model, x, "stored")[0]))
    assert abs((values[0] - values[1]) / 2e-6 - slope) < 1e-5 * abs(slope) + 1e-7


@pytest.mark.parametrize(("name", "weights"), [("mnist", 1_121_192), ("cifar10", 13_235_176)])
def test_weights_of_the_reference(name, weights):
    settings = REFERENCE_AUTOENCODERS[name]
    model = inn_autoencoder(**settings, bottleneck=12, seed=0)
    assert model.count_params() == weights
    x = np.random.default_rng(0).uniform(size=(2, *settings["event_shape"])).astype("float32")
    assert np.max(np.abs(model.block(x) - x)) < 1e-5, "it starts as the identity"


@pytest.mark.slow
def test_weights_of_the_reference_for_faces():
    assert inn_autoencoder(**REFERENCE_AUTOENCODERS["celeba"], bottleneck=12, seed=0).count_params() == 50_070_152


def test_scales_and_first_weights_are_those_of_the_code():
    model = inn_autoencoder((28, 28, 1), 12, clamp=2.0, seed=3)
    convolutional, dense = (
        next(b for b in side if hasattr(b, "first")) for side in (model.block.blocks, model.block.blocks[::-1])
    )
    raw = tf.constant([-3.0, 0.2, 5.0])
    np.testing.assert_allclose(convolutional.first.scale.scale(raw), np.exp(2 * 0.636 * np.arctan(raw / 2)), rtol=1e-6)
    np.testing.assert_allclose(dense.first.scale.scale(raw), np.exp(2 * 0.636 * np.arctan(raw)), rtol=1e-6)
    for block in (convolutional, dense):
        weights = block.second.conditioner.get_weights()
        drawn = [w for w in weights if np.any(w)]
        assert abs(np.std(np.concatenate([w.ravel() for w in drawn])) - 0.1) < 2e-3
        assert sum(not np.any(w) for w in weights) == 2, "the last layer, kernel and bias"
    again = inn_autoencoder((28, 28, 1), 12, clamp=2.0, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_samples():
    model = small(5, dtype="float32")
    first, again, other = (model.sample(200, seed=seed) for seed in (4, 4, [4, 1]))
    assert first.shape == (200, *EVENT)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    codes, pad = model.latent(first)
    assert np.max(np.abs(pad)) < 1e-4 and abs(np.std(codes) - 1) < 0.1 and abs(np.mean(codes)) < 0.1
    assert model.sample(0, seed=0).shape == (0, *EVENT) and model.sample(2).shape == (2, *EVENT)


def test_empty_and_open_batches():
    model = small(5, dtype="float32")
    empty = images(0, dtype="float32")
    assert model(empty).shape == (0, *EVENT) and model.encode(empty).shape == (0, 5)
    assert model.log_prob(empty).shape == (0,)
    function = tf.function(model.reconstruct, input_signature=[tf.TensorSpec([None, *EVENT])])
    x = images(2, dtype="float32")
    np.testing.assert_allclose(function(x), model(x), atol=1e-5)
    assert function(empty).shape == (0, *EVENT)


def test_networks_of_16_bit_leave_the_values_alone():
    model = small(64, dtype="mixed_bfloat16")
    x = images(dtype="float32")
    assert model.encode(x).dtype == tf.float32 and model(x).dtype == tf.float32
    assert np.max(np.abs(model(x) - x)) < 1e-4  # the same network there and back, whatever its digits


def test_actnorms_are_initialized_from_data():
    chain = Chain([ActNorm(), AffineCoupling()]).ensure_built((4,))
    x = np.random.default_rng(0).normal(3.0, 5.0, (200, 4)).astype("float32")
    model = InnAutoencoder(chain, 4).initialize(x)
    assert np.max(np.abs(np.std(model.encode(x), 0) - 1)) < 1e-2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda model: setattr(model, "bottleneck", 65), ValueError, "at most 64"),
        (lambda model: setattr(model, "bottleneck", 0), ValueError, "an integer >= 1"),
        (lambda model: setattr(model, "bottleneck", 2.5), ValueError, "an integer >= 1"),
        (lambda model: model.decode(np.zeros([2, 6])), ValueError, r"\(batch, 5\)"),
        (lambda model: model.encode(np.zeros([2, 8, 8, 3])), ValueError, "8, 8, 1|channels"),
        (lambda model: model.sample(2.5), ValueError, "integer"),
        (lambda model: model.sample([2, 3]), ValueError, "one number"),
        (lambda model: InnAutoencoder(model.block, 5, reconstruction="l3"), ValueError, "'l1', 'l2'"),
        (lambda model: InnAutoencoder(model.block, 5, padding_weight=-1.0), ValueError, "padding_weight=-1.0"),
        (lambda model: InnAutoencoder(AffineCoupling(), 5), TypeError, "a built block"),
        (lambda model: InnAutoencoder(keras.layers.Dense(3), 5), TypeError, "a built block"),
        (lambda model: InnAutoencoder(InjectivePadding(4).ensure_built((2,)), 2), ValueError, "of one size"),
        (lambda model: InnAutoencoder(AffineCoupling().ensure_built((2,), (3,)), 2), ValueError, "conditions"),
        (lambda model: inn_autoencoder((7, 8, 1), 3), ValueError, "8|divisible"),
        (lambda model: model.compile(loss="mse"), ValueError, "no loss"),
    ],
)
def test_what_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        change(small(5, trained=False, stages=(1,)))
