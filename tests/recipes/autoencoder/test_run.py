"""A run from the settings to its results, and one that is killed and goes on."""

import dataclasses
import json

import numpy as np
import pytest

from recipes.autoencoder import experiment
from recipes.autoencoder.settings import PRESETS
from recipes.common.errors import UserError
from recipes.common.watch import Watch


def settings(folder, **more):
    small = {"images": 64, "test_images": 24, "samples": 24, "permutations": 20, "bottlenecks": (2, 4), "log_every": 1}
    places = {"out": folder / "run", "export_dir": folder / "saved"}
    return dataclasses.replace(PRESETS["smoke"], preset="smoke", **{**small, **places, **more})


def result_of(folder):
    return json.loads((folder / "run/result.json").read_text())


def untimed(metrics):
    return {name: {k: v for k, v in found.items() if k != "seconds"} for name, found in metrics.items()}


class Killed(BaseException):
    """As by a signal."""


@pytest.mark.parametrize("model", ["classic", pytest.param("inn", marks=pytest.mark.slow)])
def test_a_run_killed_twice_ends_as_one_that_was_not(model, tmp_path, monkeypatch):
    models = {"models": (model,), "hidden": 2, "dense_hidden": 3}
    whole, broken = (settings(tmp_path / name, **models) for name in ("whole", "broken"))
    experiment.run(whole)
    looks = []
    look = Watch.look

    def interrupted(watch, step, losses):
        look(watch, step, losses)
        looks.append(step)
        if len(looks) in (1, 3):  # within the first training, and at the end of another, before it is measured
            raise Killed

    monkeypatch.setattr(Watch, "look", interrupted)
    for _ in range(2):
        with pytest.raises(Killed):
            experiment.run(broken)
        broken = dataclasses.replace(broken, resume=True)
    experiment.run(broken)
    one, other = result_of(tmp_path / "whole"), result_of(tmp_path / "broken")
    assert len(looks) == 4  # none of the steps was made twice
    assert untimed(one["metrics"]) == untimed(other["metrics"]) and one["claims"] == other["claims"]
    assert (tmp_path / "broken/run/report.png").read_bytes().startswith(b"\x89PNG")
    kept = {path.name for path in (tmp_path / "broken/run/checkpoints").iterdir()}
    assert kept == ({"inn_b4_seed0"} if model == "inn" else set())  # the others are measured, and not to be exported
    if model == "classic":  # one more joins
        experiment.run(dataclasses.replace(broken, bottlenecks=(2, 4, 6)))
        more = result_of(tmp_path / "broken")["metrics"]
        assert more["classic_b2_seed0"] == other["metrics"]["classic_b2_seed0"] and more["classic_b6_seed0"]["l1"] > 0
        assert len(looks) == 6


def test_rivals_are_measured_by_their_samples(tmp_path):
    config = settings(tmp_path, models=("free_form", "within_flow"), generative_bottlenecks=(2,))
    experiment.run(config)
    for name in ("free_form", "within_flow"):
        numbers = result_of(tmp_path)["metrics"][f"{name}_b2_seed0"]
        assert {"kid", "precision", "recall", "copied_share", "mmd_p_value", "decoder_condition"} <= set(numbers)
        assert ("bits_per_dim" in numbers) == (name == "within_flow")
        with np.load(tmp_path / f"run/pictures_{name}_b2_seed0.npz") as file:
            assert file["samples"].shape == (24, 28, 28, 1)


@pytest.mark.slow
def test_an_invertible_one_is_measured_exported_and_cut_afterwards(tmp_path):
    config = settings(tmp_path, models=("inn",), hidden=2, dense_hidden=3, certified_images=1)
    experiment.run(config)
    result = result_of(tmp_path)
    numbers = result["metrics"]["inn_b4_seed0"]
    assert numbers["padding_norm"] > 0 and numbers["reconstruction_error"]["max"] < 1e-4
    assert numbers["condition_number"] >= 1 and numbers["certified_decoder"] >= 0.99 * numbers["decoder_at_centre"]
    after = result["metrics"][experiment.AFTERWARDS]["inn_b4_seed0"]
    assert set(after) == {"2", "4"} and after["4"] == pytest.approx(numbers["l1"], rel=1e-5)
    (version,) = (tmp_path / "saved/autoencoder_inn").iterdir()
    with_signatures = set(json.loads((version / "card.json").read_text())["signatures"])
    assert {"encode", "decode", "sample", "reconstruct"} <= with_signatures
    card = json.loads((version / "card.json").read_text())
    assert 0 < card["training"]["measured"]["certified_decoder_radius_to_factor_2"] <= 1
    assert card["training"]["variant"] == "inn_b4_seed0" and card["training"]["measured"]["l1"] == numbers["l1"]
    with np.load(tmp_path / "run/pictures_inn_b4_seed0.npz") as file:
        assert file["again"].shape == file["data"].shape == (8, 28, 28, 1) and np.isfinite(file["between"]).all()


def test_what_data_do_not_allow_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.autoencoder.experiment.train", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(UserError, match="--bottlenecks.*784"):
        experiment.run(settings(tmp_path, bottlenecks=(2, 784)))
    with pytest.raises(UserError, match="--batch-size"):
        experiment.run(settings(tmp_path, batch_size=65))
    with pytest.raises(UserError, match="celeb_a"):
        experiment.run(settings(tmp_path, dataset="celeba", models=("inn",), data_dir=tmp_path))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_smoke_preset(tmp_path):
    places = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    experiment.run(dataclasses.replace(PRESETS["smoke"], preset="smoke", **places))
    result = result_of(tmp_path)
    assert len([name for name in result["metrics"] if name.endswith("seed0")]) == 7
    assert {"autoencoder_inn", "autoencoder_inn_vae"} == set(result["exported"])
