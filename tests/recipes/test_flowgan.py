"""The main job, small: what it leaves behind, what it refuses."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def flowgan(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "recipes.flowgan", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flowgan")
    done = flowgan("--preset", "smoke", "--out", folder / "run", "--export-dir", folder / "saved")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def test_it_leaves_report_result_logs_and_checkpoints(smoke):
    folder, done = smoke
    result = json.loads((folder / "run/result.json").read_text())
    assert result["recipe"] == "flowgan" and result["seed"] == 0 and result["machine"]
    numbers = result["metrics"]["hybrid_stable"]
    for key in (
        "bits_per_dim",
        "condition_number",
        "largest_singular_value",
        "smallest_singular_value",
        "fid",
        "certified_inverse",
    ):
        assert np.isfinite(numbers[key]), key
    assert numbers["reconstruction_error"]["nonfinite_share"] == 0
    assert numbers["largest_singular_value"] <= numbers["certified_forward"] * (1 + 1e-4)
    assert 1 / numbers["smallest_singular_value"] <= numbers["certified_inverse"] * (1 + 1e-4)
    refit = numbers["prior_refit"]
    assert refit["train_closed_form"] <= refit["train_before"]
    assert refit["relative_difference"] < 0.01
    assert (folder / "run/report.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "run/logs").rglob("events.out.tfevents*"))
    assert list((folder / "run/checkpoints").rglob("*.index"))
    assert "report.png" in done.stdout


def test_the_saved_model_serves_images(smoke):
    from inntf.serving import load

    folder, _ = smoke
    served = load(folder / "saved/flowgan")
    x = np.asarray(served.sample(2, seed=1))
    assert x.shape == (2, 28, 28, 1) or x.shape == (2, 32, 32, 1)
    assert np.all(x == np.round(x)) and x.min() >= 0 and x.max() <= 255
    again = np.asarray(served.sample(2, seed=1))
    np.testing.assert_array_equal(x, again)
    card = json.loads(next((folder / "saved/flowgan/1").rglob("card.json")).read_text())
    assert "flowgan" in json.dumps(card)


def test_a_used_folder_is_refused_and_kept(smoke):
    folder, _ = smoke
    before = (folder / "run/result.json").read_bytes()
    done = flowgan("--preset", "smoke", "--out", folder / "run", "--export-dir", folder / "saved")
    assert done.returncode == 2 and "Traceback" not in done.stderr and str(folder / "run") in done.stderr
    assert (folder / "run/result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--preset", "huge"], "smoke"),
        (["--preset", "smoke", "--dataset", "fashion_mnist", "--data-dir", "/nonexistent"], "recipes.prepare"),
        (["--preset", "smoke", "--out", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(arguments, word):
    done = flowgan(*arguments)
    assert done.returncode == 2, done.stderr[-2000:]
    assert word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint_and_mirrors(tmp_path):
    out = ["--preset", "smoke", "--out", tmp_path / "run", "--export-dir", tmp_path / "saved", "--strategy", "mirrored"]
    done = flowgan(*out, "--steps-hybrid", 8, INNTF_LOGICAL_CPUS="2")
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "run/result.json").unlink()
    again = flowgan(*out, "--steps-hybrid", 8, "--resume", INNTF_LOGICAL_CPUS="2")
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"]["hybrid_stable"]
