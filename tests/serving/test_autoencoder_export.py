"""An autoencoder served: the signatures are the model's methods, in a process with TensorFlow alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from inntf.models import inn_autoencoder
from inntf.serving import export, load

ELSEWHERE = """
import sys
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as file:
    numbers = dict(file)
call = lambda name, **given: loaded.signatures[name](**{k: tf.constant(v) for k, v in given.items()})
np.testing.assert_allclose(call("encode", x=numbers["x"])["y"], numbers["y"], atol=1e-5)
np.testing.assert_allclose(call("decode", y=numbers["y"])["x"], numbers["x_hat"], atol=1e-5)
np.testing.assert_allclose(call("reconstruct", x=numbers["x"])["x"], numbers["x_hat"], atol=1e-5)
np.testing.assert_allclose(call("serving_default", x=numbers["x"])["x"], numbers["x_hat"], atol=1e-5)
drawn = call("sample", n=np.int32(3), seed=np.int32([4, 0]), temperature=np.float32(1))["x"]
np.testing.assert_allclose(drawn, numbers["samples"], atol=1e-5)
assert call("reconstruct", x=numbers["x"][:0])["x"].shape == (0, 8, 8, 1)
assert not any(name.split(".")[0] in ("inntf", "tensorflow_probability") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def model():
    made = inn_autoencoder(
        (8, 8, 1), 30, stages=(1,), hidden=4, dense_hidden=6, seed=1, prior_weight=0.5, backprop="reversible"
    )
    rng = np.random.default_rng(7)
    made.set_weights([w + 0.1 * rng.standard_normal(w.shape).astype(w.dtype) for w in made.get_weights()])
    made.bottleneck = 5
    return made


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def folder(model, x, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("served"), name="digits", batch=x)


def test_with_tensorflow_alone(model, x, folder, tmp_path):
    numbers = {"x": x, "y": model.encode(x), "x_hat": model(x), "samples": model.sample(3, seed=4)}
    np.savez(tmp_path / "numbers.npz", **numbers)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", ELSEWHERE, str(folder), str(tmp_path / "numbers.npz")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def test_loaded_with_its_methods(model, x, folder):
    served = load(folder.parent)
    np.testing.assert_allclose(served.encode(x), model.encode(x), atol=1e-5)
    np.testing.assert_allclose(served.decode(served.encode(x)), served.reconstruct(x), atol=1e-6)
    error = np.linalg.norm((x - model(x)).numpy().reshape(4, -1), axis=1)
    np.testing.assert_allclose(served.reconstruction_error(x), error, atol=1e-5)
    np.testing.assert_allclose(served.sample(3, seed=4), model.sample(3, seed=4), atol=1e-5)
    assert np.max(np.abs(served.sample(2, seed=4, temperature=0.0)[0] - model.decode(np.zeros([1, 5], "float32"))[0])) < 1e-5
    np.testing.assert_allclose(served.forward(x), model.block(x), atol=1e-5)
    with pytest.raises(ValueError, match="log_prob"):
        served.log_prob(x)


def test_the_card(folder):
    card = load(folder.parent).card
    assert (card["kind"], card["bottleneck"], card["prior_weight"]) == ("InnAutoencoder", 5, 0.5)
    assert card["default_signature"] == "reconstruct"
    assert set(card["signatures"]) == {"forward", "inverse", "encode", "decode", "reconstruct", "sample"}
    assert card["stability"]["verdict"] == "stable" and card["stability"]["own_samples"]["count"] == 1024


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("encode", {"x": tf.zeros([2, 8, 8, 3])}, "expected shape"),
        ("decode", {"y": tf.zeros([2, 6])}, "expected shape"),
        ("reconstruct", {"x": tf.zeros([8, 8, 1])}, "expected shape"),
        ("sample", {"n": tf.constant(-1), "seed": tf.constant(0), "temperature": tf.constant(1.0)}, "received n"),
        ("sample", {"n": tf.constant(1), "seed": tf.constant(0), "temperature": tf.constant(-1.0)}, "finite temperature"),
    ],
)
def test_wrong_inputs_are_refused(folder, name, given, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        tf.saved_model.load(str(folder)).signatures[name](**given)
