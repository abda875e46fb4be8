"""What one process writes another reads: `.keras` files with inntf, SavedModels with TensorFlow alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.hosts import keras_model
from tests.conformance.subject import subject
from tests.house.source import ROOT
from tests.registry import CASES

# Trained ones are the same files with other numbers: those whose state is more than weights, and compositions.
TRAINED = (
    "actnorm-vector",
    "residual-vector",
    "chain-vector-conditional",
    "repeat-conditional",
    "multiscale-condition-pyramid",
)
SAVED_MODELS = ("affine-image-image-condition", "coupling-spline", "conv1x1-plu", "chain-vector-conditional", "multiscale")


def _run(code: str, folder, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]


LOAD_KERAS = """
import pathlib, sys
import numpy as np, tensorflow as tf, keras
import inntf
wrong = []
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    with np.load(path.with_suffix(".npz")) as file:
        numbers = dict(file)
    inputs = [tf.constant(numbers[k]) for k in ("x", "condition") if k in numbers]
    try:
        z = keras.saving.load_model(path)(inputs if len(inputs) > 1 else inputs[0])
        np.testing.assert_allclose(z, numbers["z"], rtol=1e-5, atol=1e-5)
    except Exception as error:
        wrong.append(f"{path.name}: {type(error).__name__}: {str(error)[:300]}")
assert not wrong, "\\n".join(wrong)
"""

LOAD_SAVED_MODELS = """
import pathlib, sys
import numpy as np, tensorflow as tf
for folder in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
    with np.load(folder.with_suffix(".npz")) as file:
        numbers = dict(file)
    inputs = [tf.constant(numbers[k]) for k in ("x", "condition") if k in numbers]
    model = tf.saved_model.load(str(folder))
    np.testing.assert_allclose(model.forward(*inputs), numbers["z"], rtol=1e-5, atol=1e-5)
assert not {"inntf", "tensorflow_probability"} & set(sys.modules)
"""


def _numbers(s) -> tuple[list[tf.Tensor], dict[str, np.ndarray]]:
    x, c = s.x(3), s.condition(3)
    z, _ = s.block.forward_and_log_det(x, c)
    arrays = {"x": x.numpy(), "z": z.numpy()} | ({} if c is None else {"condition": c.numpy()})
    return ([x] if c is None else [x, c]), arrays


@pytest.mark.parametrize("state", ["fresh", pytest.param("trained", marks=pytest.mark.slow)])
def test_keras_files_load_in_a_fresh_process(tmp_path, state):
    repeatable = (n for n, c in CASES.items() if not {"keras_file", "same_numbers_give_same_results"} & set(c.exempt))
    for name in repeatable if state == "fresh" else TRAINED:
        s = subject(name, "float32", state)
        _, arrays = _numbers(s)
        keras_model(s, s.block).save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", **arrays)
    _run(LOAD_KERAS, tmp_path)


def _served(block, inputs: list[tf.Tensor]) -> tf.Module:
    module = tf.Module()
    module.block = block
    module.forward = tf.function(
        lambda *values: block.forward_and_log_det(*values)[0],
        input_signature=[tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in inputs],
    )
    return module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_models_load_with_tensorflow_alone(tmp_path, dtype):
    for name in SAVED_MODELS:
        s = subject(name, dtype)
        inputs, arrays = _numbers(s)
        tf.saved_model.save(_served(s.block, inputs), str(tmp_path / name))
        np.savez(tmp_path / f"{name}.npz", **arrays)
    _run(LOAD_SAVED_MODELS, tmp_path)


EMPTY_BATCH = """
import tensorflow as tf
from inntf.blocks import AffineCoupling
from inntf.nets import ConvNet
block = AffineCoupling(split="checkerboard", conditioner=ConvNet(4))
block.forward_and_log_det(tf.random.normal([2, 4, 4, 3]))
function = tf.function(block.inverse_and_log_det, input_signature=[tf.TensorSpec([None, 4, 4, 3])])
for size in (0, 1, 3):
    x, log_det = function(tf.zeros([size, 4, 4, 3]))
    assert x.shape == (size, 4, 4, 3) and log_det.shape == (size,), (size, x.shape, log_det.shape)
"""


@pytest.mark.parametrize("kernels", ("0", "1"))
def test_an_empty_batch_of_images_keeps_its_shape_with_and_without_onednn(kernels, tmp_path):
    _run(EMPTY_BATCH, tmp_path, TF_ENABLE_ONEDNN_OPTS=kernels)
