"""recipes/README.md is what its results give; a claim that fails or was not run stands as such."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import pytest

from recipes.common.errors import UserError
from recipes.results import page
from recipes.results.__main__ import Config, run
from recipes.results.cells import each, median
from recipes.results.records import FOLDER, Record, read_records
from recipes.results.tables import Claim, Table, claims, measured
from tests.house.source import ROOT

RECORDS = sorted(FOLDER.glob("*/*.json"))


def record(seed, **metrics):
    return Record("a", "flowgan", "python", seed, {}, "abc", {}, 60.0, "2026-01-01", metrics, {})


@pytest.fixture
def copied(tmp_path):
    """A copy of the sections and records."""
    shutil.copytree(FOLDER, tmp_path / "results", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path / "results"


@pytest.fixture
def finished(tmp_path):
    """The folder of a finished run, made from a record."""
    kept = json.loads((FOLDER / "toy_regression/small-gaussian_pairs-seed0.json").read_text())
    result = {
        **{key: kept[key] for key in ("recipe", "machine", "metrics", "claims", "finished")},
        "command": "python -m recipes.toy_regression --seed 7 --out /secret/a --export-dir=/secret/b --data-dir /secret/c",
        "config": {**kept["settings"], "out": "/secret/a", "export_dir": "/secret/b"},
        "seed": 7,
        "git_commit": "0123456789-dirty",
        "duration_seconds": 60.0,
    }
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_the_page_is_up_to_date_and_needs_no_tensorflow():
    code = (
        "import sys; from recipes.results.__main__ import main; code = main(['--check']);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_figure_changed_by_hand_is_noticed(tmp_path):
    changed = tmp_path / "README.md"
    changed.write_text(page.render().replace("6.85", "5.85", 1))
    with pytest.raises(UserError, match="README.md is not what its results give"):
        run(Config(check=True), readme=changed)
    run(Config(), readme=changed)
    run(Config(check=True), readme=changed)


@pytest.mark.parametrize(
    ("values", "bar", "judged", "expected"),
    [
        ([], ("at most", 1.0), "each", "not run"),
        ([None], ("at most", 1.0), "each", "not run"),
        ([0.5], ("at most", 1.0), "each", "yes: 0.50 (bar: at most 1)"),
        ([1.4], ("at most", 1.0), "each", "**no**: 1.4 (bar: at most 1)"),
        ([float("nan")], ("at most", 1.0), "each", "**no**: not finite (bar: at most 1)"),
        ([0.5, 1.4], ("at most", 1.0), "each", "**no**, 1 of 2 runs: 0.50, 1.4 (bar: at most 1)"),
        ([3.0, 9.0, 10.0], ("at least", 9.0), "median", "yes, as the median of 3 runs: 3.0, 9.0, 10 (bar: at least 9)"),
        ([3.0, 8.9, 10.0], ("at least", 9.0), "median", "**no**, as the median of 3 runs: 3.0, 8.9, 10 (bar: at least 9)"),
        ([1.0, None], ("below", 1.0), "each", "**no**: 1.0 (bar: below 1); not run with seed 1"),
        ([True, True], None, "each", "yes, each of 2 runs"),
        ([True, False], None, "each", "**no**, 1 of 2 runs"),
    ],
)
def test_verdicts(values, bar, judged, expected):
    claim = Claim("x", measured("x"), bar, judged)
    assert claim.verdict([record(seed, x=value) for seed, value in enumerate(values)]) == expected


@pytest.mark.parametrize(
    ("values", "bar", "judged", "expected"),
    [
        ([0.5, 0.6, None], ("at most", 1.0), "each", "**no**, 2 of 3 runs: 0.50, 0.60 (bar: at most 1); failed with seed 2"),
        ([20.0, None], ("at least", 10.0), "each", "**no**, 1 of 2 runs: 20 (bar: at least 10); failed with seed 1"),
        ([None, None], ("below", 1.0), "each", "**no**, 0 of 2 runs; failed with seed 0, 1"),
        ([None], None, "each", "**no**; failed with seed 0"),
        ([True, None], None, "each", "**no**, 1 of 2 runs; failed with seed 1"),
        (
            [9.0, 8.0, None],
            ("at least", 5),
            "median",
            "yes, as the median of 3 runs: 9.0, 8.0 (bar: at least 5); failed with seed 2",
        ),
        (
            [9.0, None, None],
            ("at least", 5),
            "median",
            "**no**, as the median of 3 runs: 9.0 (bar: at least 5); failed with seed 1, 2",
        ),
    ],
)
def test_a_training_that_failed_does_not_show_a_claim(values, bar, judged, expected):
    runs = [record(seed, x=value) for seed, value in enumerate(values)]
    runs = [dataclasses.replace(r, failed={} if r.metrics["x"] is not None else {"x": "its inverse was lost"}) for r in runs]
    assert Claim("x", measured("x"), bar, judged, of=["y", "x"]).verdict(runs) == expected
    assert "failed" not in Claim("x", measured("x"), bar, judged, of=["y"]).verdict(runs)
    text = Table({"X": "x", "Y": "y"}, {"value": each("")})(runs)
    assert text.count("failed") == values.count(None) and "| Y | not run |" in text


def test_the_kept_records_count_the_inverse_that_was_lost():
    (lost,) = (r for r in read_records("classification") if r.failed)
    assert lost.seed == 2 and set(lost.failed) == {"affine_conv1x1_fd"}
    text = page.render()
    assert "condition number without a regularizer over that with fd | **no**, 2 of 3 runs: 4.8e5, 9.7e6" in text


def test_what_was_not_run_stands_as_such():
    table = Table({"A": "a", "B": "b"}, {"error": each("error"), "median": median("error")})
    assert "Not run" in table([])
    text = table([record(0, a={"error": 1.0}), record(1, a={"error": 3.0})])
    assert "| A | 1.0, 3.0 | 2.0 |" in text and "| B | not run | not run |" in text
    assert "1.0, not run" in table([record(0, a={"error": 1.0}), record(1)])
    assert claims(Claim("c", measured("c")))([]).endswith("| c | not run |")


def test_a_run_is_added_without_folders(copied, finished, tmp_path, capsys):
    run(Config(add=finished), copied, tmp_path / "README.md")
    (added,) = (r for r in read_records("toy_regression", copied) if r.seed == 7)
    assert added.command == "python -m recipes.toy_regression --seed 7 --data-dir DIR"
    assert "secret" not in (copied / f"toy_regression/{added.name}.json").read_text()
    text = (tmp_path / "README.md").read_text()
    assert added.failed == {} and "| 7 | flow loss, 1e-6 |" in text and "0123456-dirty" in text and "each of 4 runs" in text
    run(Config(add=finished), copied, tmp_path / "README.md")  # the same once more
    result = json.loads((finished / "result.json").read_text())
    (finished / "result.json").write_text(json.dumps({**result, "git_commit": "another"}))
    with pytest.raises(UserError, match="holds another result"):
        run(Config(add=finished), copied, tmp_path / "README.md")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("metrics"), "metrics is missing"),
        (lambda r: r.update(recipe="digits"), "a run of digits"),
        (lambda r: r["config"].update(preset="smoke"), "preset smoke"),
    ],
)
def test_what_is_no_result_is_refused(change, message, copied, finished, tmp_path):
    result = json.loads((finished / "result.json").read_text())
    change(result)
    (finished / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=message):
        run(Config(add=finished), copied, tmp_path / "README.md")
    assert not (tmp_path / "README.md").exists() and len(list(copied.glob("*/*.json"))) == len(RECORDS)


def test_an_unfinished_run_is_refused(copied, tmp_path):
    with pytest.raises(UserError, match="Name the folder of a finished run"):
        run(Config(add=tmp_path), copied, tmp_path / "README.md")


def test_a_result_with_which_the_page_cannot_be_made_goes_again(copied, finished, tmp_path):
    (copied / "toy_regression/section.md").write_text("{{models}}")
    with pytest.raises(UserError, match="no place for"):
        run(Config(add=finished), copied, tmp_path / "README.md")
    assert len(list(copied.glob("*/*.json"))) == len(RECORDS)


def test_an_unknown_placeholder_is_refused(copied):
    with open(copied / "toy_regression/section.md", "a") as file:
        file.write("{{modles}}")
    with pytest.raises(UserError, match="modles"):
        page.render(copied)


def test_records_are_small_and_name_no_folder():
    assert sum(path.stat().st_size for path in RECORDS) < 500_000
    for path in RECORDS:
        assert not re.search(r"[\"' =](/|~)\w", path.read_text()), path
