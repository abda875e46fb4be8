"""ONNX and LiteRT answer what the model answers, or are refused with the operation; nothing is half-written."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling, Logit
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
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")
RUNTIMES = {"onnx": onnx, "litert": litert}
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
    expected = {"forward": (x, [log_det, z]), "inverse": (z.numpy(), [back_log_det, back])}
    if "log_prob" in paths:
        expected["log_prob"] = (x, [model.log_prob(x)])
    if "encode" in paths:
        y = model.encode(x)
        expected |= {"encode": (x, [y]), "decode": (y.numpy(), [model.decode(y)])}
    assert set(expected) == set(paths)
    for name, (value, wanted) in expected.items():
        run = RUNTIMES[target].runner(paths[name].read_bytes())
        for found, right in zip(run(value), wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("target", RUNTIMES)
def test_data_with_bounds_are_compared_within_them(target, tmp_path):
    flow = Flow(Chain([Logit(), AffineCoupling()]), event_shape=(3,))
    paths = export_portable(shaken(flow), tmp_path, target=target)
    x = np.random.default_rng(2).uniform(size=(4, 3)).astype("float32")
    found = RUNTIMES[target].runner(paths["log_prob"].read_bytes())(x)[0]
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
    logits = RUNTIMES[target].runner(paths["classify"].read_bytes())(x)[0]
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
    monkeypatch.setattr(onnx, "runner", lambda content: lambda x: [value + 1e-3 for value in runner(content)(x)])
    with pytest.raises(NotPortableError, match=r"ONNX, forward: received log_det off by 0.001"):
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
    (found,) = onnx.runner(onnx.convert(frozen, "log1p"))(x)
    np.testing.assert_allclose(found, np.log1p(x.astype("float64")), rtol=5e-7)
