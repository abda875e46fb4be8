"""`python -m recipes.prepare sbibm` on a tiny wheel, good and bad."""

import bz2
import zipfile

import numpy as np
import pytest

from recipes import prepare
from recipes.common.errors import UserError
from recipes.common.sbibm_wheel import TASKS, prepare_sbibm
from recipes.inverse_problems.problems.reference import read_reference

RNG = np.random.default_rng(0)


def csv(table, name):
    header = ",".join(f"{name}_{i + 1}" for i in range(table.shape[1]))
    return "\n".join([header, *(",".join(map(repr, map(float, row))) for row in table)]) + "\n"


@pytest.fixture
def contents():
    """Files of a wheel with two observations of each task."""
    found = {}
    for task, (parameters, data) in TASKS.items():
        for k in (1, 2):
            folder = f"sbibm/tasks/{task}/files/num_observation_{k}"
            found[f"{folder}/observation.csv"] = csv(RNG.normal(size=(1, data)), "data").encode()
            found[f"{folder}/true_parameters.csv"] = csv(RNG.normal(size=(1, parameters)), "parameter").encode()
            posterior = csv(RNG.normal(size=(7, parameters)), "parameter").encode()
            found[f"{folder}/reference_posterior_samples.csv.bz2"] = bz2.compress(posterior)
    return found


def wheel(folder, contents):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "sbibm-1.1.0-py2.py3-none-any.whl", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return folder / "sbibm-1.1.0-py2.py3-none-any.whl"


@pytest.mark.parametrize("kind", ["wheel", "folder with the wheel", "unpacked"])
def test_what_is_in_the_wheel_is_read_back(tmp_path, contents, kind):
    source = wheel(tmp_path / "in", contents)
    if kind == "folder with the wheel":
        source = source.parent
    if kind == "unpacked":
        zipfile.ZipFile(source).extractall(source := tmp_path / "unpacked")
    assert prepare.main(["sbibm", "--source", str(source), "--data-dir", str(tmp_path / "data")]) == 0
    assert sorted(p.name for p in (tmp_path / "data" / "sbibm").iterdir()) == sorted(f"{task}.npz" for task in TASKS)
    second = read_reference("slcp", tmp_path / "data", (1, 2))[1]
    raw = contents["sbibm/tasks/slcp/files/num_observation_2/observation.csv"].decode().splitlines()[1]
    assert np.array_equal(second.observation, np.float32(raw.split(",")))
    assert second.posterior.shape == (7, 5) and second.posterior.dtype == np.float32 and second.number == 2


def test_nothing_is_overwritten(tmp_path, contents):
    source = wheel(tmp_path / "in", contents)
    prepare_sbibm(source, tmp_path)
    with pytest.raises(UserError, match="already"):
        prepare_sbibm(source, tmp_path)


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("observation.csv", None, "is missing"),
        ("observation.csv", b"a,b\n1.0,2.0\n3.0,4.0\n", r"received a table of shape \(2, 2\)"),
        ("true_parameters.csv", b"a\n1.0\n", r"expected \(1, 2\)"),
        ("reference_posterior_samples.csv.bz2", b"not bzip2", "cannot be read"),
        ("reference_posterior_samples.csv.bz2", bz2.compress(b"a,b\n1.0,nan\n"), "finite"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_written(tmp_path, contents, file, data, message):
    name = f"sbibm/tasks/two_moons/files/num_observation_1/{file}"
    contents[name] = data
    source = wheel(tmp_path / "in", {k: v for k, v in contents.items() if v is not None})
    with pytest.raises(UserError, match=message) as caught:
        prepare_sbibm(source, tmp_path / "data")
    assert file in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_source_that_is_no_wheel(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        prepare_sbibm(tmp_path / "nowhere.whl", tmp_path)
    with pytest.raises(UserError, match="no wheel"):
        prepare_sbibm(tmp_path, tmp_path)
    (tmp_path / "text.whl").write_text("text")
    with pytest.raises(UserError, match="zip archive"):
        prepare_sbibm(tmp_path / "text.whl", tmp_path)


def test_a_missing_reference_says_how_to_prepare_it(tmp_path, contents):
    with pytest.raises(UserError, match="recipes.prepare sbibm"):
        read_reference("slcp", tmp_path)
    prepare_sbibm(wheel(tmp_path / "in", contents), tmp_path)
    with pytest.raises(UserError, match="observation_3"):
        read_reference("slcp", tmp_path)
    with pytest.raises(UserError, match="expected one of"):
        read_reference("sir", tmp_path)
