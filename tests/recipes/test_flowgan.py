"""The main job, small: what it leaves behind, what it refuses."""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from recipes.common.data import load_images
from recipes.common.experiment import Run
from recipes.flowgan import experiment, measuring, models
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


def test_a_gradient_that_finds_half_of_the_gain_does_not_match_the_closed_form():
    refit = {"train_before": 6.651, "train_closed_form": 6.65, "train_gradient": 6.6505, "relative_difference": 0.5}
    for difference in (0.5, math.nan):
        found = experiment.claims({"mle_stable": {"prior_refit": {**refit, "relative_difference": difference}}})
        assert found["mle_stable: gradient refit within 1 % of the closed form"] is False
    found = experiment.claims({"mle_stable": {"prior_refit": {**refit, "relative_difference": 1e-3}}})
    assert found["mle_stable: gradient refit within 1 % of the closed form"] is True


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
    done = flowgan(*out, "--steps-hybrid", 8, "--replicas", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "run/result.json").unlink()
    again = flowgan(*out, "--steps-hybrid", 8, "--resume", "--replicas", 2)
    assert again.returncode == 0, again.stderr[-3000:]
    assert set(json.loads((tmp_path / "run/result.json").read_text())["metrics"]) == {"hybrid_stable"}
    assert list((tmp_path / "run/checkpoints").rglob("mle_stable/*.index"))


def test_adversarial_training_goes_on_from_the_likelihood():
    config = dataclasses.replace(PRESETS["smoke"], objective="hybrid", architecture="stable")
    assert experiment.trainings(config) == [("mle", "stable"), ("hybrid", "stable")]  # trained first, not reported
    assert experiment.variants(config) == [("hybrid", "stable")]
    assert experiment.start(config, "hybrid", "stable") == "mle_stable"
    assert experiment.start(config, "mle", "stable") == "stable"
    anew = dataclasses.replace(config, warm_start=False)
    assert experiment.trainings(anew) == [("hybrid", "stable")]
    assert experiment.start(anew, "hybrid", "stable") == "stable"


def test_samples_on_the_way_are_kept(smoke):
    folder, _ = smoke
    assert {p.name for p in (folder / "run").glob("samples_hybrid_stable_*.npz")} == {
        f"samples_hybrid_stable_{step:06d}.npz" for step in (2, 4)
    }
    assert (folder / "run/samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_gets_the_weights_that_it_goes_on_from(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], levels=1, depth_unstable=1, architecture="unstable", out=tmp_path / "run")
    run = Run(None, tf.distribute.get_strategy(), tmp_path)
    data = load_images("mnist_5k").first(train=256, test=8)
    traced, first = experiment.make_flow(config, run, data, "unstable")
    x = models.scaled(data.test, 1)
    before = traced.latents(x).z
    for weight in traced.flow.block.trainable_weights:
        weight.assign_add(tf.ones_like(weight))
    assert not np.array_equal(traced.latents(x).z, before)  # what is traced reads the weights as they are
    gan = experiment.make_gan(config, run, traced.flow, "adv", first)
    assert gan.flow is traced.flow
    for a, b in zip(gan.block.get_weights(), first, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(traced.latents(x).z, before)


def test_what_is_traced_is_the_flow(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], levels=1, depth_unstable=1)
    run = Run(None, tf.distribute.get_strategy(), tmp_path)
    data = load_images("mnist_5k").first(train=256, test=8)
    traced, _ = experiment.make_flow(config, run, data, "unstable")
    x = models.scaled(data.test, 1)
    np.testing.assert_allclose(traced.latents(x).log_prob(), traced.flow.log_prob(tf.constant(x)), rtol=1e-5)
    passes = traced.passes(x, 2)
    assert passes.shape == (3, *x.shape)
    np.testing.assert_allclose(passes[2], x, atol=1e-4)
    z = np.random.default_rng(5).standard_normal((3, *traced.flow.base.event_shape)).astype(np.float32)
    x, _ = traced.flow.block.inverse_and_log_det(tf.constant(2 * z))
    np.testing.assert_allclose(traced.sample(3, 5, scale=2.0), models.to_pixels(x), atol=0.1)


def test_the_passes_shown_are_of_the_images_that_change_most():
    changes = measuring.distances(
        np.zeros([4, 2, 2, 1]), np.array([1.0, np.nan, 3.0, np.inf])[:, None, None, None] + np.zeros([4, 2, 2, 1])
    )
    assert measuring.most_changed(changes, 3).tolist() == [1, 3, 2]


def test_what_a_run_trains():
    small = PRESETS["small"]
    one = dataclasses.replace(small, objective="adv", architecture="unstable")
    assert experiment.trainings(one) == [("mle", "unstable"), ("adv", "unstable")]
    assert experiment.trainings(dataclasses.replace(one, warm_start=False)) == experiment.variants(one) == [("adv", "unstable")]
    assert [f"{o}_{a}" for o, a in experiment.trainings(small)] == list(experiment.PAIRS)


def test_every_training_is_looked_at_ten_times():
    small = PRESETS["small"]
    for objective in ("mle", "hybrid", "adv"):
        assert 10 <= -(-small.steps(objective) // small.between_looks(objective)) <= 11
    assert dataclasses.replace(small, steps_adv=7).between_looks("adv") == 1
    assert dataclasses.replace(small, log_every=200).between_looks("adv") == 200
