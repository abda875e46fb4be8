"""What `python -m recipes.tables` does: fit every model, test it, report, export."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inntf.models import TableModel
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell
from recipes.tables import data
from recipes.tables.mixture import best_mixture, summary
from recipes.tables.report import draw
from recipes.tables.settings import Config
from recipes.tables.training import train

NAME = "tables"
MIXTURE, ANGLES = "gaussian_mixture", "angles"
LOWEST = -100.0
SMALLEST_JUMP = 0.01  # nats


def run(config: Config) -> dict[str, Any]:
    """Fit, test, write `result.json`, `report.png` and a SavedModel; returns the result."""
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
    rows = data.load(config)
    units = float(np.log(rows.train.std(0)).sum())
    numbers, samples, models = {}, {}, {}
    for name in config.architectures:
        model, history = train(name, name, rows, config, run, config.steps)
        models[name] = model

        def measured(model: TableModel = model, history: Any = history) -> dict[str, Any]:
            scores = model.log_prob(rows.table(rows.test)).numpy().astype(np.float64) + units
            weights = sum(math.prod(w.shape) for w in model.trainable_weights)
            seen = [{**look, "validation_nats": look["validation_nats"] + units} for look in history]
            return {**summary(scores), **of_samples(model, config), "weights": weights, "history": seen}

        numbers[name] = run.once("models", name, measured)
        samples[name] = np.stack(list(model.sample(2000, seed=config.seed).values()), 1)
    numbers[MIXTURE] = run.once("models", MIXTURE, lambda: best_mixture(rows, config))
    numbers[ANGLES] = directions(config, run)
    chosen = best_on_validation({name: numbers[name] for name in config.architectures})
    where = export_once(
        run.folder,
        models[chosen],
        run.exports / NAME,
        variant=chosen,
        measured=numbers[chosen],
        figure=numbers[chosen]["test_nats"],
        batch=models[chosen].columns.encode(rows.table(rows.test[:64])).astype(np.float32),
    )
    return Findings(numbers, draw(config, rows, numbers, samples), {NAME: where})


def best_on_validation(numbers: dict[str, Any]) -> str:
    """The model to serve, chosen by validation rows: its card gives the figure of the test rows."""
    return max(numbers, key=lambda name: numbers[name]["history"][-1]["validation_nats"])


def directions(config: Config, run: Run) -> dict[str, Any]:
    """A model of directions round the seam of their circle, beside their true density."""
    table = data.directions(config.rows, config.seed)
    rows = data.split(np.stack(list(table.values()), 1), tuple(table), np.zeros(2), config.seed)
    model, history = train(ANGLES, "spline_maf", rows, config, run, config.angle_steps, {"direction": ("angle", 360)})

    def measured() -> dict[str, Any]:
        test = rows.table(rows.test)
        scores = model.log_prob(test).numpy().astype(np.float64)
        found = model.sample(config.samples, seed=config.seed)["direction"]
        inside = (found >= 0.0) & (found < 360.0)
        truth = float(data.directions_log_density(test).mean())
        return {
            **summary(scores),
            "true_test_nats": truth,
            "jump_at_the_seam": jump(model),
            "samples_in_their_circle": float(inside.mean()),
            "samples_nonfinite": int((~np.isfinite(found)).sum()),
            "history": history,
        }

    return run.once("models", ANGLES, measured)


def jump(model: TableModel) -> float:
    """Largest difference of log-densities between both sides of the circle's seam, over the second column."""
    hours = np.repeat(np.linspace(0.01, 0.99, 50), 2)
    ends = np.tile([0.0, 360.0 - 1e-4], 50)
    found = model.log_prob({"direction": ends, "hour": hours}).numpy().reshape(50, 2)
    return float(np.abs(found[:, 0] - found[:, 1]).max())


def of_samples(model: TableModel, config: Config) -> dict[str, Any]:
    """Whether samples are finite, and their own log-densities."""
    found = model.sample(config.samples, seed=config.seed + 1)
    rows = np.stack(list(found.values()), 1)
    finite = np.isfinite(rows).all(1)
    scores = model.log_prob({name: column[finite] for name, column in found.items()}).numpy()
    return {"samples_nonfinite": int((~finite).sum() + (~np.isfinite(scores)).sum())}


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is claimed of the default models, each with what this run shows."""
    out: dict[str, Any] = {}
    mixture = metrics[MIXTURE]["test_nats"]
    flows = {name: m for name, m in metrics.items() if name not in (MIXTURE, ANGLES)}
    for name, m in flows.items():
        out[f"{name}: nats above the best Gaussian mixture"] = m["test_nats"] - mixture
        out[f"{name}: ahead of the best Gaussian mixture"] = m["test_nats"] > mixture
        out[f"{name}: no test row below {LOWEST:.0f} nats"] = m["test_worst"] > LOWEST
    out["nothing is NaN or infinite"] = all(
        m.get("test_nonfinite", 0) == 0 and m.get("samples_nonfinite", 0) == 0 for m in metrics.values()
    )
    out["angles: every sample in its circle"] = metrics[ANGLES]["samples_in_their_circle"] == 1.0
    out["angles: no jump at the seam"] = metrics[ANGLES]["jump_at_the_seam"] < SMALLEST_JUMP
    return out


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line a model."""
    keys = ("test_nats", "test_standard_error", "test_median", "test_worst", "test_nonfinite")
    lines = [f"{'':18s}" + "".join(f"{key.removeprefix('test_'):>16s}" for key in keys)]
    return lines + [f"{name:18s}" + "".join(cell(m[key], 16) for key in keys) for name, m in metrics.items()]
