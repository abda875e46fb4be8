"""The folder: whole or not there, never overwritten, the card in it."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling
from inntf.serving import export, load, read_card
from inntf.serving import export as export_function
from inntf.serving.folder_moves import move, sweep


@pytest.fixture
def block():
    return AffineCoupling(name="tiny").ensure_built((2,))


@pytest.fixture
def quick(monkeypatch):
    """Folders without the seconds of TensorFlow: a SavedModel of two bytes."""

    def save(root, path, signatures, options):
        os.makedirs(f"{path}/variables")
        with open(f"{path}/saved_model.pb", "w") as file:
            file.write("ok")

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr(sys.modules["inntf.serving.export"], "rehearse", lambda *_: {"faults": []})
    monkeypatch.setattr(sys.modules["inntf.serving.export"], "compact", lambda _: None)


def test_versions_count_up(block, tmp_path, quick):
    folder = tmp_path / "saved_models" / "tiny"
    assert export(block, folder) == folder / "1"
    assert export(block, str(folder)) == folder / "2"
    assert export(block, folder.parent, name="tiny") == folder / "3"
    assert export(block, folder, version=10) == folder / "10"
    assert export(block, folder) == folder / "11"
    (folder / "notes").mkdir()
    assert export(block, folder) == folder / "12"
    assert sorted(p.name for p in folder.iterdir()) == ["1", "10", "11", "12", "2", "3", "notes"]


def test_a_version_is_never_overwritten(block, tmp_path, quick):
    path = export(block, tmp_path, version=4)
    (path / "mark").touch()
    with pytest.raises(FileExistsError, match=r"version 4.*Nothing was changed"):
        export(block, tmp_path, version=4)
    assert (path / "mark").exists() and os.listdir(tmp_path) == ["4"]
    assert export(block, tmp_path, version=4, overwrite=True) == path
    assert not (path / "mark").exists() and os.listdir(tmp_path) == ["4"]


def test_a_failure_leaves_nothing(block, tmp_path, monkeypatch):
    def half(root, path, signatures, options):
        os.makedirs(path)
        open(f"{path}/saved_model.pb", "w").close()
        raise RuntimeError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", half)
    with pytest.raises(RuntimeError, match="disk full"):
        export(block, tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []
    (tmp_path / "kept").mkdir()
    with pytest.raises(RuntimeError, match="disk full"):
        export(block, tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"] and os.listdir(tmp_path / "kept") == []


def test_a_failure_at_the_last_step_leaves_nothing(block, tmp_path, monkeypatch, quick):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setitem(export_function.__globals__, "write_card", fail)
    with pytest.raises(KeyboardInterrupt):
        export(block, tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_failed_replacement_keeps_the_old(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mark").touch()
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "not there", tmp_path / "1", overwrite=True)
    assert (tmp_path / "1" / "mark").exists() and os.listdir(tmp_path) == ["1"]


def test_exports_at_once_get_versions_of_their_own(tmp_path):
    # Two writers that chose the same number: the rename of the second is refused, nothing is mixed.
    sources = [tmp_path / f".{i}" for i in range(2)]
    for source in sources:
        source.mkdir()
        (source / "mark").write_text(source.name)
    moved = []
    threads = [threading.Thread(target=lambda s=s: moved.append(move(s, tmp_path / "1", overwrite=False))) for s in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [False, True]


@pytest.mark.parametrize("version", [0, -1, 1.0, "2", True, 2**63])
def test_bad_versions(block, tmp_path, version):
    with pytest.raises(ValueError, match="positive integer"):
        export(block, tmp_path, version=version)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "7", ""])
def test_bad_names(block, tmp_path, name):
    with pytest.raises(ValueError, match="letters"):
        export(block, tmp_path, name=name)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(block, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Choose another directory"):
        export(block, tmp_path / "file")
    with pytest.raises(OSError, match="Choose another directory"):
        export(block, tmp_path / "file" / "below")


def test_the_folder_can_be_read_by_others(block, tmp_path, quick):
    mask = os.umask(0o022)
    try:
        path = export(block, tmp_path / "new")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o755


def test_the_card(block, tmp_path, quick):
    x = np.random.default_rng(0).normal(size=(6, 2))
    figures = {"loss": np.float32(1.5), "curve": np.arange(2), "worst": float("inf"), "when": tmp_path}
    path = export(block, tmp_path / "tiny", card=figures, batch=x)
    card = json.loads((path / "card.json").read_text(), parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    assert card == read_card(path)
    assert (card["name"], card["version"], card["kind"], card["dtype"]) == ("tiny", 1, "AffineCoupling", "float32")
    assert (card["event_shape"], card["latent_shape"], card["condition_shape"]) == ([2], [2], None)
    assert card["training"] == {"loss": 1.5, "curve": [0, 1], "worst": "inf", "when": str(tmp_path)}
    assert card["parameters"] == sum(int(np.prod(v.shape)) for v in block.trainable_variables)
    assert card["size_bytes"] == 2 and not card["stochastic_forward"] and card["default_signature"] == "forward"
    assert set(card["signatures"]) == {"forward", "inverse", "reconstruct"}
    assert card["signatures"]["forward"] == {
        "inputs": {"x": {"dtype": "float32", "shape": [None, 2]}},
        "outputs": {"z": {"dtype": "float32", "shape": [None, 2]}, "log_det": {"dtype": "float32", "shape": [None]}},
    }
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["stability"]["samples"] == card["stability"]["reconstruction_error"]["count"] == 6
    assert card["stability"]["reconstruction_error"]["max"] < 1e-5
    # A fresh coupling is the identity.
    assert card["stability"]["singular_values"]["condition_number"] == pytest.approx(1.0, abs=1e-6)


def test_what_a_killed_export_left_is_removed_a_day_later(block, tmp_path, quick):
    for name, age in (("old", 90_000), ("young", 60)):
        (tmp_path / f".export-{name}").mkdir()
        (tmp_path / f".export-{name}" / "saved_model.pb").write_bytes(b"half")
        os.utime(tmp_path / f".export-{name}", (time.time() - age,) * 2)
    export(block, tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".export-young", "1"]


def killed_between_two_renames(folder, monkeypatch):
    """A process that ends there undoes nothing: neither may the exception that stands for it."""
    rename, count = pathlib.Path.rename, itertools.count()

    def once(self, target):
        if next(count):
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", once)
        with pytest.raises(KeyboardInterrupt):
            move(folder / "new", folder / "7", overwrite=True)


def test_a_version_that_was_being_replaced_as_the_process_was_killed_is_loaded_and_put_back(block, tmp_path, monkeypatch):
    (export(block, tmp_path, version=7) / "mark").touch()
    killed_between_two_renames(tmp_path, monkeypatch)
    (aside,) = os.listdir(tmp_path)
    assert aside.startswith(".old-7-")
    model = load(tmp_path)
    assert model.version == load(tmp_path, version=7).version == 7 and model.path.name == aside
    model.forward([[0.0, 0.0]])
    assert export(block, tmp_path).name == "8" and sorted(os.listdir(tmp_path)) == ["7", "8"]
    assert (tmp_path / "7" / "mark").exists()


def test_what_has_been_replaced_is_swept_and_versions_set_aside_are_not_lost_to_a_race(block, tmp_path, quick):
    for name in ("1", f".old-1-{0:032x}", f".old-2-{0:032x}", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text(name)
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["1", "2", "new"] and (tmp_path / "1" / "mark").read_text() == "1"
    # Another export sweeps between the two renames: the old version is back, and is replaced all the same.
    rename, swept = pathlib.Path.rename, []

    def with_a_sweep(self, target):
        if self.name == "new" and not swept:
            swept.append(True)
            sweep(tmp_path)
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", with_a_sweep)
        assert move(tmp_path / "new", tmp_path / "2", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["1", "2"] and (tmp_path / "2" / "mark").read_text() == "new"


@pytest.mark.parametrize("batch", [tf.data.Dataset.range(4), {"x": [1.0]}, ["a"], 1.0], ids=["dataset", "dict", "text", "one"])
def test_a_batch_that_is_no_array_is_refused_at_once(batch, block, tmp_path):
    with pytest.raises(TypeError, match=r"export: received batch of type \w+, expected numbers.*next\(iter\(dataset\)\)"):
        export(block, tmp_path / "a", batch=batch)
    assert os.listdir(tmp_path) == []


def test_figures_that_are_no_data(block, tmp_path, quick):
    with pytest.raises(TypeError, match=r"card\['model'\]|card\['training'\]\['model'\]"):
        export(block, tmp_path / "a", card={"model": object()})
    assert os.listdir(tmp_path) == []


def test_loading_what_is_not_there(block, tmp_path, quick):
    with pytest.raises(FileNotFoundError, match="no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no version"):
        load(tmp_path)
    export(block, tmp_path, version=3)
    (tmp_path / "9").mkdir()  # no model: a copy under way
    with pytest.raises(FileNotFoundError, match="version=9, expected one of 3"):
        load(tmp_path, version=9)


def test_loading_the_newest_one_or_another(exported, tmp_path):
    path = exported("real_nvp").path
    for version in ("2", "10"):
        os.symlink(path, tmp_path / version)
    assert load(tmp_path).version == 10
    assert load(tmp_path, version=2).version == 2
    model = load(tmp_path / "2")
    assert model.version == 2 and model.card["training"] == {"epochs": 3} and "log_prob" in repr(model)


def test_wrong_arguments_of_a_loaded_model(exported):
    model, conditioned = exported("real_nvp").model, exported("conditioned").model
    with pytest.raises(ValueError, match=r"log_prob: x: received shape \(4,\), expected shape \(batch, 4\)"):
        model.log_prob(np.zeros(4))
    with pytest.raises(ValueError, match="received a condition"):
        model.log_prob(np.zeros([1, 4]), np.zeros([1, 2]))
    with pytest.raises(ValueError, match="no condition"):
        conditioned.log_prob(np.zeros([1, 4]))


@pytest.mark.parametrize("leads", [True, False])
def test_a_link_in_the_place_of_a_version_is_replaced_and_what_it_leads_to_stays(leads, block, tmp_path, quick):
    kept = tmp_path / "elsewhere"
    if leads:
        kept.mkdir()
        (kept / "mine").write_text("kept")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "1").symlink_to(kept, target_is_directory=True)
    with pytest.raises(FileExistsError, match="holds already"):
        export(block, folder, version=1)
    path = export(block, folder, version=1, overwrite=True)
    assert not path.is_symlink() and (path / "saved_model.pb").exists()
    assert not leads or (kept / "mine").read_text() == "kept"
    assert [p.name for p in folder.iterdir()] == ["1"]
