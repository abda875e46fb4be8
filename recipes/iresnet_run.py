"""What `python -m recipes.iresnet` does: train and measure what the task asks for, report, export."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np

from inntf.models import DensityModel, Flow, IResNetClassifier
from inntf.serving import export
from recipes import iresnet_models as models
from recipes.common.data import load_images
from recipes.common.errors import as_user_error
from recipes.common.exporting import export_once
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, claim_lines, ratio
from recipes.common.places import export_root
from recipes.common.run_folder import RunFolder
from recipes.common.strategy import check_batch_size, make_strategy
from recipes.iresnet import RECIPE, Config
from recipes.iresnet_classify import FREE, classify, name_of
from recipes.iresnet_flows import density, toy_densities
from recipes.iresnet_report import draw

POINTS_LOST = 1.5
LARGEST_ERROR = 1e-4
TASKS = ("classify", "density", "toys")
EXPORTS = {"classify": "iresnet_features", "density": "iresnet_density"}


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and SavedModels; returns the result."""
    config.check()
    strategy = make_strategy(config.strategy)
    check_batch_size(strategy, config.batch_size)
    check_batch_size(strategy, config.batch_density)
    check_batch_size(strategy, config.batch_toys)
    wanted = TASKS if config.task == "all" else (config.task,)
    root = export_root(config.export_dir, [name for task, name in EXPORTS.items() if task in wanted])
    with RunFolder.open(config, RECIPE.name) as folder:
        if folder.finished:
            print(f"{folder.path} holds a finished run; its result stands.")
            return folder.result()
        halvings = len(config.blocks) - 1 + config.squeeze_first
        data = {
            task: prepared(config, n) for task, n in {"classify": halvings, "density": config.levels}.items() if task in wanted
        }
        for task, flag, size in (
            ("classify", "--batch-size", config.batch_size),
            ("density", "--batch-density", config.batch_density),
        ):
            if task in wanted:
                data[task].check_batch(size, flag)
        done: dict[str, Any] = {}
        if "classify" in wanted:
            done["classify"] = classify(config, data["classify"], strategy, folder)
        if "density" in wanted:
            done["density"] = density(config, data["density"], strategy, folder)
        if "toys" in wanted:
            done["toys"] = toy_densities(config, strategy, folder)
        folder.write_figure("report.png", draw(config, done, folder.path))
        metrics = _without_histories(done)
        exported = export_models(config, data, metrics, folder, root)
        result = folder.finish(metrics, claims=claims(metrics), exported=exported)
    print(summary(result))
    print(f"report: {folder.path / 'report.png'}\nresult: {folder.path / 'result.json'}")
    print("\n".join(f"SavedModel: {where or 'none'}" for where in exported.values()))
    print(f"tensorboard --logdir {folder.logs}")
    return result


def prepared(config: Config, halvings: int) -> ImageData:
    """The images, with a border of zeros where their sides do not divide by two so many times."""
    data = load_images(config.dataset, config.data_dir)
    side = 2**halvings
    size = -(-max(data.shape[:2]) // side) * side
    data = data if data.shape[:2] == (size, size) else data.padded(size)
    return data.first(train=512, test=64) if config.preset == "smoke" else data


def export_models(
    config: Config, data: dict[str, ImageData], metrics: dict[str, Any], folder: RunFolder, root: pathlib.Path
) -> dict[str, str | None]:
    """The classifier's body (image to features and back) and the residual flow on images, each as a SavedModel."""
    card = {"recipe": "iresnet", "preset": config.preset, "dataset": config.dataset, "seed": config.seed}
    out: dict[str, str | None] = {}
    if "classify" in metrics:
        name = name_of(max(config.coefficients))
        model: IResNetClassifier = keras.saving.load_model(folder.path / f"classifier_{name}.keras")
        shown = {**card, "variant": name, "measured": metrics["classify"][name]}
        target = root / EXPORTS["classify"]
        out[target.name] = export_once(folder, target, lambda: export(model.body, target, card=shown))
    if "density" in metrics:
        flow = models.over_pixels(_trained_flow(config, data["density"], folder))
        about = {**card, "variant": "residual", "measured": metrics["density"]["residual"]}
        place = root / EXPORTS["density"]
        out[place.name] = export_once(
            folder, place, lambda: export(flow, place, card=about), metrics["density"]["residual"]["bits_per_dim"]
        )
    return out


def _trained_flow(config: Config, data: ImageData, folder: RunFolder) -> Flow:
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


def _without_histories(done: Any) -> Any:
    if not isinstance(done, dict):
        return done
    return {key: _without_histories(value) for key, value in done.items() if key != "history"}


def summary(result: dict[str, Any]) -> str:
    """Tables for the terminal."""
    metrics, lines = result["metrics"], []
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
    return "\n".join([*lines, *claim_lines(result["claims"])])
