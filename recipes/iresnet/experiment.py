"""What `python -m recipes.iresnet` does: train and measure what the task asks for, report, export."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inntf.models import DensityModel, Flow, IResNetClassifier
from recipes.common.data import load_images
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct, without_histories
from recipes.common.exporting import export_once
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, ratio
from recipes.common.run_folder import RunFolder
from recipes.iresnet import models
from recipes.iresnet.classify import FREE, classify, name_of
from recipes.iresnet.densities import density, toy_densities
from recipes.iresnet.report import draw
from recipes.iresnet.settings import Config

NAME = "iresnet"
POINTS_LOST = 1.5
LARGEST_ERROR = 1e-4
TASKS = ("classify", "density", "toys")
EXPORTS = {"classify": "iresnet_features", "density": "iresnet_density"}


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and SavedModels; returns the result."""
    wanted = TASKS if config.task == "all" else (config.task,)
    return conduct(
        config,
        NAME,
        lambda run: work(config, wanted, run),
        claims=claims,
        table=table,
        exports=[name for task, name in EXPORTS.items() if task in wanted],
        batch_sizes=[config.batch_size, config.batch_density, config.batch_toys],
    )


def work(config: Config, wanted: Sequence[str], run: Run) -> Findings:
    """The experiment."""
    data: dict[str, ImageData] = {}
    halvings = {"classify": len(config.blocks) - 1 + config.squeeze_first, "density": config.levels}
    batches = {"classify": ("--batch-size", config.batch_size), "density": ("--batch-density", config.batch_density)}
    for task in (task for task in halvings if task in wanted):
        images = load_images(config.dataset, config.data_dir).halvable(halvings[task])
        data[task] = images.first(train=512, test=64) if config.preset == "smoke" else images
    for task, images in data.items():
        flag, size = batches[task]
        images.check_batch(size, flag)
    numbers: dict[str, Any] = {}
    if "classify" in wanted:
        numbers["classify"] = classify(config, data["classify"], run)
    if "density" in wanted:
        numbers["density"] = density(config, data["density"], run)
    if "toys" in wanted:
        numbers["toys"] = toy_densities(config, run)
    exported = export_models(config, data, without_histories(numbers), run.folder, run.exports)
    return Findings(numbers, draw(config, numbers, run.folder.path), exported)


def export_models(
    config: Config, data: dict[str, ImageData], metrics: dict[str, Any], folder: RunFolder, root: pathlib.Path
) -> dict[str, str | None]:
    """The classifier's body (image to features and back) and the residual flow on images, each as a SavedModel."""
    out: dict[str, str | None] = {}
    if "classify" in metrics:
        name = name_of(max(config.coefficients))
        keras.utils.set_random_seed(config.seed)  # what the loaded body would draw, however often the run went on
        model: IResNetClassifier = keras.saving.load_model(folder.path / f"classifier_{name}.keras")
        target = root / EXPORTS["classify"]
        out[target.name] = export_once(folder, model.body, target, variant=name, measured=metrics["classify"][name])
    if "density" in metrics:
        flow = models.over_pixels(_trained_flow(config, data["density"], folder))
        place, measured = root / EXPORTS["density"], metrics["density"]["residual"]
        out[place.name] = export_once(
            folder, flow, place, variant="residual", measured=measured, figure=measured["bits_per_dim"]
        )
    return out


def _trained_flow(config: Config, data: ImageData, folder: RunFolder) -> Flow:
    keras.utils.set_random_seed(config.seed)  # the noise of its log-determinants, however often the run went on
    with as_user_error():
        model = DensityModel(models.make_image_flow("residual", config, data.shape))
    model.load_weights(folder.path / "density_residual.weights.h5")
    return model.flow


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The paper's claims, each with what this run shows."""
    out: dict[str, Any] = {}
    if "classify" in metrics:
        out |= _claims_of_classifiers(metrics["classify"])
    pairs = {"images": metrics["density"]} if "density" in metrics else {}
    for where, pair in {**pairs, **metrics.get("toys", {})}.items():
        residual = pair["residual"]
        affine = min((m for name, m in pair.items() if name != "residual"), key=lambda m: m["bits_per_dim"])
        gap = affine["bits_per_dim"] - residual["bits_per_dim"]
        out[f"{where}: bits/dim of the residual flow below the couplings'"] = bool(gap > 0)
        out[f"{where}: by so many bits/dim"] = gap
        out[f"{where}: weights of the couplings over those of the residual flow"] = ratio(
            affine["weights"], residual["weights"]
        )
    return out


def _claims_of_classifiers(found: dict[str, Any]) -> dict[str, Any]:
    bound = {name: m for name, m in found.items() if name != FREE}
    tightest, loosest = (bound[k] for k in (min(bound, key=_coefficient(bound)), max(bound, key=_coefficient(bound))))
    lost = 100 * (found[FREE]["test_accuracy"] - loosest["test_accuracy"])
    out: dict[str, Any] = {
        f"accuracy at {loosest['coefficient']:g} within {POINTS_LOST} points of the unconstrained twin": lost <= POINTS_LOST,
        f"points lost at {loosest['coefficient']:g}": lost,
    }
    if len(bound) > 1:
        out["accuracy at the smallest coefficient below that at the largest"] = (
            tightest["test_accuracy"] < loosest["test_accuracy"]
        )
        # Neighbours may change places by chance: a rank correlation of all.
        ranks = [np.argsort(np.argsort([m[key] for m in bound.values()])) for key in ("coefficient", "test_accuracy")]
        out["rank correlation of coefficient and accuracy"] = float(np.corrcoef(*ranks)[0, 1])
    worst = [m["reconstruction_error"] for m in bound.values()]
    finite = all(e["nonfinite_share"] == 0 for e in worst)
    out["reconstruction error of every test image below 1e-4 (l2, pixels 0 to 1)"] = bool(
        finite and max(e["max"] for e in worst) < LARGEST_ERROR
    )
    return out


def _coefficient(found: dict[str, Any]) -> Any:
    return lambda name: found[name]["coefficient"]


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per model."""
    lines = []
    if "classify" in metrics:
        lines.append(f"{'classifier':24s}{'accuracy':>10s}{'norm':>10s}{'error max':>12s}")
        for name, m in metrics["classify"].items():
            error = m["reconstruction_error"]["max"] if name != FREE else None
            norm = cell(m.get("largest_certified_norm"), 10, ".4f")
            lines.append(f"{name:24s}{cell(m['test_accuracy'], 10, '.4f')}{norm}{cell(error, 12, '.3g')}")
    pairs = {"images": metrics["density"]} if "density" in metrics else {}
    for where, pair in {**pairs, **metrics.get("toys", {})}.items():
        lines.append(f"{where:24s}{'bits/dim':>10s}{'weights':>10s}{'error max':>12s}")
        for name, m in pair.items():
            cells = (m["bits_per_dim"], 10, ".4f"), (m["weights"], 10, "d"), (m["reconstruction_error"]["max"], 12, ".3g")
            lines.append(f"  {name:22s}" + "".join(cell(*c) for c in cells))
    return lines
