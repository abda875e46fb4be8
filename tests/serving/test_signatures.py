"""What an export answers is what the model answers."""

from __future__ import annotations

import ast
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling, Dequantize, ResidualBlock
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, real_nvp
from inntf.serving import export, load
from inntf.serving.served import Served
from inntf.serving.signatures import trace

KINDS = ["real_nvp", "glow", "conditioned"]


def data(flow, batch, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, *flow.event_shape)).astype("float32")


def condition_for(kind, batch):
    return np.random.default_rng(2).normal(size=(batch, 2)).astype("float32") if kind == "conditioned" else None


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_values_equal_the_models(exported, kind, batch):
    flow, model = exported(kind).flow, exported(kind).model
    x, c = data(flow, batch), condition_for(kind, batch)
    given = {} if c is None else {"condition": c}
    z, log_det = flow.block.forward_and_log_det(x, flow.embed(c))
    back, inverse_log_det = flow.block.inverse_and_log_det(z, flow.embed(c))
    got_z, got_log_det = model.forward_and_log_det(x, c)
    got_x, got_inverse_log_det = model.inverse_and_log_det(z, c)
    for got, expected in [
        (got_z, z),
        (got_log_det, log_det),
        (got_x, back),
        (got_inverse_log_det, inverse_log_det),
        (model.forward(x, c), z),
        (model.inverse(z, c), back),
        (model.log_prob(x, c), flow.log_prob(x, **given)),
        (model.bits_per_dim(x, c), flow.bits_per_dim(x, c)),
        (model.reconstruct(x, c), flow.reconstruct(x, c)),
        (model.reconstruction_error(x, c), np.linalg.norm((back - x).numpy().reshape(batch, -1), axis=1)),
    ]:
        assert got.shape == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(z - x.reshape(z.shape)).max() > 0.1  # the flow does something


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_the_models_and_repeat(exported, kind):
    flow, model = exported(kind).flow, exported(kind).model
    c = condition_for(kind, 2)
    given = {} if c is None else {"condition": c}
    for seed in (5, -5, 2**40 + 3, (7, 8)):
        expected = flow.sample(3, seed=seed, temperature=0.5, **given)
        got = model.sample(3, seed=seed, temperature=0.5, condition=c)
        assert got.shape == expected.shape == ((3,) if c is None else (3, 2)) + tuple(flow.event_shape)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got, model.sample(3, seed=seed, temperature=0.5, condition=c))
    assert np.abs(model.sample(3, c, seed=5) - model.sample(3, c, seed=6)).max() > 1e-3
    assert np.abs(model.sample(3, c) - model.sample(3, c)).max() > 1e-3
    still = model.sample(3, c, seed=5, temperature=0.0)
    np.testing.assert_array_equal(still, model.sample(3, c, seed=6, temperature=0.0))


def test_one_integer_is_a_seed_in_the_signature_too(exported):
    flow, model = exported("real_nvp").flow, exported("real_nvp").model
    sample = model.signatures["sample"]
    for seed in (5, -5):
        got = sample(n=tf.constant(3), seed=tf.constant(seed), temperature=tf.constant(1.0))["x"]
        np.testing.assert_allclose(got, flow.sample(3, seed=seed), rtol=1e-5, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="seed of one or two"):
        sample(n=tf.constant(3), seed=tf.constant([1, 2, 3]), temperature=tf.constant(1.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature >= 0"):
        sample(n=tf.constant(3), seed=tf.constant(1), temperature=tf.constant(-1.0))


def test_names_of_inputs_and_outputs(exported):
    model = exported("conditioned").model
    assert {name: set(f.structured_outputs) for name, f in model.signatures.items()} == {
        "forward": {"z", "log_det"},
        "inverse": {"x", "log_det"},
        "log_prob": {"log_prob", "bits_per_dim"},
        "serving_default": {"log_prob", "bits_per_dim"},
        "sample": {"x"},
        "reconstruct": {"x", "reconstruction_error"},
        "score": {"log_prob", "reconstruction_error", "inverse_lipschitz", "trusted"},
    }
    inputs = {name: f.structured_input_signature[1] for name, f in model.signatures.items()}
    assert set(inputs["sample"]) == {"n", "seed", "temperature", "condition"}
    assert set(inputs["inverse"]) == {"z", "condition"}
    assert inputs["log_prob"]["x"].shape.as_list() == [None, 4]
    assert inputs["log_prob"]["condition"].shape.as_list() == [None, 2]  # what the caller has, not what the network makes of it


def test_an_empty_batch_is_a_batch(exported):
    assert exported("glow").model.log_prob(np.zeros([0, 4, 4, 2])).shape == (0,)


def test_gradients_flow_through_a_loaded_model(exported):
    flow, model = exported("real_nvp").flow, exported("real_nvp").model
    x = tf.constant(data(flow, 3))
    gradients = []
    for density in (flow, model):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = density.log_prob(x)
        gradients.append(tape.gradient(value, x))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_integer_images_through_dequantization(tmp_path):
    block = Chain([Dequantize(levels=8, seed=1), AffineCoupling()])
    flow = Flow(block, event_shape=(4,))
    x = np.random.default_rng(0).integers(0, 8, (5, 4))
    model = load(export(flow, tmp_path, batch=x))
    np.testing.assert_array_equal(model.reconstruct(x), x)
    np.testing.assert_array_equal(model.sample(9, seed=1) % 1, 0)
    first, second = model.forward(x), model.forward(x)
    assert np.abs(first - second).max() > 1e-3  # fresh noise
    np.testing.assert_allclose(np.floor(model.inverse(first)), x)
    assert model.card["stochastic_forward"] and model.card["stability"]["measured_behind"] == [block[0].name]
    assert model.card["stability"]["singular_values"]["condition_number"] < 10


def test_noise_begins_where_the_models_stood(tmp_path):
    flow = Flow(Chain([Dequantize(levels=8, seed=1), AffineCoupling()]), event_shape=(4,))
    x = np.ones((5, 4), "float32")
    flow.log_prob(x)  # the model's noise has moved on
    path = export(flow, tmp_path)
    np.testing.assert_allclose(load(path).forward(x), flow.block.forward_and_log_det(x)[0], atol=1e-6)


def test_a_block_alone_has_no_density(tmp_path):
    block = AffineCoupling(name="alone")
    with pytest.raises(ValueError, match="alone, which is not built"):
        export(block, tmp_path)
    block.ensure_built((4,))
    model = load(export(block, tmp_path))
    assert set(model.signatures) == {"forward", "inverse", "reconstruct", "serving_default"}
    assert set(model.signatures["serving_default"].structured_outputs) == {"z", "log_det"}
    with pytest.raises(ValueError, match="log_prob"):
        model.log_prob(np.zeros([1, 4]))


def test_a_density_model_is_its_flow(make_flow):
    model = DensityModel(make_flow("real_nvp"))
    assert Served.of(model).flow is model.flow
    with pytest.raises(TypeError, match="an inntf block"):
        Served.of(keras.Sequential([keras.layers.Dense(2)]))


def test_double_precision_stays(tmp_path):
    block = AffineCoupling(dtype="float64").ensure_built((4,))
    _, signatures = trace(Served.of(block))
    assert signatures["forward"].structured_outputs["z"].dtype == tf.float64


def test_nothing_of_ours_is_in_the_saved_object(make_flow):
    root, signatures = trace(Served.of(make_flow("conditioned")))
    assert all(isinstance(v, tf.Variable) for v in root.variables)
    assert len(root.trainable_variables) == (2 + 4) + 2  # stacks of ActNorm and a two-layer MLP, and the embedding
    assert set(vars(root)) >= set(signatures) - {"serving_default"}


def test_a_reversible_flow_is_served_with_stored_gradients(tmp_path):
    flow = real_nvp(event_shape=4, depth=3, hidden=(8,), backprop="reversible")
    for v in flow.block.trainable_variables:
        v.assign_add(np.full(v.shape, 0.1, v.dtype))
    loaded = load(export(flow, tmp_path / "reversible").parent)
    gradients = []
    for model in (flow, loaded):
        x = tf.constant(np.random.default_rng(1).normal(size=(3, 4)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_prob = model.log_prob(x)
        gradients.append(tape.gradient(log_prob, x).numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gradients", [False, True])
def test_gradients_through_blocks_with_their_own_are_served_on_demand(gradients, tmp_path):
    block = Chain([ResidualBlock(), ResidualBlock()]).ensure_built((2,))
    z = np.array([[0.3, -1.0], [1.0, 2.0]], "float32")
    x = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(block.inverse(x) ** 2)
    want = tape.gradient(loss, x).numpy()
    path = export(block, tmp_path, gradients=gradients)
    child = f"""
import numpy as np, tensorflow as tf
model = tf.saved_model.load({str(path)!r})
z = tf.constant({z.tolist()!r}, tf.float32)
try:
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = tf.reduce_sum(model.signatures["inverse"](z=z)["x"] ** 2)
    print(tape.gradient(loss, z).numpy().tolist())
except LookupError:
    print("none")
"""
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    said = done.stdout.strip().splitlines()[-1]
    if gradients:
        np.testing.assert_allclose(ast.literal_eval(said), want, rtol=1e-4, atol=1e-5)
    else:
        assert said == "none"
