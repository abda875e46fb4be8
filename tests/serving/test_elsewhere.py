"""The export in another process: without our classes, and through TensorFlow's command line."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

STRANGER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("inntf", "tensorflow_probability", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Blocked())
import numpy as np
import tensorflow as tf
for name in ("inntf", "tensorflow_probability", "tf_keras"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} was imported")
folder, data, out = sys.argv[1:]
given = np.load(data)
model = tf.saved_model.load(folder)
results = {}
for name, value in [("forward", "x"), ("inverse", "z"), ("log_prob", "x"), ("reconstruct", "x"), ("serving_default", "x")]:
    for key, found in model.signatures[name](**{value: tf.constant(given[value])}).items():
        results[f"{name}_{key}"] = found.numpy()
seeded = model.signatures["sample"](n=tf.constant(5), seed=tf.constant([1, 2]), temperature=tf.constant(0.7))
results["sample_x"] = seeded["x"].numpy()
np.savez(out, **results)
"""


@pytest.fixture
def reference(exported, tmp_path):
    """Path of the export, of a file of inputs, and what the model returns for them."""
    flow, path = exported("glow").flow, exported("glow").path
    x = np.random.default_rng(4).normal(size=(7, 4, 4, 2)).astype("float32")
    z, log_det = flow.block.forward_and_log_det(x)
    back, inverse_log_det = flow.block.inverse_and_log_det(z)
    np.savez(tmp_path / "data.npz", x=x, z=z)
    expected = {
        "forward_z": z,
        "forward_log_det": log_det,
        "inverse_x": back,
        "inverse_log_det": inverse_log_det,
        "log_prob_log_prob": flow.log_prob(x),
        "log_prob_bits_per_dim": flow.bits_per_dim(x),
        "serving_default_log_prob": flow.log_prob(x),
        "reconstruct_x": back,
        "sample_x": flow.sample(5, seed=(1, 2), temperature=0.7),
    }
    return path, tmp_path / "data.npz", expected


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]


def test_without_our_classes(reference, tmp_path):
    path, data, expected = reference
    (tmp_path / "stranger.py").write_text(STRANGER)
    run(sys.executable, tmp_path / "stranger.py", path, data, tmp_path / "out.npz")
    found = np.load(tmp_path / "out.npz")
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize(
    "signature",
    ["sample", *(pytest.param(s, marks=pytest.mark.slow) for s in ("forward", "inverse", "log_prob", "reconstruct"))],
)
def test_saved_model_cli(reference, tmp_path, signature):
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    if not tool.exists():
        pytest.skip("saved_model_cli is not beside this Python")
    path, data, expected = reference
    value = "z" if signature == "inverse" else "x"
    inputs = ["--inputs", f"{value}={data}[{value}]"]
    if signature == "sample":
        inputs = ["--input_exprs", "n=5;seed=[1,2];temperature=0.7"]
    common = ["--dir", path, "--tag_set", "serve", "--signature_def", signature]
    run(tool, "run", *common, *inputs, "--outdir", tmp_path / "out")
    wanted = {key: v for key, v in expected.items() if key.startswith(f"{signature}_")}
    assert wanted
    for key, v in wanted.items():
        found = np.load(tmp_path / "out" / f"{key.removeprefix(signature + '_')}.npy")
        np.testing.assert_allclose(found, v, rtol=1e-5, atol=1e-5)
