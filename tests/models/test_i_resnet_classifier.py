"""The i-ResNet classifier: it trains as a Keras model, computes no log-determinant, and runs backwards within its bound."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, ResidualBlock
from inntf.models import i_resnet_classifier
from inntf.nets import MaxMin

ROOT = pathlib.Path(__file__).parents[2]
COEFFICIENT = 0.8
SMALL = {"event_shape": (8, 8, 1), "classes": 3, "blocks": (1, 1), "hidden": (6, 6), "channels": 4, "coefficient": COEFFICIENT}


def make(seed=0, **changes):
    keras.utils.set_random_seed(seed)
    return i_resnet_classifier(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def data():
    """Three classes of stripes: vertical, horizontal, none."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 192)
    x = 0.3 * rng.normal(size=(192, 8, 8, 1))
    stripes = np.tile([1.0, -1.0], 4)
    x[labels == 0] += stripes[None, :, None]
    x[labels == 1] += stripes[:, None, None]
    return x.astype("float32"), labels


@pytest.fixture(scope="module")
def trained(data):
    x, labels = data
    model = make().initialize(x[:64])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-2), loss, metrics=["accuracy"])
    before = [layer.singular_vector.numpy() for layer in spectral(model)]
    history = model.fit(x, labels, epochs=6, batch_size=32, verbose=0)
    moved = [float(np.abs(b - layer.singular_vector.numpy()).max()) for b, layer in zip(before, spectral(model), strict=True)]
    return model, history, moved


def spectral(model):
    from inntf.nets import spectral_layers

    return spectral_layers(model.body)


def test_it_learns_and_keeps_its_norms(trained, data):
    model, history, moved = trained
    assert history.history["accuracy"][-1] > 0.9
    assert min(moved) > 0, "each layer's power iteration goes on in training"
    norms = model.certify(data[0][:64])
    assert len(norms) == 6 and max(norms.values()) <= COEFFICIENT
    for block in model.body:
        if isinstance(block, ResidualBlock):
            assert block.certify() <= COEFFICIENT**3 * (1 + 1e-5)


def test_the_head_is_measured_anew(trained, data):
    model, x = trained[0], data[0]
    model.certify(x, batch_size=50)
    features = model.features(x).numpy().astype(np.float64)
    normalization = model.head.layers[0]
    np.testing.assert_allclose(normalization.moving_mean.numpy(), features.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(normalization.moving_variance.numpy(), features.var((0, 1, 2)), rtol=1e-4)


def test_it_runs_backwards_within_its_bound(trained, data):
    model, x = trained[0], data[0][:16]
    model.certify(data[0])
    features = model.features(x)
    assert features.shape == (16, 4, 4, 16)
    found = model.invert(features)
    error = np.linalg.norm((found.x.numpy() - x).reshape(16, -1), axis=1)
    assert error.max() < 1e-4
    assert np.all(error <= found.error_bound.numpy()) and np.all(np.isfinite(found.error_bound.numpy()))
    in_graph = tf.function(model.invert)(features)
    assert np.all(np.isfinite(in_graph.error_bound.numpy())), "a graph bounds the norms by other means"
    np.testing.assert_allclose(in_graph.x.numpy(), found.x.numpy(), atol=1e-4)


def test_error_bounds_pass_through_the_body(trained, data):
    """An error put into the features comes out at most as large as the body's certified inverse bound says."""
    model, x = trained[0], data[0][:4]
    model.certify(data[0])
    features = model.features(x)
    push = np.random.default_rng(1).normal(size=features.shape).astype("float32")
    push *= 0.05 / np.linalg.norm(push.reshape(4, -1), axis=1)[:, None, None, None]
    there, pushed = model.invert(features).x.numpy(), model.invert(features + push).x.numpy()
    moved = np.linalg.norm((there - pushed).reshape(4, -1), axis=1)
    assert np.all(moved > 0) and np.all(moved <= 0.05 * model.body.lipschitz_bounds().inverse * (1 + 1e-3))


def test_no_log_determinant_when_classifying(monkeypatch):
    model = make()
    x = np.random.default_rng(2).normal(size=(3, 8, 8, 1)).astype("float32")
    with_log_det = model.body.forward_and_log_det(x)[0].numpy()

    def refuse(*_, **__):
        raise AssertionError("a log-determinant was asked for")

    for block in model.body:
        if isinstance(block, ResidualBlock):
            monkeypatch.setattr(block, "log_det", refuse)
    np.testing.assert_allclose(model.features(x).numpy(), with_log_det, atol=1e-5)
    model(x, training=True)
    model.initialize(x)


def test_initialization_makes_every_actnorm_standard(data):
    model = make().initialize(data[0])
    x = tf.constant(data[0])
    for block in model.body:
        x = x + block.branch(x) if isinstance(block, ResidualBlock) else block.forward_and_log_det(x)[0]
        if isinstance(block, ActNorm):
            deviations = x.numpy().std((0, 1, 2))
            np.testing.assert_allclose(x.numpy().mean((0, 1, 2)), 0, atol=1e-4)
            assert deviations.max() == pytest.approx(1, abs=1e-2), "padded channels may hold less, no channel more"


def test_the_twin_is_the_same_network_without_promises():
    free, bound = make(coefficient=None), make()
    assert [w.shape for w in free.trainable_weights] == [w.shape for w in bound.trainable_weights]
    # From the same seed the same kernels, before normalization.
    for a, b in zip(free.trainable_weights, bound.trainable_weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    x = np.ones((2, 8, 8, 1), "float32")
    assert free.certify(x) == {} and free(x).shape == (2, 3)
    with pytest.raises(ValueError, match="coefficient=None"):
        free.invert(free.features(x))


def test_it_is_saved_with_its_inverse(trained, data, tmp_path):
    model, x = trained[0], data[0][:4]
    model.certify(data[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x).numpy(), model(x).numpy(), atol=1e-5)
    assert again.invertible
    np.testing.assert_allclose(again.invert(again.features(x)).x.numpy(), x, atol=1e-4)


def test_a_frozen_one_comes_back_frozen(tmp_path):
    model = make()
    model.trainable = False
    model.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    assert not again.trainable and not again.trainable_weights and not keras.models.clone_model(model).trainable


def test_other_activations_and_a_squeeze_in_front():
    model = make(activation=MaxMin, squeeze_first=True, channels=8, actnorm=False)
    x = np.random.default_rng(3).normal(size=(2, 8, 8, 1)).astype("float32")
    features = model.features(x)
    assert features.shape == (2, 2, 2, 32)
    model.certify()
    np.testing.assert_allclose(model.invert(model.features(x)).x.numpy(), x, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"blocks": (1,)}, "stages"), ({"blocks": (), "hidden": ()}, "stages"), ({"event_shape": (8, 8, 6)}, "4")],
)
def test_bad_input_is_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        make(**changes)


@pytest.mark.slow
def test_two_replicas_train_what_one_device_trains(tmp_path):
    found = []
    for replicas in (1, 2):
        command = [sys.executable, "-m", "tests.models._replicas_child", str(replicas), str(tmp_path / f"{replicas}.npz")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(np.load(tmp_path / f"{replicas}.npz"))
    for name in found[0].files:  # 0.5 where each replica normalizes by statistics of its own
        np.testing.assert_allclose(found[1][name], found[0][name], atol=1e-4, err_msg=name)
