"""The main job, small: what it leaves behind, what it refuses."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from recipes.common.data import load_images
from recipes.common.experiment import Run
from recipes.flowgan import experiment
from recipes.flowgan.settings import PRESETS

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
    where = ["--out", folder / "run", "--export-dir", folder / "saved"]
    done = flowgan("--preset", "smoke", "--no-warm-start", *where)  # one training; with likelihood first: benchmarks
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
    where = ["--out", folder / "run", "--export-dir", folder / "saved"]
    done = flowgan("--preset", "smoke", "--no-warm-start", *where)  # one training; with likelihood first: benchmarks
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
    assert set(json.loads((tmp_path / "run/result.json").read_text())["metrics"]) == {"hybrid_stable"}
    assert list((tmp_path / "run/checkpoints").rglob("mle_stable/*.index"))


def test_adversarial_training_goes_on_from_the_likelihood():
    config = dataclasses.replace(PRESETS["smoke"], objective="hybrid", architecture="stable")
    assert experiment.trainings(config) == [("mle", "stable"), ("hybrid", "stable")]  # trained first, not reported
    assert experiment.variants(config) == [("hybrid", "stable")]
    assert experiment.trainings(dataclasses.replace(config, warm_start=False)) == [("hybrid", "stable")]


def test_samples_on_the_way_are_kept(smoke):
    folder, _ = smoke
    assert {p.name for p in (folder / "run").glob("samples_hybrid_stable_*.npz")} == {
        f"samples_hybrid_stable_{step:06d}.npz" for step in (2, 4)
    }


def test_weights_are_those_of_the_likelihood_with_warm_start_alone(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], levels=1, depth_unstable=1, architecture="unstable", out=tmp_path / "run")
    run = Run(None, tf.distribute.get_strategy(), tmp_path)
    data = load_images("mnist_5k").first(train=256, test=8)
    first = experiment.make(config, run, data, "mle", "unstable", after=None)
    for weight in first.block.trainable_weights:
        weight.assign_add(tf.ones_like(weight))
    gone_on = experiment.make(config, run, data, "adv", "unstable", after=first.flow)
    anew = experiment.make(dataclasses.replace(config, warm_start=False), run, data, "adv", "unstable", after=first.flow)
    for a, b in zip(first.block.get_weights(), gone_on.block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.abs(a - c).max() > 0.5 for a, c in zip(first.block.get_weights(), anew.block.get_weights(), strict=True))


def test_what_a_run_trains():
    small = PRESETS["small"]
    one = dataclasses.replace(small, objective="adv", architecture="unstable")
    assert experiment.trainings(one) == [("mle", "unstable"), ("adv", "unstable")]
    assert experiment.trainings(dataclasses.replace(one, warm_start=False)) == experiment.variants(one) == [("adv", "unstable")]
    assert [f"{o}_{a}" for o, a in experiment.trainings(small)] == list(experiment.PAIRS)
