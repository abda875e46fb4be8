"""A flow with a residual block is served without our classes, its certified inverse included."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, ResidualBlock
from inntf.compose import Chain, Repeat
from inntf.core.random_states import random_states
from inntf.models.flow import Flow
from inntf.nets import LipschitzMLP
from inntf.numerics import RussianRoulette
from inntf.serving import export
from inntf.serving.served import Served

STRANGER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("inntf", "tensorflow_probability", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Blocked())
import numpy as np
import tensorflow as tf
folder, data, out = sys.argv[1:]
given = np.load(data)
model = tf.saved_model.load(folder)
serve = model.signatures
results = {"x": serve["inverse"](z=tf.constant(given["z"]))["x"].numpy()}
results |= {k: v.numpy() for k, v in serve["forward"](x=tf.constant(given["x"])).items()}
results["sample"] = serve["sample"](n=tf.constant(5), seed=tf.constant([1, 2]), temperature=tf.constant(1.0))["x"].numpy()
vectors = [v for v in model.variables if v.shape.rank == 2 and v.shape[1:] in ([2], [8])]
for v in model.variables:
    if v.shape.rank == 3:
        v.assign(v + 50.0)
for v in vectors:
    v.assign(0 * v)  # nothing normalizes now
try:
    serve["inverse"](z=tf.constant(given["z"]))
except tf.errors.InvalidArgumentError as error:
    results["refused"] = np.array("InverseNotReached" in str(error))
np.savez(out, **results)
"""


@pytest.mark.slow
def test_residual_flow_elsewhere(tmp_path):
    make = lambda: ResidualBlock(network=LipschitzMLP((8,), coefficient=0.7), tolerance=1e-4)  # noqa: E731
    block = Chain([ActNorm(), Repeat(make, 2)]).ensure_built((2,))
    flow = Flow(block, event_shape=2)
    x = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    z, log_det = block.forward_and_log_det(x)
    path = export(flow, tmp_path / "residual", batch=x)
    np.savez(tmp_path / "data.npz", x=x, z=z)
    (tmp_path / "stranger.py").write_text(STRANGER)
    command = [sys.executable, tmp_path / "stranger.py", path, tmp_path / "data.npz", tmp_path / "out.npz"]
    done = subprocess.run([str(pathlib.Path(c)) for c in command], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(found["x"], x, atol=1e-4)
    np.testing.assert_allclose(found["z"], z, atol=1e-5)
    np.testing.assert_allclose(found["log_det"], log_det, atol=1e-5)
    np.testing.assert_allclose(found["sample"], flow.sample(5, seed=(1, 2)), atol=1e-4)
    assert found["refused"]


def test_a_flow_that_replicas_have_trained_is_served_with_its_draws(tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        block = ResidualBlock(network=LipschitzMLP((8,), coefficient=0.5), log_det=RussianRoulette(), seed=3).ensure_built((2,))
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    (state,) = random_states(block)
    block.forward_and_log_det(x)  # draws: the state is no fresh one
    assert isinstance(state.value, tf.distribute.DistributedValues)
    served = Served.of(Flow(block, event_shape=2))
    (own,) = random_states(served.computed)
    np.testing.assert_array_equal(own.numpy(), state.numpy())
    path = export(Flow(block, event_shape=2), tmp_path, batch=x)
    expected = block.forward_and_log_det(x)[0].numpy()
    np.testing.assert_allclose(tf.saved_model.load(path).signatures["forward"](x=tf.constant(x))["z"], expected, atol=1e-6)
