"""Run folders: nothing is overwritten, a run can go on, results say where they come from."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from recipes.common import files, places, provenance, run_folder
from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.run_folder import RunFolder


def config(path, **settings):
    return RecipeConfig(out=path, **settings)


def contents(path):
    return {p.name: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_new_run_writes_its_settings(tmp_path):
    folder = RunFolder.open(config(tmp_path / "a" / "b", seed=3), "toy", argv=[])
    stored = json.loads((folder.path / "config.json").read_text())
    assert stored["recipe"] == "toy" and stored["seed"] == 3 and not folder.resumed and not folder.finished


def test_an_empty_folder_is_fine_with_and_without_resume(tmp_path):
    for name, resume in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        assert not RunFolder.open(config(tmp_path / name, resume=resume), "toy", argv=[]).resumed


@pytest.mark.parametrize("finish", [False, True])
def test_a_used_folder_is_refused_and_left_alone(tmp_path, finish):
    folder = RunFolder.open(config(tmp_path), "toy", argv=[])
    if finish:
        folder.finish({"loss": 1.0})
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"finished run.*--out" if finish else "--resume"):
        RunFolder.open(config(tmp_path), "toy", argv=[])
    assert contents(tmp_path) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    for resume in (False, True):
        with pytest.raises(UserError, match="nothing was changed"):
            RunFolder.open(config(tmp_path, resume=resume), "toy", argv=[])
    assert contents(tmp_path) == {"letter.txt": b"dear"}


def test_resume_goes_on_with_the_same_settings(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[]).note_progress(step=40)
    again = RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])
    assert again.resumed and not again.finished and again.progress()["step"] == 40


def test_resume_adds_up_the_time(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[]).write_json("progress.json", {"elapsed_seconds": 5000.0})
    assert RunFolder.open(config(tmp_path, resume=True), "toy", argv=[]).finish({})["duration_seconds"] >= 5000


@pytest.mark.parametrize("other", [{"seed": 1}, {"dataset": "cifar10"}, {"preset": "smoke"}])
def test_resume_of_another_run_is_refused(tmp_path, other):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    before = contents(tmp_path)
    with pytest.raises(UserError, match=next(iter(other))):
        RunFolder.open(config(tmp_path, resume=True, **other), "toy", argv=[])
    assert contents(tmp_path) == before
    assert RunFolder.open(config(tmp_path, resume=True, **other), "toy", argv=[], may_change=tuple(other)).resumed


def test_resume_of_another_recipe_is_refused(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    with pytest.raises(UserError, match="recipe 'toy' there"):
        RunFolder.open(config(tmp_path, resume=True), "other", argv=[])


def test_where_files_are_may_change_on_resume(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    moved = config(tmp_path, resume=True, data_dir=tmp_path / "data", export_dir=tmp_path / "models")
    assert RunFolder.open(moved, "toy", argv=[]).resumed


def test_a_finished_run_is_known_on_resume_and_has_one_result(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[]).finish({"loss": 1.5})
    again = RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])
    assert again.finished and again.result()["metrics"] == {"loss": 1.5}
    with pytest.raises(UserError, match="result already"):
        again.finish({"loss": 2.0})
    assert again.result()["metrics"] == {"loss": 1.5}


def test_the_result_says_where_it_comes_from(tmp_path):
    folder = RunFolder.open(config(tmp_path, seed=7), "toy", argv=["--seed", "7"])
    metrics = {"bits": np.float32(0.5), "per_class": np.arange(3), "broken": float("inf"), "n": np.int64(4)}
    folder.finish(metrics, exported=pathlib.Path("saved_models/toy/1"))
    result = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert result["metrics"] == {"bits": 0.5, "per_class": [0, 1, 2], "broken": "inf", "n": 4}
    assert result["command"] == "python -m recipes.toy --seed 7" and result["seed"] == 7
    assert result["config"]["preset"] == "small" and result["exported"] == "saved_models/toy/1"
    assert result["machine"]["cpu_count"] >= 1 and result["machine"]["versions"]["tensorflow"]
    assert result["duration_seconds"] >= 0 and "git_commit" in result and result["finished"]


def test_an_unusable_path_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        RunFolder.open(config(tmp_path / "file"), "toy", argv=[])
    with pytest.raises(UserError, match="--out"):
        RunFolder.open(config(tmp_path / "file" / "below"), "toy", argv=[])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_user_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        RunFolder.open(config(tmp_path), "toy", argv=[])


def test_damaged_settings_are_a_user_error(tmp_path):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json"):
        RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])


@pytest.mark.parametrize("text", ["", "[]", "3", '{"a": ', "\xff", "[" * 100_000, '"' + "a" * 10])
@pytest.mark.parametrize("name", ["config.json", "progress.json", "result.json"])
def test_a_file_that_holds_no_object_is_a_user_error(tmp_path, name, text):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=name):
        folder = RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])
        folder.progress(), folder.finished and folder.result()


def test_a_folder_in_the_place_of_a_file_is_a_user_error(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json"):
        RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])


def test_progress_of_another_form_is_a_user_error(tmp_path):
    folder = RunFolder.open(config(tmp_path), "toy", argv=[])
    for noted in (3, [1], {"a": 3}):
        folder.note_progress(variants=noted)
        with pytest.raises(UserError, match="variants"):
            folder.noted("variants")


def test_a_run_that_lives_keeps_others_out(tmp_path):
    with RunFolder.open(config(tmp_path), "toy", argv=[]):
        with pytest.raises(UserError, match=rf"in use.*process {os.getpid()}"):
            RunFolder.open(config(tmp_path, resume=True), "toy", argv=[])
        with pytest.raises(UserError, match="nothing was changed"):
            RunFolder.open(config(tmp_path), "toy", argv=[])
    assert RunFolder.open(config(tmp_path, resume=True), "toy", argv=[]).resumed


def test_the_lock_of_a_killed_process_is_no_obstacle_and_what_it_left_half_written_is_removed(tmp_path):
    code = (
        "import os, pathlib, signal; from recipes.common import files, run_lock\n"
        f"lock = run_lock.RunLock(pathlib.Path({str(tmp_path)!r})); lock.sign()\n"
        f"with files.atomic(pathlib.Path({str(tmp_path / 'config.json')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    folder = RunFolder.open(config(tmp_path), "toy", argv=[])
    assert not folder.resumed and {p.name for p in tmp_path.iterdir()} == {"config.json", ".lock"}


def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        RunFolder.open(config(tmp_path / "run"), "toy", argv=[])
    assert not (tmp_path / "run").exists()


def test_numbers_that_are_not_finite_come_back_as_numbers(tmp_path):
    folder = RunFolder.open(config(tmp_path), "toy", argv=[])
    folder.note_progress(variants={"a": {"error": float("inf"), "bits": [float("nan")]}})
    found = folder.noted("variants")["a"]
    assert found["error"] == float("inf") and np.isnan(found["bits"][0])
    assert np.isnan(folder.finish({"bits": float("nan")})["metrics"]["bits"])


@pytest.mark.parametrize("bad", ["file", "file/below", "x" * 300, "~nobody_of_that_name/x", "a\0b"])
def test_places_are_proved_before_the_run(tmp_path, bad):
    (tmp_path / "file").write_text("")
    path = pathlib.Path(bad) if bad.startswith("~") else tmp_path / bad
    with pytest.raises(UserError, match="--export-dir"):
        places.export_root(path, ["model"])
    with pytest.raises(UserError, match="--out"):
        RunFolder.open(config(path), "toy", argv=[])
    assert contents(tmp_path) == {"file": b""}


def test_proving_a_place_leaves_nothing(tmp_path):
    assert places.export_root(tmp_path / "a" / "b", ["x", "y"]) == tmp_path / "a" / "b"
    assert not any(tmp_path.iterdir())
    (tmp_path / "models").write_text("")
    with pytest.raises(UserError, match="models"):
        places.export_root(tmp_path, ["models"])


def test_of_two_runs_started_at_once_one_is_refused(tmp_path, monkeypatch):
    RunFolder.open(config(tmp_path), "toy", argv=[])
    monkeypatch.setattr(run_folder, "_prepare", lambda path: False)  # looked before the other one wrote
    with pytest.raises(UserError, match="unfinished run"):
        RunFolder.open(config(tmp_path), "toy", argv=[])


def test_a_user_error_at_the_start_gives_the_folder_back(tmp_path):
    with pytest.raises(UserError), RunFolder.open(config(tmp_path / "run"), "toy", argv=[]):
        raise UserError("no data")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError), RunFolder.open(config(tmp_path / "run"), "toy", argv=[]) as folder:
        folder.note_progress(step=1)
        raise UserError("later")
    assert (tmp_path / "run" / "progress.json").exists()


def test_without_out_the_folder_is_named_after_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunFolder.open(RecipeConfig(seed=4), "toy", argv=[])
    assert (tmp_path / "runs/toy/small-mnist_5k-seed4/config.json").exists()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    files.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ZeroDivisionError), files.atomic(tmp_path / "a.json") as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert contents(tmp_path) == {"a.json": b"1\n"}


def test_written_files_can_be_read_by_others(tmp_path):
    mask = os.umask(0o022)
    try:
        assert files.write_json(tmp_path / "a.json", 1).stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def test_no_commit_outside_of_git(tmp_path):
    assert provenance.git_commit(tmp_path) is None


def test_the_commit_says_when_files_have_changed(tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "f").write_text("1")
    for command in (["init", "-q"], ["add", "f"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    clean = provenance.git_commit(tmp_path)
    (tmp_path / "f").write_text("2")
    assert len(clean) == 40 and provenance.git_commit(tmp_path) == f"{clean}-dirty"


def test_the_command_line_does_not_need_tensorflow():
    """`--help` and mistyped flags answer at once."""
    code = "import sys, recipes.common.cli, recipes.common.run_folder, recipes.prepare; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
