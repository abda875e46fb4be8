"""Training and inverting on a GPU, with XLA and without, in every precision.

    INNTF_TEST_GPU=1 python -m pytest tests/gpu -m gpu -n 6

Elsewhere every test here is skipped; `test_kernels.py` looks up there what it can without one.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import models
from inntf.blocks import Dequantize, Logit
from inntf.nets import Discriminator
from tests.conformance.subject import Subject
from tests.registry import CASES

pytestmark = pytest.mark.gpu

IMAGE = (8, 8, 2)
FLOWS = {
    "real_nvp": lambda d: models.real_nvp(event_shape=4, depth=3, hidden=(16,), dtype=d),
    "real_nvp-unrolled": lambda d: models.real_nvp(event_shape=4, depth=2, hidden=(16,), repeat=False, dtype=d),
    "real_nvp-reversible": lambda d: models.real_nvp(event_shape=4, depth=4, hidden=(16,), backprop="reversible", dtype=d),
    "glow": lambda d: models.glow(event_shape=IMAGE, levels=2, depth=2, hidden=8, dtype=d),
    "glow-pixels": lambda d: models.glow(
        event_shape=IMAGE,
        levels=1,
        depth=2,
        hidden=8,
        permutation="shuffle",
        preprocessing=[Dequantize(dtype=d), Logit(dtype=d)],
    ),
    "residual_flow": lambda d: models.residual_flow(event_shape=4, depth=2, hidden=(8,), dtype=d),
    "residual_flow-images": lambda d: models.residual_flow(event_shape=IMAGE, depth=1, hidden=4, levels=1, dtype=d),
    "autoregressive_flow": lambda d: models.autoregressive_flow(event_shape=4, depth=2, hidden=(16,), dtype=d),
    "autoregressive_flow-spline": lambda d: models.autoregressive_flow(
        event_shape=4, depth=2, hidden=(16,), transformer="spline", kind="iaf", dtype=d
    ),
    "ffjord": lambda d: models.ffjord(event_shape=4, hidden=(8,), dtype=d),
}
RUNS = [(name, "float32", jit) for name in FLOWS for jit in (False, True)]
RUNS += [
    (name, dtype, jit) for name in ("real_nvp", "glow") for dtype in ("float64", "mixed_bfloat16") for jit in (False, True)
]
RUNS += [("ffjord", "mixed_bfloat16", False), ("residual_flow", "float64", False), ("real_nvp", "float32", "auto")]


@pytest.fixture(autouse=True)
def _a_gpu():
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("there is no GPU here, or INNTF_TEST_GPU=1 is not set")
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def data(shape, pixels=False, n=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape)).astype("f4") if pixels else (3 + 2 * rng.normal(size=(n, *shape))).astype("f4")


@pytest.mark.parametrize(("name", "dtype", "jit"), RUNS)
def test_flows_train_and_come_back(name, dtype, jit):
    flow = FLOWS[name](dtype)
    model = models.DensityModel(flow)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit)
    x = data(flow.event_shape, pixels=name == "glow-pixels")
    loss = model.fit(x, batch_size=32, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    assert all("GPU" in v.value.device for v in flow.block.trainable_variables)
    values = tf.constant(x[:8], flow.dtype)
    assert np.abs(flow.reconstruct(values) - values).max() < (0.5 if dtype == "mixed_bfloat16" else 2e-3)
    assert np.isfinite(flow.sample(8, seed=0)).all()
    if dtype != "mixed_bfloat16" and name not in ("glow-pixels", "residual_flow-images"):  # which draw noise
        here = flow.log_prob(tf.identity(values)).numpy()
        with tf.device("CPU:0"):
            there = flow.log_prob(tf.identity(values)).numpy()
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("jit", [False, True])
def test_classifiers_train_and_invert(jit):
    model = models.i_resnet_classifier(event_shape=IMAGE, classes=3, blocks=(1, 1), hidden=(4, 4), channels=4)
    x, y = data(IMAGE), np.arange(64) % 3
    model.initialize(x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=jit)
    assert np.isfinite(model.fit(x, y, batch_size=32, verbose=0).history["loss"]).all()
    model.certify()
    back = model.invert(model.features(x[:4]))
    error = np.linalg.norm((back.x - x[:4]).numpy().reshape(4, -1), axis=1)
    assert (error <= back.error_bound.numpy()).all()


@pytest.mark.parametrize("jit", [False, True])
def test_a_flow_gan_trains(jit):
    flow = models.glow(event_shape=(8, 8, 1), levels=1, depth=2, hidden=4, additive=True)
    gan = models.FlowGan(flow, Discriminator(widths=(4, 8)), seed=0)
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), jit_compile=jit)
    history = gan.fit(data((8, 8, 1), n=16), batch_size=8, verbose=0).history
    assert np.isfinite(history["generator_loss"]).all()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(CASES))
def test_blocks_agree_with_the_processor(name, dtype, jit):
    case = CASES[name]
    if jit and "xla_agrees" in case.exempt and name != "dequantize-uniform":
        pytest.skip(case.exempt["xla_agrees"])
    subject = Subject(name, case, dtype)
    x, z, condition = subject.x(3), subject.z(3), subject.condition(3)

    def everything(x, z, condition):
        with tf.GradientTape() as tape:
            tape.watch(x)
            there, log_det = subject.block.forward_and_log_det(x, condition)
            loss = tf.reduce_sum(tf.sin(there)) + tf.reduce_sum(log_det)
        back, inverse_log_det = subject.block.inverse_and_log_det(z, condition)
        weights = [v.value for v in subject.block.trainable_variables]
        gradients = tape.gradient(loss, [x, *weights], unconnected_gradients="zero")
        return there, log_det, back, inverse_log_det, *gradients

    on_gpu = tf.function(everything, jit_compile=jit)(x, z, condition)
    assert all(np.isfinite(part).all() for part in on_gpu)
    if name == "dequantize-uniform":
        pytest.skip("other noise at every call: nothing more to compare")
    with tf.device("CPU:0"):
        on_cpu = tf.function(everything)(*(None if v is None else tf.identity(v) for v in (x, z, condition)))
    tolerance = (1e-7 if dtype == "float64" else 2e-3) * case.tolerance
    for here, there in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_allclose(here, there, rtol=tolerance, atol=tolerance * max(1.0, np.abs(there).max(initial=0.0)))
