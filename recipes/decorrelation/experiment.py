"""What `python -m recipes.decorrelation` does: the linear case, every network trained and measured, report, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.nets import certify_norms
from inntf.training import write_stability
from recipes.common import files
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell, ratio
from recipes.common.scaling import scaled
from recipes.decorrelation import models
from recipes.decorrelation.images import load
from recipes.decorrelation.linear import TRAINED, measure_linear
from recipes.decorrelation.measuring import Measurer
from recipes.decorrelation.report import draw
from recipes.decorrelation.settings import Config
from recipes.decorrelation.training import reconstructions_on_the_way, train

NAME = "decorrelation"
STABLE = "additive_spectral"
FALL, FACTOR, EXACT = 0.8, 10.0, 1e-4

Measured = tuple[dict[str, Any], dict[str, np.ndarray]]


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
        may_change=["steps"] if config.schedule == "constant" else [],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    data = load(config)
    linear, points = kept(run, "linear", "linear", lambda: measure_linear(config))
    numbers, arrays, on_the_way, blocks = {}, {}, {}, {}
    for variant in models.variants(config):
        name = variant.name
        keras.utils.set_random_seed(config.seed)
        with run.strategy.scope(), as_user_error():
            block = models.make_flow(config, data.shape, variant).block
        block.initialize(scaled(data.train[:256], config.noise, [config.seed, -1]))  # ActNorm, also inside the networks
        first = block.get_weights()
        with run.strategy.scope():
            model = models.Decorrelator(block)
            model.compile(models.make_optimizer(config))
        measurer = Measurer(block, config, data)
        history = train(model, name, config, data, measurer, run.folder)
        certify_norms(block, rescale=True)  # from here on the spectral norms hold exactly

        def measured(name: str = name, measurer: Measurer = measurer, first: Any = first, history: Any = history) -> Measured:
            print(f"{name}: measuring the correlation, the inverse, the Jacobian ...", flush=True)
            found, matrices = before_and_after(measurer, first)
            board = tf.summary.create_file_writer(str(run.folder.logs / name))
            few = {"samples": config.jacobian_images, "precision": "float64"}
            _, verdict = write_stability(board, measurer.block, measurer.watched, config.steps, **few)
            return {**found, "verdict": str(verdict), "history": history}, matrices

        numbers[name], arrays[name] = kept(run, "networks", name, measured, steps=config.steps, exports=[NAME])
        on_the_way[name] = reconstructions_on_the_way(run.folder, name, numbers[name]["history"])
        blocks[name] = block
    best = min(blocks, key=lambda name: (not name.startswith(STABLE), numbers[name]["condition_number"]))
    served = models.over_pixels(blocks[best], data.shape)
    figure = numbers[best]["loss_test"]
    where = export_once(run.folder, served, run.exports / NAME, variant=best, measured=numbers[best], figure=figure)
    report = draw(config, data, {"linear": linear, "networks": numbers}, points, arrays, on_the_way)
    return Findings({"linear": linear, "networks": numbers}, report, {NAME: where})


def kept(run: Run, part: str, name: str, make: Callable[[], Measured], **of: Any) -> Measured:
    """Numbers and arrays that `make` measures, once a run and a number of steps: the arrays in a file of their own."""
    stored = run.folder.path / f"arrays_{name}.npz"

    def made() -> dict[str, Any]:
        numbers, arrays = make()
        with files.atomic(stored) as beside:
            np.savez_compressed(beside, **arrays)
        return numbers

    numbers = run.once(part, name, made, again=not stored.exists(), **of)
    with np.load(stored) as file:
        return numbers, dict(file)


def before_and_after(measurer: Measurer, first: list[np.ndarray]) -> Measured:
    """What is measured of a trained block, and of the same block with its first weights; correlations and spectra of both."""
    trained = measurer.block.get_weights()
    numbers = measurer.final()
    arrays = {"correlation": measurer.correlation("train"), "spectrum": measurer.spectrum()}
    measurer.block.set_weights(first)
    numbers["untrained"] = {**measurer.losses(), **measurer.extremes()}
    arrays |= {"correlation_untrained": measurer.correlation("train"), "spectrum_untrained": measurer.spectrum()}
    measurer.block.set_weights(trained)
    return numbers, arrays


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The paper's claims, each with what this run shows."""
    linear, networks = metrics["linear"], metrics["networks"]
    out: dict[str, Any] = {}
    for name, m in networks.items():
        fall = 1 - ratio(m["loss_train"], m["untrained"]["loss_train"])
        out[f"{name}: loss over the training images falls by"] = fall
        out[f"{name}: by at least 80 %"] = bool(fall >= FALL)
    for stable in (name for name in networks if name.startswith(STABLE)):
        depth = stable.removeprefix(STABLE)
        for name in (n for n in networks if n.startswith("affine") and n.endswith(depth)):
            factor = ratio(networks[name]["condition_number"], networks[stable]["condition_number"])
            out[f"{name}: condition number over that of {stable}"] = factor
            out[f"{name}: at least 10 times"] = bool(factor >= FACTOR)
    condition = linear["condition_number_of_D"]
    stable, unstable = linear["rotation_back"], linear["rotation_and_scaling_back"]
    out["linear: R^T and D^-1 R^T both decorrelate (loss < 1e-6)"] = bool(max(stable["loss"], unstable["loss"]) < 1e-6)
    out["linear: cond(R^T) = 1 within 1e-4"] = close(stable, 1.0)
    out["linear: cond(D^-1 R^T) = cond(D) within 1e-4"] = close(unstable, condition)
    rotation, free, likelihood = (linear[f"trained_{kind}"] for kind in TRAINED)
    decorrelated = bool(max(m["loss"] for m in (rotation, free, likelihood)) < EXACT)
    out["linear: trained rotation, trained matrix, maximum likelihood all decorrelate (loss < 1e-4)"] = decorrelated
    out["linear: cond(trained rotation) = 1 within 1e-4"] = close(rotation, 1.0)
    out["linear: cond(maximum likelihood) = cond(D) within 1e-4"] = close(likelihood, condition)
    out["linear: cond(trained matrix), which the objective leaves open"] = free["condition_number"]
    return out


def close(m: dict[str, Any], condition: float) -> bool:
    """Whether a condition number is what theory says, within 1e-4 of it."""
    return bool(abs(m["condition_number"] / condition - 1) <= EXACT)


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per network."""
    heads = (("untrained", 11), ("loss", 9), ("test", 9), ("floor", 8), ("condition", 11), ("sigma max", 11), ("sigma min", 11))
    lines = [f"{'':28s}" + "".join(f"{head:>{w}s}" for head, w in (*heads, ("error max", 11), ("not finite", 12)))]
    for name, m in metrics["networks"].items():
        error = m["reconstruction_error"]
        cells = [m["untrained"]["loss_train"], m["loss_train"], m["loss_test"], m["loss_train_if_independent"]]
        cells += [m["condition_number"], m["largest_singular_value"], m["smallest_singular_value"]]
        cells += [error["max"], error["nonfinite_share"]]
        widths = [w for _, w in heads] + [11, 12]
        lines.append(f"{name:28s}" + "".join(cell(c, w, ".3g") for c, w in zip(cells, widths, strict=True)))
    return lines
