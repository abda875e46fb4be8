"""What a recipe refuses once TensorFlow is there, but before it trains; and how a run that broke is told."""

import contextlib
import dataclasses
import importlib
import json
import math
import shutil

import keras
import numpy as np
import pytest

from inntf.models import DensityModel, real_nvp
from inntf.serving import export, read_card
from recipes.common.errors import UserError
from recipes.common.exporting import export_once
from recipes.common.image_data import ImageData
from recipes.common.run_folder import RunFolder
from recipes.iresnet import models as iresnet_models

NAMES = ("flowgan", "checkerboard", "iresnet", "attack", "decorrelation", "density")
EXPORTS = {name: name for name in NAMES} | {"checkerboard": "checkerboard_residual", "iresnet": "iresnet_density"}
OWN = {name: {} for name in NAMES} | {"checkerboard": {"model": "residual"}, "iresnet": {"task": "density"}}


def smoke(name, **settings):
    recipe = importlib.import_module(f"recipes.{name}.__main__").RECIPE
    return dataclasses.replace(recipe.presets["smoke"], preset="smoke", **{**OWN[name], **settings})


def run(name, config):
    return importlib.import_module(f"recipes.{name}.experiment").run(config)


@pytest.fixture
def untrained(monkeypatch):
    """Nothing may be trained."""

    def trained(*_, **__):
        pytest.fail("it trains")

    monkeypatch.setattr(keras.Model, "fit", trained)
    monkeypatch.setattr("recipes.checkerboard.experiment.train", trained)
    monkeypatch.setattr("recipes.flowgan.experiment.make_features", trained)


@pytest.mark.parametrize("name", NAMES)
def test_places_of_the_exports_are_proved_first(name, tmp_path, untrained):
    (tmp_path / "file").write_text("")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / EXPORTS[name]).write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), tmp_path / "models"):
        with pytest.raises(UserError, match="--export-dir"):
            run(name, smoke(name, out=tmp_path / "run", export_dir=bad))
    with pytest.raises(UserError, match="--out"):
        run(name, smoke(name, out=tmp_path / "file", export_dir=tmp_path / "saved"))
    assert {p.name for p in tmp_path.iterdir()} == {"file", "models"}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("flowgan", {"batch_size": 257}, "--batch-size.*257 for 256"),
        ("flowgan", {"jacobian_images": 65}, "--jacobian-images.*65 for 64"),
        ("flowgan", {"seed": -1}, "--seed"),
        ("flowgan", {"strategy": "multiworker"}, "multiworker"),
        ("iresnet", {"batch_density": 513}, "--batch-density.*513 for 512"),
        ("iresnet", {"task": "classify", "batch_size": 513}, "--batch-size.*513 for 512"),
        ("iresnet", {"levels": 3}, "--depth"),
        ("iresnet", {"task": "classify", "channels": 1}, "channels"),
        ("checkerboard", {"steps_residual": 0}, "--steps-residual"),
        ("attack", {"batch_size": 257}, "--batch-size.*257 for 256"),
        ("attack", {"size": 30}, "--size.*at most 28"),
        ("decorrelation", {"batch_size": 257}, "--batch-size.*257 for 256"),
        ("density", {"batch_size": 257}, "--batch-size.*257 for 256"),
        ("density", {"size": 30}, "--size.*at most 28"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused_and_the_folder_given_back(name, settings, said, tmp_path, untrained):
    with pytest.raises(UserError, match=said):
        run(name, smoke(name, out=tmp_path / "run", export_dir=tmp_path / "saved", **settings))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["flowgan", "iresnet", "attack", "decorrelation", "density"])
def test_a_folder_of_data_that_is_not_there_is_refused(name, tmp_path, untrained):
    for dataset, where, said in (("mnist_5k", "none", "--data-dir"), ("fashion_mnist", ".", r"recipes\.prepare")):
        with pytest.raises(UserError, match=said):
            run(name, smoke(name, dataset=dataset, data_dir=tmp_path / where, out=tmp_path / "run", export_dir=tmp_path / "s"))
    assert not any(tmp_path.iterdir())


# ---- a run that broke -----------------------------------------------------------------------------------------


BROKEN = {"max": math.inf, "median": math.nan, "nonfinite_share": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 0.0])
def test_summaries_and_claims_take_any_number(value, tmp_path):
    """As they come from a run, and as they come back from the file of a run that goes on."""
    error = {**BROKEN, "max": value}
    gan = {
        "bits_per_dim": value,
        "reconstruction_error": error,
        "reconstruction_error_after_9_passes": error,
        "condition_number": value,
        "fid": value,
        "prior_refit": {
            "train_before": value,
            "train_closed_form": value,
            "train_gradient": value,
            "relative_difference": value,
        },
    }
    gan_names = ("mle_unstable", "hybrid_unstable", "adv_unstable", "mle_stable", "adv_stable")
    grid = {k: {"inside": error, "outside": error} for k in ("error", "condition_number")}
    map_numbers = {"test_nll": value, "grid": {**grid, "nonfinite_values": 7, "largest_error": value}}
    flow = {"bits_per_dim": value, "weights": 3, "reconstruction_error": error}
    classifier = {"test_accuracy": value, "reconstruction_error": error, "largest_certified_norm": value}
    attacked = {"start_error": error, "largest_error": value, "median_growth": value, "nonfinite_share": 0.5, "inside": True}
    unlike = {kind: {**error, "ratio": value} for kind in ("data", "gaussian", "uniform", "rademacher", "texture")}
    attacked = {
        "bits_per_dim": value,
        "attack": attacked,
        "unlike": unlike,
        "ball": {key: [value] for key in ("attacked", "sampled", "certified")},
    }
    row = {"nonfinite_share": 0.5, "max": value, "ratio": value}
    density = {"bits_per_dim": value, "test_bits_per_dim": value, "condition_number": value, "condition_number_growth": value}
    density |= {"condition_number_first": value, "largest_singular_value": value, "smallest_singular_value": value}
    density |= {"untrained": {"test_bits_per_dim": value}, "unlike": dict.fromkeys(unlike, row)}
    linear = {"loss": value, "condition_number": value}
    names = ("rotation_back", "rotation_and_scaling_back", "trained_rotation", "trained_free", "trained_likelihood")
    network = {"loss_train": value, "loss_test": value, "loss_train_if_independent": 1.0, "condition_number": value}
    network |= {"largest_singular_value": value, "smallest_singular_value": value, "reconstruction_error": error}
    network["untrained"] = {"loss_train": value}
    found = {
        "decorrelation": {
            "linear": {"condition_number_of_D": 10.0, **dict.fromkeys(names, linear)},
            "networks": dict.fromkeys(("additive_spectral", "affine", "affine_actnorm_both"), network),
        },
        "density": dict.fromkeys(("affine", "additive", "residual"), density),
        "attack": {"affine_half": attacked, "residual": attacked},
        "flowgan": {**dict.fromkeys(gan_names[:-1], gan), gan_names[-1]: {**gan, "prior_refit": {"failed": "x"}}},
        "checkerboard": dict.fromkeys(("affine_sigmoid", "affine_half", "residual"), map_numbers),
        "iresnet": {
            "classify": {
                "unconstrained": {"test_accuracy": value, "coefficient": None},
                "c_0.9": {**classifier, "coefficient": 0.9},
                "c_0.5": {**classifier, "coefficient": 0.5},
            },
            "density": {"residual": flow, "affine": flow},
            "toys": {"checkerboard": {"residual": flow, "affine": flow}},
        },
    }
    for name, metrics in found.items():
        module = importlib.import_module(f"recipes.{name}.experiment")
        folder = RunFolder.open(smoke(name, out=tmp_path / name), name, argv=[])
        folder.note_progress(variants=metrics)
        result = folder.finish(folder.noted("variants"), claims=module.claims(folder.noted("variants")))
        assert module.table(result["metrics"])
        json.loads((tmp_path / name / "result.json").read_text(), parse_constant=pytest.fail)


def test_a_model_is_exported_once_however_often_the_run_goes_on(tmp_path, monkeypatch):
    flow, target = real_nvp(event_shape=2, depth=1), tmp_path / "saved" / "model"
    config = smoke("checkerboard", out=tmp_path / "run")
    about = {"variant": "affine", "measured": {"test_nll": 1.0, "history": [1]}}

    @contextlib.contextmanager
    def going_on(resume=True):
        with RunFolder.open(dataclasses.replace(config, resume=resume), "checkerboard", argv=[]) as folder:
            yield folder

    for resume in (False, True):
        with going_on(resume) as folder:
            assert export_once(folder, flow, target, **about) == str(target / "1")
            for figure in (math.nan, math.inf):
                assert export_once(folder, flow, tmp_path / "saved" / "other", figure=figure, **about) is None
    assert [p.name for p in target.iterdir()] == ["1"]
    card = read_card(target / "1")["training"]
    assert card["measured"] == {"test_nll": 1.0} and card["recipe"] == "checkerboard" and card["seed"] == config.seed

    shutil.rmtree(target)  # whoever removes the version gets another
    note = RunFolder.note_progress

    def killed_between(self, **what):
        if "exported" in what and (target / "1").exists():
            raise KeyboardInterrupt
        note(self, **what)

    with going_on() as folder:
        note(folder, **{k: v for k, v in folder.progress().items() if k != "exported"})
        monkeypatch.setattr(RunFolder, "note_progress", killed_between)
        with pytest.raises(KeyboardInterrupt):
            export_once(folder, flow, target, **about)
        monkeypatch.setattr(RunFolder, "note_progress", note)
    export(flow, target)  # another's, which has no mark
    with going_on() as folder:
        assert export_once(folder, flow, target, **about) == str(target / "1")
        assert folder.strings("exported") == {"model": str(target / "1")}
    assert sorted(p.name for p in target.iterdir()) == ["1", "2"]


# ---- seeds ----------------------------------------------------------------------------------------------------


def test_the_seed_is_that_of_all_weights_of_the_densities_whatever_was_made_before():
    from recipes.iresnet.densities import _make

    def weights(seed, make, spoil):
        keras.utils.set_random_seed(spoil)
        config = smoke("iresnet", seed=seed)
        import tensorflow as tf

        model = _make(lambda: make(config), seed, tf.distribute.get_strategy())
        return np.concatenate([np.ravel(v) for v in map(np.asarray, model.variables)]).astype(np.float64)

    for make in (
        lambda config: iresnet_models.make_toy_flow("residual", config),
        lambda config: iresnet_models.make_image_flow("affine_unsqueezed", config, (8, 8, 1), 500),
    ):
        first = weights(3, make, 1)
        np.testing.assert_array_equal(first, weights(3, make, 2))
        assert not np.array_equal(first, weights(4, make, 1))


def test_the_exported_density_draws_the_same_noise_whatever_ran_before(tmp_path):
    from recipes.iresnet.experiment import _trained_flow

    config = smoke("iresnet", out=tmp_path / "run", seed=3)
    images = np.zeros([4, 8, 8, 1], np.uint8)
    data = ImageData(images, np.zeros(4, np.int64), images, np.zeros(4, np.int64), "black")
    with RunFolder.open(config, "iresnet", argv=[]) as folder:
        made = DensityModel(iresnet_models.make_image_flow("residual", config, data.shape))
        made.save_weights(folder.path / "density_residual.weights.h5")
        found = []
        for spoil in (1, 2):
            keras.utils.set_random_seed(spoil)
            flow = _trained_flow(config, data, folder)
            found.append(np.concatenate([np.ravel(np.asarray(v)).astype(np.float64) for v in flow.variables]))
    np.testing.assert_array_equal(*found)
