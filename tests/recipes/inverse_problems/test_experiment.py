"""The whole benchmark, small: files, going on after a kill, adding a model, the exported sampler, claims."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.ranges import MAX_SEED
from recipes.inverse_problems import experiment, leaderboard, problems
from recipes.inverse_problems.methods.registry import METHODS
from recipes.inverse_problems.settings import OTHERS, PAPER_METHODS, PRESETS, PROBLEMS, TODAY


def config(tmp_path, **settings):
    small = {"methods": ("mdn",), "problems": ("kinematics",), "steps": 4, "log_every": 2, "pool": 3000, "simulations": 1000}
    places = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    return dataclasses.replace(PRESETS["smoke"], preset="smoke", **{**small, **places, **settings})


def test_a_killed_run_goes_on_and_a_model_can_be_added(tmp_path, monkeypatch, capsys):
    class KilledError(Exception):
        pass

    def killed(*_, **__):
        raise KilledError

    both = config(tmp_path, methods=("mdn", "autoencoder"))
    real = experiment.measure
    monkeypatch.setattr(
        experiment, "measure", lambda p, posterior, *a: real(p, posterior, *a) if posterior.method.title == "MDN" else killed()
    )
    with pytest.raises(KilledError):
        experiment.run(both)
    measured = []
    monkeypatch.setattr(
        experiment, "measure", lambda p, posterior, *a: measured.append(posterior.method.title) or real(p, posterior, *a)
    )
    result = experiment.run(dataclasses.replace(both, resume=True))
    assert measured == ["autoencoder"]  # what was finished is not made again
    found = result["metrics"]["kinematics"]
    assert {"mdn-seed0", "autoencoder-seed0", "ground_truth", "familiar"} <= set(found)
    assert found["mdn-seed0"]["weights"] > 1000 and "history" not in found["mdn-seed0"]
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"leaderboard.md", "leaderboard.html", "report.png", "result.json", "kinematics_posteriors.png"} <= written
    page = (tmp_path / "run" / "leaderboard.html").read_text()
    assert page.count("data:image/png;base64") >= 3 and "http" not in page.replace("http-equiv", "")
    assert "| mdn |" in (tmp_path / "run" / "leaderboard.md").read_text()
    json.loads((tmp_path / "run" / "result.json").read_text())
    check_sampler(tmp_path / "saved" / "inverse_kinematics" / "1")
    assert "Err_post" in capsys.readouterr().out
    # A finished run goes on where a model joins it; what it said before is kept.
    more = dataclasses.replace(both, resume=True, methods=("mdn", "autoencoder", "cvae"))
    grown = experiment.run(more)
    assert measured == ["autoencoder", "cVAE"] and "cvae-seed0" in grown["metrics"]["kinematics"]
    before = json.loads((tmp_path / "run" / "result-before.json").read_text())
    assert "cvae-seed0" not in before["metrics"]["kinematics"]
    assert experiment.run(more)["finished"] == grown["finished"]  # finished again: nothing is done


def check_sampler(folder):
    """The exported graph is the trained model's, in the problem's units, and repeats."""
    served = tf.saved_model.load(str(folder)).signatures["sample_posterior"]
    y = tf.constant([[0.0, 1.5], [0.2, 1.2], [0.1, 0.9]])
    x = served(y=y, n=tf.constant(5), seed=tf.constant(3))["x"].numpy()
    assert x.shape == (3, 5, 4) and np.isfinite(x).all()
    np.testing.assert_array_equal(x, served(y=y, n=tf.constant(5), seed=tf.constant(3))["x"])
    assert not np.array_equal(x, served(y=y, n=tf.constant(5), seed=tf.constant(4))["x"])
    assert served(y=y[:0], n=tf.constant(5), seed=tf.constant(3))["x"].shape == (0, 5, 4)
    for bad in ({"y": y * math.nan}, {"n": tf.constant(-1)}):
        with pytest.raises(tf.errors.InvalidArgumentError):
            served(**{"y": y, "n": tf.constant(5), "seed": tf.constant(3), **bad})
    card = json.loads((folder / "card.json").read_text())
    assert (card["name"], card["version"]) == ("inverse_kinematics", 1)
    assert card["parameters"] == ["height", "angle 1", "angle 2", "angle 3"] and card["measured"]["weights"] > 100
    assert "lowest Err_post, on the observations that measured" in card["chosen"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"problems": ("nothing",)}, "--problems"),
        ({"methods": ("nothing",)}, "--methods"),
        ({"methods": ("mdn", "mdn")}, "different names"),
        ({"pool": 10}, "--pool"),
        ({"seed": MAX_SEED, "repeats": 2}, "--seed: received 2147483647 for --repeats 2, expected at most 2147483646"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, word):
    with pytest.raises(UserError, match=word):
        experiment.run(config(tmp_path, **settings))
    assert not (tmp_path / "run").exists()
    dataclasses.replace(PRESETS["smoke"], seed=MAX_SEED, repeats=1).check()


def test_settings_know_every_name_without_importing_it():
    assert set(METHODS) == {*PAPER_METHODS, *TODAY, *OTHERS} and set(problems.PROBLEMS) == set(PROBLEMS)
    config = PRESETS["smoke"]
    dataclasses.replace(config, methods=("my_module:Mine",), problems=("a.b:Line",)).check()
    for name in ("my_module.Mine", "1a:B", "a:B:C", "a b:C"):
        with pytest.raises(UserError, match="--methods"):
            dataclasses.replace(config, methods=(name,)).check()


def row(posterior, **more):
    numbers = {"posterior": posterior, "own_posterior": posterior, "own_resimulation": 0.001, "milliseconds": 10.0}
    return {**numbers, "sbc_p": 0.5, "coverage_p": 0.5, "tarp_p": 0.5, **more}


def test_claims():
    metrics = {
        "kinematics": {
            "cinn-seed0": row(0.005),
            "inn-seed0": row(0.02),
            "iresnet-seed0": row(0.011, milliseconds=101.0),
            "cvae-seed0": row(0.01, tarp_p=0.001),
            "mdn-seed0": row(math.nan),
            "ground_truth": {},
        }
    }
    found = experiment.claims(metrics)
    assert found["kinematics: cinn at or below the paper's 0.015 and 0.008"]
    assert found["kinematics: cvae at most twice the cINN's Err_post"]
    assert not found["kinematics: iresnet at most twice the cINN's Err_post"]
    assert not found["kinematics: i-ResNet samples in at most ten times the INN's time"]
    assert not found["kinematics: mdn at or below the paper's 0.007 and 0.012"]
    assert found["kinematics: best Err_post (cinn)"] == 0.005
    assert found["kinematics: cinn not rejected at 1 % by ranks, coverage, TARP"]
    metrics["kinematics"]["cinn-seed0"]["sbc_p"] = 0.01
    assert not experiment.claims(metrics)["kinematics: cinn not rejected at 1 % by ranks, coverage, TARP"]


def test_the_best_and_the_best_cinn_are_exported():
    found = {"mdn-seed0": row(0.1), "cinn-seed0": row(0.3), "cinn-seed1": row(0.2), "ground_truth": {}}
    assert experiment.exported_trainings("p", found) == {"inverse_p": "mdn-seed0", "cinn_p": "cinn-seed1"}
    assert experiment.exported_trainings("a.b:C", {"mdn-seed2": row(0.1)}) == {"inverse_a.b.C": "mdn-seed2"}


def test_one_seed_that_is_rejected_rejects_the_model():
    seeds = {f"cinn-seed{seed}": row(0.005, tarp_p=p) for seed, p in enumerate((0.5, 0.6, 0.001))}
    assert not experiment.claims({"kinematics": seeds})["kinematics: cinn not rejected at 1 % by ranks, coverage, TARP"]


def test_rows_are_medians_and_sorted():
    rows = leaderboard.summarized(
        {
            "b-seed0": row(3.0, weights=5),
            "b-seed1": row(1.0, weights=5),
            "b-seed2": row(2.0, weights=6, sbc_p=1e-4),
            "a-seed0": row(2.5),
        }
    )
    assert rows["b"]["sbc_p"] == 1e-4 and rows["b"]["tarp_p"] == 0.5, "of p-values the smallest: no seed may be rejected"
    assert list(rows) == ["b", "a"] and rows["b"]["posterior"] == 2.0 and rows["b"]["weights"] == 5 and rows["b"]["seeds"] == 3
    text = leaderboard.markdown("kinematics", {"cinn": row(0.5, dim_z=None, likelihood=True)})
    assert "0.015 / 0.008" in text and "| yes |" in text and "nan" not in text
    assert all(line.count("|") == len(leaderboard.COLUMNS) + 2 for line in text.strip().splitlines())


@pytest.mark.slow
def test_the_smoke_preset(tmp_path):
    result = experiment.run(
        dataclasses.replace(PRESETS["smoke"], preset="smoke", out=tmp_path / "run", export_dir=tmp_path / "s")
    )
    assert set(result["metrics"]) == {"kinematics", "ballistics"}
    assert set(result["exported"]) == {f"{kind}_{p}" for kind in ("inverse", "cinn") for p in ("kinematics", "ballistics")}
