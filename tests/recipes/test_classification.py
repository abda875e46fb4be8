"""Invertible classifiers, small: what a run leaves behind, which variants there are, what the claims say."""

import dataclasses
import json
import math

import numpy as np
import pytest

from recipes.classification import experiment, models
from recipes.classification.settings import PRESETS
from recipes.classification.tables import PARTS
from recipes.common.batches import batches
from recipes.common.data import load_images
from recipes.common.errors import NonFiniteError, UserError
from recipes.results.records import Record


def test_variants_and_what_they_are_made_of():
    config = PRESETS["small"]
    names = ["_".join(pair) for pair in experiment.variants(config)]
    assert len(names) == len(set(names)) == 7 and names.count("affine_conv1x1_nf_strong") == 1
    (fd,) = models.make_regularizers(config, "fd", 3072)
    assert fd.weight == pytest.approx(config.coefficient_fd * 0.1 * 3072) and fd.every == 10
    assert models.make_regularizers(config, "none", 3072) == []
    strong, weak = (models.make_regularizers(config, name, 3072)[0].weight for name in ("nf_strong", "nf"))
    assert strong > 10 * weak


def test_pixels_are_standardized_and_brought_back():
    data = load_images("mnist_5k", None).first(train=200, test=20)
    scale = models.Standardization(data)
    x = scale(data.train).numpy()
    assert abs(x.mean()) < 1e-3 and abs(x.std() - 1) < 1e-3
    np.testing.assert_allclose(scale.pixels(x), data.train, atol=1e-3)
    z, _ = scale.block().forward_and_log_det(data.train.astype(np.float32))
    np.testing.assert_allclose(z, x, atol=1e-5)


def test_images_are_moved_by_so_many_pixels_at_most():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4] = 200
    images = np.repeat(image, 64, 0)
    (moved,) = (batch.numpy() for batch in batches(images, 64, 0, crop=2).take(1))
    places = np.argwhere(moved[..., 0] == 200)
    assert len(places) == 64 and set(places[:, 0]) == set(range(64))  # none lost
    assert set(np.unique(places[:, 1:])) == {2, 3, 4, 5, 6}
    (again,) = (batch.numpy() for batch in batches(images, 64, 0, crop=2).take(1))
    np.testing.assert_array_equal(moved, again)


def classifier(condition, accuracy, angle, nonfinite=0):
    return {
        "condition_number": condition,
        "condition_number_at_least": 1.0,
        "test_accuracy": accuracy,
        "angle_degrees": angle,
        "gradients_nonfinite": nonfinite,
    }


def test_claims_follow_from_the_numbers():
    metrics = {
        "affine_shuffle_none": classifier(1e9, 0.5, math.nan, nonfinite=2),
        "affine_shuffle_fd": classifier(100.0, 0.495, 0.5),
        "affine_shuffle_nf": classifier(1e8 + 1e7, 0.45, 2.0),
        "affine_shuffle_nf_strong": classifier(10.0, 0.3, 0.1),
        "time of a step": {"every 10": 1.25},
    }
    found = experiment.claims(metrics)
    assert found["affine_shuffle, fd: at least 10 times"] and not found["affine_shuffle, nf: at least 10 times"]
    assert found["affine_shuffle, fd: at most 1"] and not found["affine_shuffle, nf: at most 1"]
    assert found["affine_shuffle, fd: memory-saving gradients within 1 degree"]
    assert not found["affine_shuffle, nf: memory-saving gradients within 1 degree"]
    assert found["affine_shuffle: broken (beyond 10 degrees, or not finite)"] and found["affine_shuffle: it costs accuracy"]
    assert found["at most 1.3 times at every 10th"]


def test_the_paper_preset_trains_what_its_claims_compare():
    names = ["_".join(pair) for pair in experiment.variants(PRESETS["paper"])]
    assert names.count("affine_conv1x1_nf_strong") == 1 and len([name for name in names if name.endswith("_nf_strong")]) == 1
    shown = experiment.claims(dict.fromkeys(names, classifier(10.0, 0.5, 0.5)))
    settings = {"preset": "small", "dataset": "cifar10", "every": 10}  # what the table of claims is about
    metrics = {name: {"angle_degrees": 0.5} for name in names}
    record = Record("a", "classification", "python", 0, settings, "abc", {}, 60.0, "2026-01-01", metrics, shown)
    assert "not run" not in PARTS["claims"]([record])


@pytest.mark.slow
def test_a_training_whose_inverse_is_lost_counts_as_failed_beside_the_others(tmp_path, monkeypatch, capsys):
    train = experiment.train

    def lost(model, name, *rest):
        if name.endswith("_fd"):
            raise NonFiniteError(f"{name}: its inverse was lost")
        return train(model, name, *rest)

    monkeypatch.setattr(experiment, "train", lost)
    out = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    bodies = ("affine_shuffle", "additive_shuffle")
    result = experiment.run(dataclasses.replace(PRESETS["smoke"], preset="smoke", bodies=bodies, **out))
    assert set(result["metrics"]) == {f"{body}_none" for body in bodies}
    assert result["failed"] == {f"{body}_fd": f"{body}_fd: its inverse was lost" for body in bodies}
    assert "affine_shuffle_fd: its inverse was lost It counts as failed" in capsys.readouterr().err.replace("lost.", "lost")


def test_settings_that_contradict_each_other_are_refused():
    twice = dataclasses.replace(PRESETS["small"], bodies=("affine_shuffle", "affine_shuffle"))
    with pytest.raises(UserError, match="--bodies"):
        twice.check()


@pytest.mark.slow
def test_a_run_leaves_its_results_and_goes_on(tmp_path):
    out = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    config = dataclasses.replace(PRESETS["smoke"], preset="smoke", timed_every=(2,), **out)
    experiment.run(config)
    result = json.loads((tmp_path / "run/result.json").read_text())
    numbers = result["metrics"]["affine_shuffle_fd"]
    assert 1 <= numbers["condition_number"] < 100 and numbers["reconstruction_error"]["nonfinite_share"] == 0
    assert numbers["angle_degrees"] < 1e-2 and numbers["gradients_nonfinite"] == 0
    assert result["metrics"]["time of a step"]["every 2"] > 0
    assert (tmp_path / "run/report.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "saved/classification").iterdir())
    (tmp_path / "run/result.json").unlink()
    experiment.run(dataclasses.replace(config, resume=True))
    again = json.loads((tmp_path / "run/result.json").read_text())
    assert again["metrics"] == result["metrics"]


@pytest.mark.slow
def test_an_inverse_lost_in_training_is_the_users_to_mend(tmp_path):
    out = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    config = dataclasses.replace(PRESETS["smoke"], preset="smoke", rate=30.0, regularizers=("fd",), **out)
    with pytest.raises(UserError, match="its inverse was lost.*--every"):
        experiment.run(config)
