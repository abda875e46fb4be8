"""ONNX and LiteRT answer what the model answers, or are refused with the operation; nothing is half-written."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from inntf.blocks import ActNorm, AffineCoupling, Logit, Permutation
from inntf.compose import Chain
from inntf.models import (
    Flow,
    autoregressive_flow,
    ffjord,
    glow,
    i_resnet_classifier,
    inn_autoencoder,
    real_nvp,
    residual_flow,
    spline_flow,
)
from inntf.numerics.transformers import SoftplusScale
from inntf.serving import NotPortableError, export_portable, litert, onnx, portable
from inntf.stability.find_block import find_block

pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
Interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
RUNTIMES = {"onnx": onnx, "litert": litert}


def onnx_answers(path, given):
    """By the runtime alone: outputs by name, in the file's order."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))


def litert_answers(path, given):
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == [path.stem]
    run = interpreter.get_signature_runner(path.stem)
    assert list(run.get_input_details()) == list(given)
    places = [one["index"] for one in interpreter.get_output_details()]
    found, details = run(**given), run.get_output_details()
    return {key: found[key] for key in sorted(details, key=lambda key: places.index(details[key]["index"]))}


ANSWERS = {"onnx": onnx_answers, "litert": litert_answers}
FACTORIES = {
    "real_nvp": lambda: real_nvp(event_shape=3, depth=3, hidden=(8,), activation="softplus"),
    "softplus, gelu": lambda: real_nvp(event_shape=3, depth=2, hidden=(8,), scale=SoftplusScale(), activation="gelu"),
    "maf": lambda: autoregressive_flow(event_shape=4, depth=2, hidden=(8,)),
    "iaf": lambda: autoregressive_flow(event_shape=4, depth=2, hidden=(8,), kind="iaf"),
    "spline_flow": lambda: spline_flow(event_shape=3, depth=2, hidden=(6,), num_bins=4),
    "glow": lambda: glow(event_shape=(4, 4, 2), levels=2, depth=2, hidden=4),
    "inn_autoencoder": lambda: inn_autoencoder((8, 8, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0),
}
ITERATE = {
    "residual_flow": lambda: residual_flow(event_shape=2, depth=2, hidden=(4,)),
    "ffjord": lambda: ffjord(event_shape=2, hidden=(4,)),
    "i_resnet_classifier": lambda: i_resnet_classifier(
        event_shape=(8, 8, 1), blocks=(1, 1), hidden=(4, 4), channels=4, classes=3
    ),
}


def shaken(model):
    rng = np.random.default_rng(0)
    for v in find_block(model).trainable_variables:
        v.assign(v + 0.1 * rng.normal(size=v.shape).astype(v.dtype))
    return model


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("kind", FACTORIES)
def test_each_file_answers_for_any_batch(kind, target, tmp_path):
    model = shaken(FACTORIES[kind]())
    block = find_block(model)
    paths = export_portable(model, tmp_path / "new", target=target)
    assert set(os.listdir(tmp_path / "new")) == {path.name for path in paths.values()}
    rng = np.random.default_rng(3)
    x = rng.normal(size=(7, *block.event_shape)).astype("float32")
    z, log_det = block.forward_and_log_det(x)
    back, back_log_det = block.inverse_and_log_det(z)
    expected = {
        "forward": ({"x": x}, {"z": z, "log_det": log_det}),
        "inverse": ({"z": z.numpy()}, {"x": back, "log_det": back_log_det}),
    }
    if "log_prob" in paths:
        expected["log_prob"] = ({"x": x}, {"log_prob": model.log_prob(x), "bits_per_dim": model.bits_per_dim(x)})
    if "encode" in paths:
        y = model.encode(x)
        expected |= {"encode": ({"x": x}, {"y": y}), "decode": ({"y": y.numpy()}, {"x": model.decode(y)})}
    assert set(expected) == set(paths)
    for name, (given, wanted) in expected.items():
        found = ANSWERS[target](paths[name], given)
        assert list(found) == list(wanted)
        for key, right in wanted.items():
            np.testing.assert_allclose(found[key], right, rtol=1e-4, atol=1e-5, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("target", RUNTIMES)
def test_names_are_those_of_the_signature_where_a_map_does_nothing(target, tmp_path):
    """Where an output is the input itself, or a constant, converters leave nothing to name."""
    x = np.random.default_rng(1).normal(size=(3, 2)).astype("float32")
    paths = export_portable(Permutation([0, 1]).ensure_built((2,)), tmp_path, target=target)
    found = ANSWERS[target](paths["forward"], {"x": x})
    assert list(found) == ["z", "log_det"]
    np.testing.assert_array_equal(found["z"], x)
    np.testing.assert_array_equal(found["log_det"], np.zeros(3))


BASES = {
    "named so, and another": lambda: normal([3.0, 0.0], [2.0, 1.0], "standard_normal"),
    "one by another name": lambda: normal([0.0, 0.0], [1.0, 1.0], "mine"),
    "with ends": lambda: tfd.Independent(tfd.Uniform([-9.0, -9.0], [9.0, 9.0]), 1),
}


def normal(loc, scale, name):
    return tfd.Independent(tfd.Normal(tf.constant(loc), tf.constant(scale)), 1, name=name)


@pytest.mark.parametrize("kind", BASES)
def test_a_base_is_what_it_is_whatever_its_name(kind, tmp_path):
    flow = shaken(Flow(ActNorm(), BASES[kind](), event_shape=(2,)))
    x = np.random.default_rng(1).normal(size=(3, 2)).astype("float32")
    found = onnx_answers(export_portable(flow, tmp_path, functions=["log_prob"])["log_prob"], {"x": x})
    np.testing.assert_allclose(found["log_prob"], flow.log_prob(x), rtol=1e-5)


def test_a_density_is_compared_with_the_models_own(tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "is_standard_normal", lambda base: True)
    flow = Flow(ActNorm(), normal([3.0, 0.0], [2.0, 1.0], "mine"), event_shape=(2,))
    with pytest.raises(NotPortableError, match="ONNX, log_prob: received log_prob off by"):
        export_portable(flow, tmp_path / "new", functions=["log_prob"])


@pytest.mark.parametrize("target", RUNTIMES)
def test_data_with_bounds_are_compared_within_them(target, tmp_path):
    flow = Flow(Chain([Logit(), AffineCoupling()]), event_shape=(3,))
    paths = export_portable(shaken(flow), tmp_path, target=target)
    x = np.random.default_rng(2).uniform(size=(4, 3)).astype("float32")
    found = RUNTIMES[target].runner(paths["log_prob"].read_bytes())(x)["log_prob"]
    np.testing.assert_allclose(found, flow.log_prob(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("kind", ITERATE)
def test_what_iterates_is_refused_with_the_operation_and_leaves_nothing(kind, target, tmp_path):
    model = ITERATE[kind]()
    for name in ("forward", "inverse"):
        with pytest.raises(NotPortableError, match=rf"{RUNTIMES[target].TITLE}, {name}: received \w+.*Nothing was written"):
            export_portable(model, tmp_path / "new", target=target, functions=[name])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", RUNTIMES)
def test_a_classifier_that_iterates_backwards_only_still_classifies(target, tmp_path):
    model = i_resnet_classifier(event_shape=(8, 8, 1), blocks=(2, 1), hidden=(4, 4), channels=4, classes=3)
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
    model.initialize(x)
    paths = export_portable(model, tmp_path, target=target, functions=["classify"])
    logits = RUNTIMES[target].runner(paths["classify"].read_bytes())(x)["logits"]
    np.testing.assert_allclose(logits, model(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("asked", "traced"), [("inverse", {"inverse"}), ("log_prob", {"log_prob", "forward"})])
def test_nothing_is_traced_that_is_not_asked_for(asked, traced, tmp_path, monkeypatch):
    seen, concrete = [], portable.concrete
    monkeypatch.setattr(
        portable, "concrete", lambda served, name, *a, **k: seen.append(name) or concrete(served, name, *a, **k)
    )
    export_portable(FACTORIES["real_nvp"](), tmp_path, functions=[asked])
    assert set(seen) == traced


def test_a_file_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    runner = onnx.runner
    monkeypatch.setattr(onnx, "runner", lambda content: lambda x: {k: v + 1e-3 for k, v in runner(content)(x).items()})
    with pytest.raises(NotPortableError, match=r"ONNX, forward: received \w+ off by 0.001"):
        export_portable(FACTORIES["real_nvp"](), tmp_path / "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"target": "tflite"}, "one of onnx, litert"), ({"functions": ["sample"]}, "some of forward, inverse, log_prob")],
)
def test_bad_arguments_are_refused(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        export_portable(FACTORIES["real_nvp"](), tmp_path / "new", **changes)
    with pytest.raises(ValueError, match="a model with a condition"):
        export_portable(real_nvp(event_shape=2, depth=1, condition_shape=2), tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_outside_of_an_export_nothing_is_written_out():
    flow = FACTORIES["real_nvp"]()
    graph = tf.function(flow.block.forward).get_concrete_function(tf.TensorSpec([None, 3])).graph
    assert any("While" in op.type for op in graph.get_operations())


def test_log1p_is_right_for_small_numbers_in_onnx():
    x = np.array([1e-9, -1e-7, 3e-4, -0.4, 0.0, 20.0, 1e8], "float32")
    frozen = tf.function(lambda x: [tf.math.log1p(x)], autograph=False).get_concrete_function(tf.TensorSpec([None], tf.float32))
    found = onnx.runner(onnx.convert(frozen, "log1p", ["x"], ["y"]))(x)
    np.testing.assert_allclose(found["y"], np.log1p(x.astype("float64")), rtol=5e-7)
