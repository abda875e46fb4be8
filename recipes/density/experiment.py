"""What `python -m recipes.density` does: train the flows, watch their inverses, show them other inputs, report, export."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.core.random_states import same_draws
from recipes.common import files
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell, ratio
from recipes.density import images, models
from recipes.density.measuring import NOISE_SETS
from recipes.density.report import draw
from recipes.density.settings import Config
from recipes.density.training import train

NAME = "density"
UNLIKE_AFFINE, UNLIKE_RESIDUAL = 10.0, 3.0
LARGEST_ERROR = 1e-3


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png`, the pictures and a SavedModel; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[NAME],
        batch_sizes=[config.batch_size],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    data = images.load(config)
    others = images.load_others(config, data)
    numbers, pictures, flows = {}, {}, {}
    for name in config.models:
        measurer, history = train(name, config, data, run)
        flows[name], stored = measurer.flow, run.folder.path / f"pictures_{name}.npz"

        def measured(
            measurer: Any = measurer, name: str = name, history: Any = history, stored: Any = stored
        ) -> dict[str, Any]:
            print(f"{name}: reconstructing noise and other data, measuring ...", flush=True)
            with same_draws(measurer.flow.block):  # what is exported is the same whether this part of the run measured it
                found, made = measurer.final(others)
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, **made)
            return {**found, **over_training(history), "history": history}

        numbers[name] = run.once("models", name, measured, again=not stored.exists())
        with np.load(stored) as file:
            pictures[name] = dict(file)
    chosen = best(numbers)
    some = data.test[:64].astype(np.float32)
    target, figure = run.exports / NAME, numbers[chosen]["bits_per_dim"]
    served = models.over_pixels(flows[chosen])
    where = export_once(run.folder, served, target, variant=chosen, measured=numbers[chosen], figure=figure, batch=some)
    return Findings(numbers, draw(config, data, numbers, pictures), {NAME: where})


def over_training(history: list[dict[str, Any]]) -> dict[str, Any]:
    """What the claims need of the looks: the first one is at the untrained model."""
    untrained, first, last = history[0], history[1], history[-1]
    return {
        "untrained": {key: untrained[key] for key in ("test_bits_per_dim", "condition_number")},
        "condition_number_first": first["condition_number"],
        "condition_number_first_step": first["step"],
        "condition_number_growth": ratio(last["condition_number"], first["condition_number"]),
        "condition_number_growth_untrained": ratio(last["condition_number"], untrained["condition_number"]),
    }


def best(metrics: dict[str, Any]) -> str:
    """The model that is exported: of those that give back whatever they were shown, below 1e-3, the likeliest one.

    If there is none, the one that loses least.
    """

    def key(name: str) -> tuple[bool, float]:
        worst = max(worst_error(found) for found in metrics[name]["unlike"].values())
        return (False, float(metrics[name]["bits_per_dim"])) if worst < LARGEST_ERROR else (True, worst)

    return min(metrics, key=key)


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        after, before = float(m["test_bits_per_dim"]), float(m["untrained"]["test_bits_per_dim"])
        out[f"{name}: bits/dim of test images below the untrained model's"] = bool(np.isfinite(after) and after < before)
        worst = worst_error(m["unlike"]["data"])
        out[f"{name}: largest error of reconstructed test images"] = worst
        out[f"{name}: below 1e-3"] = worst < LARGEST_ERROR
        out[f"{name}: condition number at the last look over that at the first in training"] = m["condition_number_growth"]
        if name != "residual":
            # The paper shows curves and names no factor: what is claimed is the direction alone.
            out[f"{name}: larger at the end than at the first look in training"] = float(m["condition_number_growth"]) > 1
        out[f"{name}: error on noise over that on test images, largest"] = largest = worst_ratio(m)
        if name == "affine":
            out["affine: at least 10 on some noise"] = largest >= UNLIKE_AFFINE
        if name == "residual":
            whole = largest <= UNLIKE_RESIDUAL and noise_lost(m) == 0
            out["residual: at most 3 on all noise, and nothing lost"] = whole
    return out


def worst_ratio(m: dict[str, Any]) -> float:
    """Largest median error on a kind of noise over that on test images."""
    return max(float(m["unlike"][kind]["ratio"]) for kind in NOISE_SETS)


def noise_lost(m: dict[str, Any]) -> float:
    """Largest share of a kind of noise that does not come back finite."""
    return max(float(m["unlike"][kind]["nonfinite_share"]) for kind in NOISE_SETS)


def worst_error(found: dict[str, Any]) -> float:
    """Largest error of a set, infinite if one is not finite."""
    return float("inf") if found["nonfinite_share"] else float(found["max"])


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per flow."""
    heads = (
        "bits/dim",
        "untrained",
        "error max",
        "condition",
        "at first",
        "sigma max",
        "sigma min",
        "noise lost",
        "noise/test",
    )
    lines = [f"{'':10s}" + "".join(f"{head:>12s}" for head in heads)]
    for name, m in metrics.items():
        cells = [m["bits_per_dim"], m["untrained"]["test_bits_per_dim"], worst_error(m["unlike"]["data"])]
        cells += [m["condition_number"], m["condition_number_first"], m["largest_singular_value"]]
        cells += [m["smallest_singular_value"], noise_lost(m), worst_ratio(m)]
        lines.append(f"{name:10s}" + "".join(cell(c, 12, ".3g") for c in cells))
    return lines
