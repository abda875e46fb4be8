"""What `python -m recipes.toy_regression` does: train every model, measure it, report, export."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from recipes.common import files
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell, ratio
from recipes.toy_regression import data
from recipes.toy_regression.measuring import Measurer
from recipes.toy_regression.models import make_flow
from recipes.toy_regression.report import draw
from recipes.toy_regression.settings import Config
from recipes.toy_regression.training import train

NAME = "toy_regression"
NONE = "none"
HIGHEST_MSE, ERROR_FACTOR, CONDITION_FACTOR = 1e-2, 100.0, 1000.0


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and a SavedModel; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[NAME],
        batch_sizes=[config.points],
        may_change=["steps"],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    pairs, test = data.pairs(config.points, config.seed), data.pairs(config.points, config.seed + 2**31)
    numbers, pictures, exported = {}, {}, {}
    for name, coefficient in variants(config).items():
        keras.utils.set_random_seed(config.seed)  # all begin with the same weights
        with run.strategy.scope(), as_user_error():
            flow = make_flow(config, name.replace("-", "_"))
        history = train(flow.block, name, coefficient, pairs, config, run.strategy, run.folder)
        measurer, stored = Measurer(flow.block, *pairs, xla=config.xla), run.folder.path / f"pictures_{name}.npz"

        def measured(
            measurer: Measurer = measurer, name: str = name, history: Any = history, stored: Any = stored
        ) -> dict[str, Any]:
            print(f"{name}: measuring the inverse ...", flush=True)
            found = measurer.final(test)
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, **measurer.pictures())
            return {**found, "history": history}

        numbers[name] = run.once("variants", name, measured, again=not stored.exists(), steps=config.steps, exports=[NAME])
        with np.load(stored) as file:
            pictures[name] = dict(file)
    # The last one, of the largest coefficient: a map that can be served both ways.
    where = export_once(
        run.folder,
        flow,
        run.exports / NAME,
        variant=name,
        measured=numbers[name],
        figure=numbers[name]["test_mse"],
        batch=pairs[0][:64],
    )
    exported[NAME] = where
    return Findings(numbers, draw(config, pairs, numbers, pictures), exported)


def variants(config: Config) -> dict[str, float]:
    """Coefficient of the flow loss by name of the model, the one without it first."""
    return {NONE: 0.0, **{f"flow_{c:.0e}": c for c in sorted(config.coefficients)}}


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The paper's claims, each with what this run shows."""
    out: dict[str, Any] = {
        f"{name}: mean squared error below 1e-2": float(m["mse"]) < HIGHEST_MSE for name, m in metrics.items()
    }
    free, shown = metrics[NONE], []
    for name, m in metrics.items():
        if name == NONE:
            continue
        errors = ratio(worst_error(free), worst_error(m))
        conditions = ratio(free["condition_number"], m["condition_number"])
        out[f"{name}: reconstruction error (max), none over it"] = errors
        out[f"{name}: condition number (float64, worst reconstruction), none over it"] = conditions
        shown.append(errors >= ERROR_FACTOR and conditions >= CONDITION_FACTOR)
    out["with one coefficient at least: error 100 times, condition number 1000 times smaller"] = any(shown)
    return out


def worst_error(m: dict[str, Any]) -> float:
    """The largest reconstruction error; infinite where one is not finite."""
    return float("inf") if m["reconstruction_nonfinite_share"] > 0 else float(m["reconstruction_error_max"])


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per model."""
    names = ("mse", "error median", "error max", "not finite", "condition", "median", "certified")
    keys = (
        "mse",
        "reconstruction_error_median",
        "reconstruction_error_max",
        "reconstruction_nonfinite_share",
        "condition_number",
        "condition_number_median",
        "certified_inverse_median",
    )
    lines = [f"{'':12s}" + "".join(f"{name:>14s}" for name in names)]
    for name, m in metrics.items():
        lines.append(f"{name:12s}" + "".join(cell(m[key], 14) for key in keys))
    return lines
