"""What `python -m recipes.flowgan` does: train every variant, measure it, refit its prior, report, export."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import Flow, FlowGan
from inntf.nets import certify_norms
from recipes.common import files
from recipes.common.data import load_images
from recipes.common.errors import UserError, as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.fid import make_features
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, ratio
from recipes.flowgan import models
from recipes.flowgan.measuring import measure
from recipes.flowgan.report import draw, draw_both
from recipes.flowgan.settings import Config
from recipes.flowgan.training import SO_FAR, samples_on_the_way, train

NAME = "flowgan"
PAIRS = ("mle_unstable", "hybrid_unstable", "adv_unstable", "mle_stable", "adv_stable")


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
        may_change=["steps_hybrid", "steps_adv"],  # the rate of maximum likelihood falls to zero over its steps,
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    data = load_images(config.dataset, config.data_dir).halvable(config.levels)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    check_data(config, data)
    features = make_features(data, seed=config.seed, steps=400 if config.preset != "smoke" else 20)
    print(f"samples so far, renewed at every look: {run.folder.path / SO_FAR}", flush=True)
    numbers, pictures, flows, weights = {}, {}, {}, {}
    reported = [f"{objective}_{architecture}" for objective, architecture in variants(config)]
    best = "hybrid_unstable" if "hybrid_unstable" in reported else reported[0]
    for objective, architecture in trainings(config):
        name = f"{objective}_{architecture}"
        if architecture not in flows:
            flows[architecture], weights[architecture] = make_flow(config, run, data, architecture)
        flow = flows[architecture]
        gan = make_gan(config, run, flow.flow, objective, weights[start(config, objective, architecture)])
        history = train(gan, flow, name, config, data, features, run.folder)
        certify_norms(gan.block, rescale=True)  # from here on the spectral norms hold exactly
        weights[name] = gan.block.get_weights()
        if (objective, architecture) not in variants(config):
            continue  # trained for those that go on from it

        stored = run.folder.path / f"pictures_{name}.npz"

        def measured(
            gan: FlowGan = gan, flow: Any = flow, name: str = name, history: Any = history, stored: Any = stored
        ) -> dict[str, Any]:
            print(f"{name}: measuring the inverse, the prior, the samples ...", flush=True)
            board = tf.summary.create_file_writer(str(run.folder.logs / name))
            found, shown = measure(gan, flow, data, features, config, board)
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, **shown)
            return {**found, "history": history}

        of = {"steps": config.steps(objective), "exports": [NAME] if name == best else []}
        numbers[name] = run.once("variants", name, measured, again=not stored.exists(), **of)
        with np.load(stored) as file:
            pictures[name] = dict(file)
    flow = flows[best.split("_")[1]].flow
    flow.block.set_weights(weights[best])
    target, served = run.exports / NAME, models.over_pixels(flow)
    figure = numbers[best]["bits_per_dim"]
    where = export_once(run.folder, served, target, variant=best, measured=numbers[best], figure=figure)
    on_the_way = {name: samples_on_the_way(run.folder, name, numbers[name]["history"]) for name in numbers}
    if {"adv_unstable", "adv_stable"} <= set(numbers):
        errors = {n: m["reconstruction_error_after_9_passes"]["max"] for n, m in numbers.items()}
        run.folder.write_figure("passes.png", draw_both(pictures, errors), dpi=110)
    report = draw(config, data, features.label, numbers, pictures, on_the_way)
    return Findings(numbers, report, {NAME: where}, {"sample_quality": features.label})


def variants(config: Config) -> list[tuple[str, str]]:
    """The (objective, architecture) pairs that a run reports."""
    if config.objective == "all":
        return [("mle", "unstable"), ("hybrid", "unstable"), ("adv", "unstable"), ("mle", "stable"), ("adv", "stable")]
    return [(config.objective, config.architecture)]


def trainings(config: Config) -> list[tuple[str, str]]:
    """The pairs that it trains: with `warm_start` each architecture begins with maximum likelihood."""
    wanted = variants(config)
    if config.warm_start and config.objective in ("hybrid", "adv"):
        return [("mle", config.architecture), *wanted]
    return wanted


def start(config: Config, objective: str, architecture: str) -> str:
    """Whose weights a training begins with: those of maximum likelihood, or the architecture's first ones."""
    return f"mle_{architecture}" if config.warm_start and objective != "mle" else architecture


def make_flow(config: Config, run: Run, data: ImageData, architecture: str) -> tuple[models.TracedFlow, list[np.ndarray]]:
    """The flow of an architecture, which all its objectives train in turn, and its weights, initialized from data."""
    keras.utils.set_random_seed(config.seed)
    with run.strategy.scope(), as_user_error():
        flow = models.make_flow(config, data.shape, architecture)
    flow.initialize(models.scaled(data.train[:256], config.seed))  # ActNorm, between the blocks and inside them
    return models.TracedFlow(flow), flow.block.get_weights()


def make_gan(config: Config, run: Run, flow: Flow, objective: str, weights: list[np.ndarray]) -> FlowGan:
    """The model of an objective, to be trained from the given weights of its flow."""
    keras.utils.set_random_seed(config.seed)
    with run.strategy.scope(), as_user_error():
        gan = models.make_gan(config, flow, objective)
    flow.block.set_weights(weights)
    return gan


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


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        refit = m["prior_refit"]
        if "failed" not in refit:
            out[f"{name}: refit never lowers the training likelihood"] = (
                refit["train_closed_form"] <= refit["train_before"] + 1e-6
            )
            # Of the gains: likelihoods lie within 1 % of each other even where the gradient has found nothing.
            out[f"{name}: gradient refit within 1 % of the closed form"] = bool(refit["relative_difference"] < 0.01)
    if not set(PAIRS) <= set(metrics):
        return out
    mle, hybrid, unstable, stable = (metrics[k] for k in ("mle_unstable", "hybrid_unstable", "adv_unstable", "adv_stable"))
    out["bits/dim MLE < hybrid < ADV"] = mle["bits_per_dim"] < hybrid["bits_per_dim"] < unstable["bits_per_dim"]
    out["ADV at least 1 bit/dim above MLE"] = unstable["bits_per_dim"] >= mle["bits_per_dim"] + 1
    out["MLE, unstable: at most 1.6 bits/dim"] = mle["bits_per_dim"] <= 1.6
    factor = ratio(unstable["condition_number"], stable["condition_number"])
    out["condition number (float64), unstable over stable"] = factor
    out["condition number at least 100 times"] = factor >= 100
    broken = unstable["reconstruction_error_after_9_passes"]
    out["ADV, unstable: reconstruction visibly broken (9 passes)"] = not broken["max"] < 1.0 or broken["nonfinite_share"] > 0
    out["ADV, unstable: largest finite reconstruction error after 9 passes"] = broken["max"]
    out["ADV, unstable: share of images that are not finite after 9 passes"] = broken["nonfinite_share"]
    out["ADV, stable: reconstruction error below 1e-3"] = stable["reconstruction_error"]["max"] < 1e-3
    best = max((metrics[k].get("confident_share") or 0.0 for k in PAIRS), default=0.0)
    out["samples of the best model that the classifier calls one digit with more than 0.9"] = best
    out["at least half of them"] = best >= 0.5
    return out


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per variant."""
    lines = [f"{'':16s}{'bits/dim':>12s}{'error max':>12s}{'condition':>12s}{'FID':>10s}{'sure':>8s}{'refit gain':>12s}"]
    for name, m in metrics.items():
        gain = m["prior_refit"].get("gain_nats_closed_form", math.nan)
        sure = math.nan if m.get("confident_share") is None else m["confident_share"]
        cells = (m["bits_per_dim"], m["reconstruction_error"]["max"], m["condition_number"], m["fid"], sure, gain)
        lines.append(f"{name:16s}" + "".join(cell(c, w) for c, w in zip(cells, (12, 12, 12, 10, 8, 12), strict=True)))
    return lines
