"""The i-ResNet recipe: its toy data, its matched networks, and the whole of it, small."""

import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from recipes.iresnet import models, toys
from recipes.iresnet.__main__ import RECIPE
from recipes.iresnet.experiment import claims
from recipes.iresnet.settings import Config

ROOT = pathlib.Path(__file__).parents[2]


# ---- data in two dimensions -----------------------------------------------------------------------------------


def test_eight_gaussians_have_their_moments():
    x = toys.sample("eight_gaussians", 40_000, tf.constant([1, 2], tf.int64)).numpy().astype(np.float64)
    angle = np.round(np.arctan2(x[:, 1], x[:, 0]) / (math.pi / 4)).astype(int) % 8
    np.testing.assert_allclose(np.bincount(angle, minlength=8), 5000, atol=5 * math.sqrt(5000))
    np.testing.assert_allclose(x.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(x.T), np.eye(2) * (2.8**2 / 2 + 0.35**2), atol=0.1)


def test_two_spirals_are_two_arms_opposite_each_other():
    x = toys.sample("two_spirals", 20_000, tf.constant([3, 4], tf.int64)).numpy().astype(np.float64)
    radius, angle = np.linalg.norm(x, axis=1), np.arctan2(x[:, 1], x[:, 0])
    assert radius.max() < math.pi + 0.6
    # An arm passes (-r cos t, r sin t) where t = 3 r: turned back by t, all points lie on one line through the origin.
    turned = angle + 3 * radius
    outer = radius > 1.0
    straight = np.abs(np.sin(turned[outer]))
    assert np.median(straight) < 0.3
    assert abs(np.mean(np.cos(turned[outer]) > 0) - 0.5) < 0.02, "both arms, equally often"


def test_batches_depend_on_seed_and_step_alone():
    for name in ("checkerboard", "two_spirals", "eight_gaussians"):
        first = [b.numpy() for b in toys.batches(name, 7, seed=1).take(3)]
        later = next(iter(toys.batches(name, 7, seed=1, start=2))).numpy()
        np.testing.assert_array_equal(first[2], later)
        assert not np.array_equal(first[0], first[1])
        assert not np.array_equal(first[0], toys.test_set(name, 7, 1).numpy())


# ---- networks of equal size -----------------------------------------------------------------------------------


def test_couplings_have_as_many_weights_as_the_residual_flow():
    for config in (RECIPE.presets["smoke"], Config(levels=1, unsqueezed=3, depth=(2,), depth_glow=2, depth_toys=2)):
        residual = models.count(models.make_toy_flow("residual", config))
        assert models.count(models.make_toy_flow("affine", config, residual)) == pytest.approx(residual, rel=0.05)
        image = models.count(models.make_image_flow("residual", config, (8, 8, 1)))
        for name in ("affine", "affine_unsqueezed"):
            couplings = models.make_image_flow(name, config, (8, 8, 1), image)
            assert models.count(couplings) == pytest.approx(image, rel=0.05), name


def test_matched_width_finds_the_nearest():
    assert models.matched_width(lambda w: w * w + 3 * w + 5, 118) == 9
    assert models.matched_width(lambda w: 7 * w + 1, 71) == 10
    assert models.matched_width(lambda w: w * w, 0) == 1


def test_learning_rate_goes_up_and_down():
    rate = models.learning_rate(1.0, 100)
    values = [float(rate(step)) for step in range(101)]
    assert values[0] == 0 and max(values) == pytest.approx(1.0, abs=0.01) and values[100] == pytest.approx(0, abs=1e-6)
    steps = models.learning_rate(1.0, 100, "steps")
    np.testing.assert_allclose([float(steps(s)) for s in (0, 29, 31, 61, 81)], [1, 1, 0.2, 0.04, 0.008], rtol=1e-5)


def test_dequantized_stays_in_its_bin():
    pixels = tf.repeat(tf.cast(tf.range(256), tf.uint8)[None], 50, 0)
    x = models.dequantized(pixels, tf.constant([1, 2])).numpy().astype(np.float64)
    np.testing.assert_array_equal(np.floor(x * 256), pixels.numpy())
    assert x.min() >= 0 and x.max() < 1


# ---- claims ---------------------------------------------------------------------------------------------------


def classifiers(accuracies, error=1e-5):
    out = {"unconstrained": {"test_accuracy": accuracies[0], "coefficient": None}}
    for c, accuracy in zip((0.5, 0.7, 0.9), accuracies[1:], strict=True):
        out[f"c_{c}"] = {
            "coefficient": c,
            "test_accuracy": accuracy,
            "reconstruction_error": {"max": error, "nonfinite_share": 0.0},
        }
    return {"classify": out}


def test_claims_can_fail():
    correlation = "rank correlation of coefficient and accuracy"
    good = claims(classifiers([0.90, 0.80, 0.85, 0.89]))
    assert all(v for v in good.values() if isinstance(v, bool)) and good[correlation] > 0.99
    bad = claims(classifiers([0.90, 0.88, 0.87, 0.86], error=2e-4))
    assert not any(v for v in bad.values() if isinstance(v, bool)) and bad[correlation] < -0.99
    pair = {"residual": {"bits_per_dim": 2.0, "weights": 10}, "affine": {"bits_per_dim": 1.9, "weights": 10}}
    assert claims({"density": pair})["images: bits/dim of the residual flow below the couplings'"] is False
    pair["affine"], pair["affine_unsqueezed"] = {"bits_per_dim": 2.1, "weights": 10}, pair["affine"]
    assert claims({"density": pair})["images: bits/dim of the residual flow below the couplings'"] is False, "the best counts"


# ---- the whole ------------------------------------------------------------------------------------------------


def iresnet(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "recipes.iresnet", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iresnet")
    done = iresnet("--preset", "smoke", "--task", "classify", "--out", folder / "run", "--export-dir", folder / "saved")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def check_common(folder, done):
    result = json.loads((folder / "run/result.json").read_text())
    assert result["recipe"] == "iresnet" and result["seed"] == 0 and result["machine"]
    assert (folder / "run/report.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "run/logs").rglob("events.out.tfevents*"))
    assert list((folder / "run/checkpoints").rglob("*.index"))
    assert "report.png" in done.stdout
    return result["metrics"]


def test_it_leaves_report_result_logs_and_checkpoints(smoke):
    found = check_common(*smoke)["classify"]
    assert set(found) == {"unconstrained", "c_0.9"}
    bound = found["c_0.9"]
    assert bound["weights"] == found["unconstrained"]["weights"]
    assert bound["largest_certified_norm"] <= 0.9
    assert bound["reconstruction_error"]["nonfinite_share"] == 0 and bound["reconstruction_error"]["max"] < 1e-4
    assert bound["reconstruction_error"]["max"] <= bound["certified_error_of_the_inverse"]["max"]
    assert 0 <= bound["test_accuracy"] <= 1


def test_the_saved_model_inverts(smoke):
    from inntf.serving import load

    folder, _ = smoke
    served = load(folder / "saved/iresnet_features")
    x = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype("float32")
    np.testing.assert_allclose(np.asarray(served.inverse(served.forward(x))), x, atol=1e-4)


@pytest.mark.slow
def test_the_densities_leave_theirs(tmp_path):
    from inntf.serving import load

    arguments = ["--preset", "smoke", "--out", tmp_path / "run", "--export-dir", tmp_path / "saved"]
    done = iresnet(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = check_common(tmp_path, done)
    assert set(metrics["density"]) == {"residual", "affine", "affine_unsqueezed"}
    assert set(metrics["toys"]["checkerboard"]) == {"residual", "affine"}
    for pair in (metrics["density"], metrics["toys"]["checkerboard"]):
        for m in pair.values():
            assert np.isfinite(m["bits_per_dim"]) and m["log_prob_nonfinite_share"] == 0
            assert m["reconstruction_error"]["max"] < 1e-2
    served = load(tmp_path / "saved/iresnet_density")
    x = np.asarray(served.sample(2, seed=1))
    assert x.shape == (2, 28, 28, 1) and np.all(x == np.round(x)) and x.min() >= 0 and x.max() <= 255
    np.testing.assert_array_equal(x, np.asarray(served.sample(2, seed=1)))
    # Interrupted after the classifiers: the rest is done again, they are not.
    (tmp_path / "run/result.json").unlink()
    progress = json.loads((tmp_path / "run/progress.json").read_text())
    del progress["density"], progress["toys"]
    (tmp_path / "run/progress.json").write_text(json.dumps(progress))
    again = iresnet(*arguments, "--resume")
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"]["classify"] == metrics["classify"]


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint_and_mirrors(tmp_path):
    arguments = ["--preset", "smoke", "--task", "classify", "--out", tmp_path / "run", "--export-dir", tmp_path / "saved"]
    arguments += ["--strategy", "mirrored", "--log-every", "2"]
    done = iresnet(*arguments, "--replicas", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "run/result.json").unlink()
    progress = json.loads((tmp_path / "run/progress.json").read_text())
    before = progress["histories"]["classify_c_0.9"]
    (tmp_path / "run/progress.json").write_text(json.dumps({**progress, "classify": {}}))
    again = iresnet(*arguments, "--resume", "--replicas", 2)
    assert again.returncode == 0, again.stderr[-3000:]
    progress = json.loads((tmp_path / "run/progress.json").read_text())
    assert progress["histories"]["classify_c_0.9"] == before and [h["step"] for h in before] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--preset", "huge"], "smoke"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(arguments, word):
    done = iresnet(*arguments)
    assert done.returncode == 2, done.stderr[-2000:]
    assert word in done.stderr and "Traceback" not in done.stderr
