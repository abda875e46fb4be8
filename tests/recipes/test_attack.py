"""The attack recipe: its images and claims, its pages, and the whole of it, small."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from inntf.stability import dequantization_bin
from recipes.attack import images
from recipes.attack.experiment import claims, table
from recipes.attack.models import make_flow, over_levels
from recipes.attack.report import LABELS, draw
from recipes.attack.settings import PRESETS
from recipes.attack.tables import PARTS
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.results.records import Record

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = dataclasses.replace(PRESETS["smoke"], preset="smoke")
SETS = ("data", "gaussian", "uniform", "rademacher", "constant", "texture")


def numbers(growth=1.0, error=1e-6, ratio=1.0, **more):
    summary = {"median": 1e-6, "p99": 1e-6, "max": 1e-6, "nonfinite_share": 0.0, "count": 3}
    found = {"start_error": summary, "error": summary, "error_float64": summary, "largest_error": error, "inside": True}
    return {
        "bits_per_dim": 2.0,
        "weights": 10,
        "attack": {**found, "median_growth": growth, "nonfinite_share": 0.0, "nonfinite_at": [-1, -1], **more},
        "unlike": {name: {**summary, "ratio": 1.0 if name == "data" else ratio} for name in SETS},
        "ball": {"radius": 1e-3, "attacked": [0.5, None], "sampled": [1.0, 2.0], "certified": [1.1, 3.0], "ordered": True},
    }


def test_pixels_lie_in_their_bins():
    pixels = tf.constant(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1))
    x = images.dequantized(pixels, 5, [0, 1])
    centre, radius = dequantization_bin((images.levels(pixels.numpy(), 5) + 0.5) / 32, 5)
    away = np.abs(x.numpy().astype(np.float64) - centre)
    assert away.max() < radius == 1 / 64 and away.max() > 0.9 * radius
    np.testing.assert_array_equal(np.floor(x.numpy() * 32), pixels.numpy() // 8)
    np.testing.assert_array_equal(x, images.dequantized(pixels, 5, [0, 1]))
    assert (x.numpy() != images.dequantized(pixels, 5, [0, 2]).numpy()).any()


def test_images_are_shrunk_by_averaging():
    data = load_images("mnist_5k")
    small = images.shrunk(data, 14)
    mean = data.test[:3].reshape(3, 14, 2, 14, 2, 1).astype(float).mean((2, 4))
    np.testing.assert_allclose(small.test[:3], mean, atol=0.51)
    with pytest.raises(UserError, match="--size"):
        images.shrunk(data, 29)
    first, later = (images.stream(small, SMOKE, start) for start in (0, 2))
    np.testing.assert_array_equal([b.numpy() for b in first.take(3)][2], next(iter(later)).numpy())


@pytest.mark.parametrize("name", ["affine_half", pytest.param("residual", marks=pytest.mark.slow)])
def test_flows_and_their_end_on_whole_images(name):
    config = dataclasses.replace(SMOKE, dense_end=1, hidden_dense=4)
    x = tf.random.stateless_uniform([2, 8, 8, 1], [0, 1])
    flow = make_flow(name, config, (8, 8, 1))
    z, _ = flow.block.forward_and_log_det(x)
    assert z.shape == (2, 1, 1, 64)
    np.testing.assert_allclose(flow.block.inverse_and_log_det(z)[0], x, atol=1e-4)


def test_the_served_flow_is_over_levels():
    levels = np.float32([[[[3.0]]]]) * np.ones((1, 8, 8, 1), np.float32)
    served = over_levels(make_flow("affine_half", SMOKE, (8, 8, 1)), SMOKE)
    np.testing.assert_array_equal(served.block.inverse(served.block.forward(levels)), levels)


def test_claims_are_held_against_their_bars():
    found = claims({"affine_sigmoid": numbers(growth=10.0, ratio=10.0), "residual": numbers(error=9e-4, ratio=3.0)})
    assert found["affine_sigmoid: at least 10 times, or not finite"] and found["affine_sigmoid: at least 10 on some noise"]
    assert found["residual: below 1e-3"] and found["residual: at most 3, and nothing lost"]
    found = claims({"affine_half": numbers(growth=9.9, ratio=9.9), "residual": numbers(error=float("inf"), ratio=3.1)})
    assert not any(found[k] for k in found if "at least" in k or "below" in k or "at most" in k)
    balls = {"attacked": [0.5, 0.1], "sampled": [1.0, 2.0], "certified": [1.1, 3.0]}
    for key, values, first, second in (
        ("attacked", [0.5, 0.1], True, True),
        ("attacked", [0.5, None], "yes, in 1 balls of 2", True),
        ("attacked", [None, None], "not measured", True),
        ("attacked", [1.1, None], False, True),
        ("certified", [float("inf")] * 2, True, "no certificate"),
        ("certified", [0.9, float("inf")], True, False),
    ):
        found = claims({"residual": numbers() | {"ball": balls | {key: values}}})
        assert found["residual: attack <= truth in the balls"] == first, (key, values)
        assert found["residual: truth <= certificate in the balls"] == second, (key, values)
    assert claims({"affine_half": numbers(growth=float("inf"))})["affine_half: at least 10 times, or not finite"]
    for lost, grown in ((0.0, "**no**: 2.0 (bar: at least 10)"), (0.125, "yes: not finite (bar: at least 10)")):
        shown = claims({"affine_half": numbers(growth=2.0, nonfinite_share=lost)})
        assert shown["affine_half: at least 10 times, or not finite"] is bool(lost)
        settings = {"dataset": "cifar10", "preset": "small", "steps_affine": 3000}  # what the table of claims is about
        record = Record("a", "attack", "python", 0, settings, "abc", {}, 60.0, "2026-01-01", {}, shown)
        assert f"the error in the bin grows, or is not finite | {grown} |" in PARTS["claims"]([record])
    assert len(table({"affine_half": numbers(growth=float("inf"))})) == 2


def test_the_report_shows_what_is_not_finite():
    errors = np.geomspace(1e-6, 1.0, 5)[:, None] * np.ones((1, 2))
    errors[3:, 1] = np.nan
    some = np.random.default_rng(0).random((2, 8, 8, 1))
    arrays = {"errors": errors, "nonfinite_at": np.array([-1, 3]), "centre": some, "adversarial": some}
    arrays |= {"reconstructed": np.where(some > 0.9, np.nan, some)}
    arrays |= {f"unlike_{name}": np.stack([some, some]) for name in SETS}
    data = images.shrunk(load_images("mnist_5k").first(4, 4), 8)
    broken = numbers()
    broken["unlike"]["gaussian"] |= {"median": float("inf"), "nonfinite_share": 1.0}
    page = draw(SMOKE, data, dict.fromkeys(LABELS, broken), dict.fromkeys(LABELS, arrays))
    axes = [a for part in page.subfigs for a in part.axes]
    crosses = [line for line in axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [3, 3, 3], "where each became not finite"
    assert any("100% not finite" in text.get_text() for text in axes[1].texts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 6, "levels": 2}, "--size"),
        ({"attacked": 1, "certified": 2}, "--certified"),
        ({"models": ("residual", "residual")}, "--models"),
    ],
)
def test_settings_that_contradict_each_other(settings, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(SMOKE, **settings).check()


@pytest.mark.parametrize("settings", [{"attacked": 257}, {"unlike": 65}, {"batch_size": 257}, {"size": 32}])
def test_settings_that_do_not_fit_the_data(settings):
    with pytest.raises(UserError, match=f"--{next(iter(settings)).replace('_', '-')}"):
        images.load(dataclasses.replace(SMOKE, **settings))


# ---- the whole ------------------------------------------------------------------------------------------------


def attack(*arguments):
    command = [sys.executable, "-m", "recipes.attack", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_it_leaves_report_result_logs_and_a_model_and_goes_on(tmp_path):
    from inntf.serving import load

    arguments = ["--preset", "smoke", "--out", tmp_path / "run", "--export-dir", tmp_path / "saved"]
    done = attack(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["recipe"] == "attack" and set(result["metrics"]) == {"affine_sigmoid", "residual"}
    for name, m in result["metrics"].items():
        assert np.isfinite(m["bits_per_dim"]) and m["attack"]["inside"] and m["ball"]["ordered"], name
        assert m["attack"]["largest_change"] <= 1 and m["attack"]["largest_error"] < 1e-4
        assert m["attack"]["error_float64"]["max"] < 1e-9
        assert list((tmp_path / f"run/checkpoints/{name}").glob("*.index"))
        assert list((tmp_path / f"run/logs/{name}").glob("events.out.tfevents*"))
    assert (tmp_path / "run/report.png").read_bytes().startswith(b"\x89PNG")
    levels = np.asarray(load(tmp_path / "saved/attack").sample(2, seed=1))
    assert levels.shape == (2, 8, 8, 1) and levels.max() <= 31 and (levels == np.round(levels)).all()
    # All but the result is there: it goes on at its end, with the same numbers.
    (tmp_path / "run/result.json").unlink()
    again = attack(*arguments, "--resume")
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((tmp_path / "run/result.json").read_text())["metrics"] == result["metrics"]
