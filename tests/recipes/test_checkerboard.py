"""The checkerboard recipe: its data, its maps, and the whole of it, small."""

import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from inntf import Block, Flow
from recipes.checkerboard import data
from recipes.checkerboard.experiment import broken
from recipes.checkerboard.maps import Mapper, describe, grid_axis, inside, measure_jacobians, worst
from recipes.common.tensorboard import Summaries

ROOT = pathlib.Path(__file__).parents[2]


# ---- the law of the data --------------------------------------------------------------------------------------


def test_samples_are_uniform_on_eight_squares():
    x = data.sample(80_000, tf.constant([3, 4], tf.int64)).numpy()
    assert x.min() >= -4 and x.max() <= 4
    squares = np.floor(x / 2).astype(int)  # -2 .. 1 each way
    assert np.all(squares.sum(1) % 2 == 0), "white squares hold no data"
    names, counts = np.unique(squares, axis=0, return_counts=True)
    assert len(names) == 8
    np.testing.assert_allclose(counts, 10_000, atol=5 * math.sqrt(10_000 * 7 / 8))
    within = x / 2 - squares  # uniform in each square: moments of U(0, 1)^2
    np.testing.assert_allclose(within.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(np.cov(within.T), np.eye(2) / 12, atol=0.002)


def test_entropy_is_that_of_the_data():
    """From a histogram that the squares align with: H = -sum p ln p + ln(cell), biased by about cells / (2 n)."""
    x = data.sample(400_000, tf.constant([5, 6], tf.int64)).numpy()
    counts, *_ = np.histogram2d(x[:, 0], x[:, 1], bins=16, range=[[-4, 4], [-4, 4]])
    p = counts[counts > 0] / len(x)
    assert len(p) == 128
    assert -np.sum(p * np.log(p)) + math.log(0.25) == pytest.approx(data.ENTROPY, abs=1e-3)
    assert pytest.approx(math.log(32)) == data.ENTROPY


def test_batches_depend_on_seed_and_step_alone():
    first = [b.numpy() for b in data.batches(7, seed=1).take(4)]
    later = [b.numpy() for b in data.batches(7, seed=1, start=2).take(2)]
    np.testing.assert_array_equal(first[2:], later)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], next(iter(data.batches(7, seed=2))).numpy())
    assert not np.array_equal(first[0], data.test_set(7, 1).numpy())


# ---- the maps -------------------------------------------------------------------------------------------------


class Breaks(Block):
    """Doubles; its inverse is NaN right of x1 = 4, infinite above x2 = 4, and off by 1/8 left of x1 = -4."""

    def forward_and_log_det(self, x, condition=None):
        return 2 * x, tf.fill(tf.shape(x)[:1], 2 * math.log(2.0))

    def inverse_and_log_det(self, z, condition=None):
        x = z / 2
        off = tf.where(x[:, :1] < -4, 0.125, 0.0) + tf.where(x[:, :1] > 4, math.nan, 0.0)
        off += tf.where(x[:, 1:] > 4, math.inf, 0.0)
        return x + tf.concat([off, tf.zeros_like(off)], 1), tf.fill(tf.shape(z)[:1], -2 * math.log(2.0))


def test_maps_keep_and_count_what_is_not_finite():
    axis = grid_axis(0.5)
    maps = Mapper(Flow(Breaks(), event_shape=2))(axis)
    x2, x1 = np.meshgrid(axis, axis, indexing="ij")
    bad = (x1 > 4) | (x2 > 4)
    np.testing.assert_array_equal(~np.isfinite(maps["error"]), bad)
    np.testing.assert_array_equal(maps["error"][~bad], np.where(x1 < -4, 0.125, 0.0)[~bad])
    np.testing.assert_allclose(maps["latent_error"][(np.abs(x1) <= 4) & (x2 <= 4)], 0.0)
    np.testing.assert_allclose(maps["condition_number"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(maps["log_det_difference"], 0.0, atol=1e-6)
    normal = -0.5 * ((2 * x1) ** 2 + (2 * x2) ** 2) - math.log(2 * math.pi) + 2 * math.log(2.0)
    np.testing.assert_allclose(maps["log_prob"], normal, rtol=1e-5)
    found = describe(maps, axis)
    assert found["mass"] == pytest.approx(1.0, abs=1e-3)
    assert found["error"]["inside"]["nonfinite_share"] == 0 and found["error"]["inside"]["max"] == 0
    assert found["error"]["outside"]["max"] == 0.125
    assert found["error"]["outside"]["nonfinite_share"] == pytest.approx(bad.sum() / (~inside(axis)).sum())
    assert found["nonfinite_values"] == bad.sum() + (~np.isfinite(maps["latent_error"])).sum() > 0
    assert found["largest_error"] == math.inf
    assert broken({"grid": found})


def test_summaries_take_errors_beyond_float32(tmp_path):
    with Summaries(tmp_path) as board:
        board.scalars(1, {"error": 4e45, "infinite": math.inf})
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_broken_means_not_finite_or_a_hundred_times():
    def grid(inside_max, outside_max, share):
        part = lambda m, s: {"max": m, "nonfinite_share": s}  # noqa: E731
        return {"grid": {"error": {"inside": part(inside_max, 0.0), "outside": part(outside_max, share)}}}

    assert not broken(grid(1e-6, 9.9e-5, 0.0))
    assert broken(grid(1e-6, 1.01e-4, 0.0))
    assert broken(grid(1e-6, 1e-6, 1e-4))


def test_jacobians_in_closed_form_agree_with_a_decomposition():
    j = np.random.default_rng(0).normal(size=(50, 2, 2)) * np.geomspace(1e-3, 1e3, 50)[:, None, None]
    log_volume, condition = measure_jacobians(j)
    values = np.linalg.svd(j, compute_uv=False)
    np.testing.assert_allclose(condition, values[:, 0] / values[:, 1], rtol=1e-8)
    np.testing.assert_allclose(log_volume, np.log(np.abs(np.linalg.det(j))), rtol=1e-8)
    log_volume, condition = measure_jacobians(np.array([[[math.nan, 0], [0, 1]], [[1.0, 1.0], [1.0, 1.0]]]))
    assert not np.isfinite(condition).any() and not np.isfinite(log_volume).any()
    assert worst(np.array([1.0, math.nan])) == math.inf and worst(np.array([1.0]), np.array([2.0])) == 2.0


# ---- the whole ------------------------------------------------------------------------------------------------


def checkerboard(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "recipes.checkerboard", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkerboard")
    done = checkerboard("--preset", "smoke", "--out", folder / "run", "--export-dir", folder / "saved")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


@pytest.mark.slow
def test_it_leaves_report_result_maps_logs_and_checkpoints(smoke):
    folder, done = smoke
    result = json.loads((folder / "run/result.json").read_text())
    assert result["recipe"] == "checkerboard" and set(result["metrics"]) == {"affine_sigmoid", "affine_half", "residual"}
    for name, m in result["metrics"].items():
        assert np.isfinite(m["test_nll"]) and m["test_nll"] > data.ENTROPY - 0.02
        assert m["grid"]["nonfinite_values"] == 0, "two blocks hardly trained break nothing"
        assert m["grid"]["largest_error"] < 1e-3
        assert m["grid"]["log_det_difference"]["inside"]["max"] < 1e-3
        maps = np.load(folder / f"run/maps_{name}.npz")
        assert maps["error"].shape == (32, 32)
        assert list((folder / f"run/checkpoints/{name}").glob("*.index"))
        assert list((folder / f"run/logs/{name}").glob("events.out.tfevents*"))
    residual = result["metrics"]["residual"]
    assert residual["largest_certified_norm"] <= 0.8
    assert residual["certified_forward"] <= (1 + 0.8**3) ** 2 and residual["certified_inverse"] <= (1 - 0.8**3) ** -2
    for picture in ("report.png", "error_maps.png"):
        assert (folder / "run" / picture).read_bytes().startswith(b"\x89PNG")
    assert "report.png" in done.stdout and "affine_sigmoid: broken" in done.stdout


@pytest.mark.slow
def test_the_saved_models_invert(smoke):
    from inntf.serving import load

    folder, _ = smoke
    for name in ("affine_sigmoid", "affine_half", "residual"):
        served = load(folder / f"saved/checkerboard_{name}")
        x = np.asarray(served.sample(50, seed=1))
        assert x.shape == (50, 2) and np.all(np.isfinite(x))
        np.testing.assert_array_equal(x, np.asarray(served.sample(50, seed=1)))


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint_and_mirrors(tmp_path):
    arguments = ["--preset", "smoke", "--model", "residual", "--out", tmp_path / "run", "--export-dir", tmp_path / "saved"]
    done = checkerboard(*arguments, "--steps-residual", 10, "--schedule", "constant", "--strategy", "mirrored", "--replicas", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "run/result.json").unlink()
    progress = json.loads((tmp_path / "run/progress.json").read_text())
    (tmp_path / "run/progress.json").write_text(json.dumps({**progress, "models": {}}))
    again = checkerboard(*arguments, "--schedule", "constant", "--resume", "--strategy", "mirrored", "--replicas", 2)
    assert again.returncode == 0, again.stderr[-3000:]
    progress = json.loads((tmp_path / "run/progress.json").read_text())
    assert [h["step"] for h in progress["histories"]["residual"]] == [10, 20]


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--preset", "huge"], "smoke"), (["--out", "/proc/nowhere"], "/proc/nowhere")]
)
def test_bad_input_ends_in_one_line_and_code_2(arguments, word):
    done = checkerboard(*arguments)
    assert done.returncode == 2, done.stderr[-2000:]
    assert word in done.stderr and "Traceback" not in done.stderr
