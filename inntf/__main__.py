"""`python -m inntf`: versions, devices, and whether the installation does what it is for."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import inntf
from inntf.blocks import ActNorm, AffineCoupling, Permutation
from inntf.compose import Chain
from inntf.core.errors import explain
from inntf.models import DensityModel, real_nvp, residual_flow
from inntf.serving import export, load, load_keras
from inntf.stability import certify, reconstruction_error


def main() -> int:
    """Print the versions and the result of each check; 1 if one failed, else 0."""
    versions = {"inntf": inntf, "TensorFlow": tf, "TensorFlow Probability": tfp, "Keras": keras, "NumPy": np}
    shown = [f"{name} {module.__version__}" for name, module in versions.items()]
    print(", ".join([*shown, f"Python {platform.python_version()}"]))
    print("devices:", ", ".join(f"{d.device_type} {d.name.rpartition(':')[2]}" for d in tf.config.list_physical_devices()))
    failed = 0
    for what, check in CHECKS.items():
        try:
            print(f"ok      {what}: {check()}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {what}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    if failed:
        print(f"{failed} of {len(CHECKS)} checks failed; please report what is printed above.", file=sys.stderr)
    return int(failed > 0)


def trained_by_keras() -> str:
    """A flow, trained by `fit`: its weights move and its loss falls."""
    keras.utils.set_random_seed(0)
    model, x = DensityModel(real_nvp(event_shape=2, depth=4, hidden=(16,))), _data()
    model.compile(keras.optimizers.Adam(0.01))
    before = float(tf.reduce_mean(model.log_prob(x)))
    model.fit(x, epochs=3, batch_size=64, verbose=0)
    after = float(tf.reduce_mean(model.log_prob(x)))
    return _true(after > before + 0.1, f"log-likelihood {before:.3f} to {after:.3f} nats")


def bijector_of_tfp() -> str:
    """The same chain within TFP's own classes: a density that integrates to one."""
    block = Chain([ActNorm(), AffineCoupling(), Permutation()]).ensure_built((2,))
    _move(block)
    tfd = tfp.distributions
    density = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfp.bijectors.Invert(block))
    axis = np.linspace(-8, 8, 161, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    total = float(np.sum(np.exp(density.log_prob(tf.constant(points)).numpy().astype(np.float64))) * (axis[1] - axis[0]) ** 2)
    return _true(abs(total - 1) < 1e-3, f"its density integrates to {total:.6f}")


def round_trip() -> str:
    """There and back on data, and the certified bounds of both directions."""
    block = residual_flow(event_shape=2, depth=3, hidden=(16,), actnorm=False).block
    _move(block)
    error = float(np.max(reconstruction_error(block, tf.constant(_data()))))
    bounds = certify(block).bounds
    return _true(error < 1e-4, f"largest error {error:.1e}, bounds {bounds.forward:.3g} and {bounds.inverse:.3g}")


def saved_and_served() -> str:
    """To a Keras file and to a SavedModel, and back."""
    model, x = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(8,))), tf.constant(_data())
    _move(model)
    want = model.log_prob(x).numpy()
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        again = load_keras(f"{folder}/model.keras").log_prob(x).numpy()
        served = load(export(model, f"{folder}/served")).log_prob(x).numpy()
    worst = max(float(np.max(np.abs(found - want))) for found in (again, served))
    return _true(worst < 1e-4, f"largest difference {worst:.1e} nats")


def compiled_by_xla() -> str:
    """A training step under XLA."""
    flow, x = real_nvp(event_shape=2, depth=2, hidden=(8,)), tf.constant(_data())
    _move(flow.block)
    compiled = tf.function(lambda x: flow.log_prob(x), jit_compile=True, autograph=False)(x)
    worst = float(tf.reduce_max(tf.abs(compiled - flow.log_prob(x))))
    return _true(worst < 1e-3, f"largest difference {worst:.1e} nats")


CHECKS: dict[str, Callable[[], str]] = {
    "trained as a Keras model": trained_by_keras,
    "used as a bijector of TFP": bijector_of_tfp,
    "round trip": round_trip,
    "Keras file and SavedModel": saved_and_served,
    "compiled by XLA": compiled_by_xla,
}


def _data() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 2)) * [2.0, 0.5] + [1.0, -1.0]
    return np.stack([x[:, 0], x[:, 1] + 0.3 * x[:, 0] ** 2], -1).astype(np.float32)


def _move(layer: keras.layers.Layer) -> None:
    """Weights as a training leaves them: fresh ones make most maps the identity."""
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape).astype("float32"))


def _true(fine: bool, shown: str) -> str:
    if not fine:
        raise AssertionError(explain("self-check", received=shown, expected="a number within its bound"))
    return shown


if __name__ == "__main__":
    sys.exit(main())
