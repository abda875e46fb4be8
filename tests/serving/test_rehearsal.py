"""An export is tried out in another process before it appears; what does not do there what it does here is refused."""

from __future__ import annotations

import concurrent.futures
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Dequantize
from inntf.compose import Chain
from inntf.models import Flow, inn_autoencoder, real_nvp
from inntf.serving import ExportRefusedError, export, read_card
from inntf.serving.rehearsal import _difference, _report, _stage

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def unstable():
    flow = real_nvp(event_shape=3, depth=6, hidden=(32,), heavy_tails=False)  # the default keeps its inverse even so
    for w in flow.block.trainable_weights:
        w.assign(2.0 * tf.random.stateless_normal(w.shape, [1, 2]))
    return flow


def test_an_unstable_model_is_refused_with_the_reason_and_leaves_nothing(tmp_path):
    with pytest.raises(ExportRefusedError, match=r"its inverse loses up to .* of 8 samples.*force=True") as refused:
        export(unstable(), tmp_path / "models", name="bad", batch=X)
    assert refused.value.report["round_trip_error"] > 1e-2 and os.listdir(tmp_path) == []


def test_forced_it_is_exported_and_the_card_says_so(tmp_path):
    card = read_card(export(unstable(), tmp_path, batch=X, force=True))
    assert "its inverse loses" in card["rehearsal"]["faults"][0]


def test_an_inverse_that_is_not_finite_is_counted(tmp_path):
    block = Chain([ActNorm(), ActNorm()]).ensure_built((3,))
    for part in block:
        part.trainable_weights[1].assign(np.full(3, 60.0))
    with pytest.raises(ExportRefusedError, match="gives NaN or infinity at 8 of 8 samples"):
        export(block, tmp_path, batch=X)


def test_without_data_a_model_is_tried_on_its_own_samples_and_nothing_is_drawn_from_it(tmp_path):
    flow = Flow(Chain([Dequantize(levels=8, seed=1), AffineCoupling()]), event_shape=(4,))
    states = [v.numpy() for v in flow.block.variables]
    card = read_card(export(flow, tmp_path))
    assert card["rehearsal"]["rows"] == 8 and card["rehearsal"]["faults"] == []
    assert card["rehearsal"]["signatures"] == ["forward", "inverse", "log_prob", "reconstruct", "sample", "score"]
    for variable, before in zip(flow.block.variables, states, strict=True):
        np.testing.assert_array_equal(variable, before)


@pytest.mark.parametrize("kind", ["condition", "autoencoder", "few rows"])
def test_every_kind_of_model_is_tried(kind, tmp_path):
    model = {
        "condition": lambda: real_nvp(event_shape=3, depth=2, hidden=(8,), condition_shape=2),
        "autoencoder": lambda: inn_autoencoder((8, 8, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0),
        "few rows": lambda: real_nvp(event_shape=3, depth=2, hidden=(8,)),
    }[kind]()
    given = {"batch": X[:3]} if kind == "few rows" else {}
    report = read_card(export(model, tmp_path, **given))["rehearsal"]
    assert report["faults"] == [] and report["round_trip_error"] < 1e-5
    assert report["rows"] == (3 if kind == "few rows" else 8)


def test_one_condition_stands_for_the_whole_batch(tmp_path):
    flow = real_nvp(event_shape=3, depth=2, hidden=(8,), condition_shape=2)
    card = read_card(export(flow, tmp_path, batch=X, condition=np.ones(2)))
    assert card["rehearsal"]["faults"] == [] and card["rehearsal"]["rows"] == 8 and card["stability"]["samples"] == 20
    with pytest.raises(ValueError, match="3 conditions for 20 samples, expected a condition for each"):
        export(flow, tmp_path, batch=X, condition=np.ones((3, 2)))


def test_what_cannot_be_loaded_elsewhere_is_refused(tmp_path, monkeypatch):
    damaged = lambda folder: (folder / "saved_model.pb").write_text("no model")  # noqa: E731
    monkeypatch.setattr(sys.modules["inntf.serving.export"], "compact", damaged)
    with pytest.raises(ExportRefusedError, match="does not run in another process"):
        export(real_nvp(event_shape=3, depth=1, hidden=(4,)), tmp_path / "models")
    assert os.listdir(tmp_path) == []


def test_a_process_that_dies_is_told_and_another_one_starts(tmp_path):
    there = _stage._started()
    there.kill()
    there.wait()
    assert export(real_nvp(event_shape=3, depth=1, hidden=(4,)), tmp_path).exists()
    assert "error" in _stage.perform({"model": str(tmp_path / "none"), "inputs": "", "outputs": ""})


def test_exports_in_threads_get_their_own_answers():
    def ask(i):
        return _stage.perform({"model": f"none-{i}", "inputs": "", "outputs": ""})["error"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, answer in enumerate(pool.map(ask, range(40))):
            assert f"none-{i}" + os.sep in answer


def test_numbers_that_differ_are_named():
    here, there = {"forward/z": np.ones(3)}, {"forward/z": np.array([1.0, 1.0, 1.1])}
    (fault,) = _report(None, here, there, {"load_seconds": 0.1})["faults"]
    assert fault.startswith("forward/z differs in another process, by 0.1")
    assert _difference(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])) == 0.0
    assert _difference(np.array([np.nan]), np.array([1.0])) == _difference(np.ones(2), np.ones(3)) == float("inf")


def test_a_relative_folder_is_found_from_wherever_the_other_process_began(tmp_path, monkeypatch):
    flow = real_nvp(event_shape=3, depth=1, hidden=(4,))
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        assert read_card(export(flow, "models"))["rehearsal"]["faults"] == []
