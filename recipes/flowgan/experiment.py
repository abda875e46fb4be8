"""What `python -m recipes.flowgan` does: train every variant, measure it, refit its prior, report, export."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import keras

from inntf.models import Flow
from inntf.nets import certify_norms
from inntf.serving import export
from recipes.common.data import load_images
from recipes.common.errors import UserError, as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.fid import make_features
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, ratio
from recipes.flowgan import models
from recipes.flowgan.measuring import measure, take_pictures
from recipes.flowgan.report import draw
from recipes.flowgan.settings import Config
from recipes.flowgan.training import train

NAME = "flowgan"


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and a SavedModel; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[NAME],
        batch_sizes=[config.batch_size],
        may_change=["steps_mle", "steps_hybrid", "steps_adv"],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    data = load_images(config.dataset, config.data_dir).halvable(config.levels)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    check_data(config, data)
    features = make_features(data, seed=config.seed, steps=400 if config.preset != "smoke" else 20)
    steps = {"mle": config.steps_mle, "hybrid": config.steps_hybrid, "adv": config.steps_adv}
    numbers, pictures, flows = {}, {}, {}
    for objective, architecture in variants(config):
        name = f"{objective}_{architecture}"
        keras.utils.set_random_seed(config.seed)
        with run.strategy.scope(), as_user_error():
            gan = models.make_gan(config, data.shape, objective, architecture)
        gan.flow.initialize(models.scaled(data.train[:256], config.seed))  # ActNorm, between the blocks and inside them
        history = train(gan, name, steps[objective], config, data, run.folder)
        certify_norms(gan.block, rescale=True)  # from here on the spectral norms hold exactly

        def measured(gan: Any = gan, name: str = name, history: Any = history) -> dict[str, Any]:
            print(f"{name}: measuring the inverse, the prior, the samples ...", flush=True)
            return {**measure(gan, data, features, config), "history": history}

        numbers[name] = run.once("variants", name, measured)
        pictures[name], flows[name] = take_pictures(gan.flow, data, config.seed), gan.flow
    best = "hybrid_stable" if "hybrid_stable" in flows else next(iter(flows))
    target = run.exports / NAME
    where = export_once(
        run.folder, target, lambda: export_flow(flows[best], best, config, target, numbers[best]), numbers[best]["bits_per_dim"]
    )
    report = draw(config, data, features.label, numbers, pictures)
    return Findings(numbers, report, {NAME: where}, {"sample_quality": features.label})


def variants(config: Config) -> list[tuple[str, str]]:
    """The (objective, architecture) pairs of a run."""
    if config.objective == "all":
        return [("mle", "stable"), ("hybrid", "stable"), ("adv", "stable"), ("adv", "unstable")]
    return [(config.objective, config.architecture)]


def check_data(config: Config, data: ImageData) -> None:
    """Refuse settings that ask for more images than there are, before anything is trained.

    Raises:
        UserError: naming the flag.
    """
    data.check_batch(config.batch_size, "--batch-size")
    if len(data.test) < 2:
        raise UserError(f"{data.name}: received {len(data.test)} test images, expected at least 2 for the Frechet distance")
    if config.jacobian_images > len(data.test):
        raise UserError(f"--jacobian-images: received {config.jacobian_images} for {len(data.test)} test images")


def export_flow(flow: Flow, variant: str, config: Config, target: pathlib.Path, numbers: dict[str, Any]) -> pathlib.Path:
    """The flow over integer pixels as a SavedModel."""
    card = {"recipe": NAME, "variant": variant, "preset": config.preset, "dataset": config.dataset, "seed": config.seed}
    card |= {"measured": {k: v for k, v in numbers.items() if k != "history"}}
    return export(models.over_pixels(flow), target, card=card)


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        refit = m["prior_refit"]
        if "failed" not in refit:
            out[f"{name}: refit never lowers the training likelihood"] = (
                refit["train_closed_form"] <= refit["train_before"] + 1e-6
            )
            likelihoods = ratio(refit["train_gradient"], refit["train_closed_form"])
            out[f"{name}: gradient refit within 1 % of the closed form"] = abs(likelihoods - 1) < 0.01
    if len(metrics) < 4:
        return out
    mle, hybrid, stable, unstable = (metrics[k] for k in ("mle_stable", "hybrid_stable", "adv_stable", "adv_unstable"))
    out["bits/dim MLE < hybrid < ADV"] = mle["bits_per_dim"] < hybrid["bits_per_dim"] < stable["bits_per_dim"]
    out["ADV at least 1 bit/dim above MLE"] = stable["bits_per_dim"] >= mle["bits_per_dim"] + 1
    factor = ratio(unstable["condition_number"], stable["condition_number"])
    out["condition number, unstable over stable"] = factor
    out["condition number at least 100 times"] = factor >= 100
    broken = unstable["reconstruction_error"]
    out["unstable: reconstruction visibly broken (9 passes)"] = not unstable["reconstruction_error_after_9_passes"]["max"] < 1.0
    out["unstable: largest reconstruction error"] = broken["max"]
    out["stable: reconstruction error below 1e-3"] = stable["reconstruction_error"]["max"] < 1e-3
    return out


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per variant."""
    lines = [f"{'':16s}{'bits/dim':>12s}{'error max':>12s}{'condition':>12s}{'FID':>10s}{'refit gain':>12s}"]
    for name, m in metrics.items():
        gain = m["prior_refit"].get("gain_nats_closed_form", math.nan)
        cells = (m["bits_per_dim"], m["reconstruction_error"]["max"], m["condition_number"], m["fid"], gain)
        lines.append(f"{name:16s}" + "".join(cell(c, w) for c, w in zip(cells, (12, 12, 12, 10, 12), strict=True)))
    return lines
