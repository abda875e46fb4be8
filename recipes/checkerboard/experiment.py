"""What `python -m recipes.checkerboard` does: train the three flows, map them, report, export."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inntf.models import Flow
from inntf.training import certify_spectral_norms
from recipes.checkerboard import data
from recipes.checkerboard.figures import draw, error_maps
from recipes.checkerboard.maps import Mapper, describe, grid_axis
from recipes.checkerboard.models import NAMES, make_flow
from recipes.checkerboard.settings import Config
from recipes.checkerboard.training import Likelihood, settings, train
from recipes.common import files
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell, ratio

NAME = "checkerboard"
HIGHEST_NLL, SLACK = 3.90, 0.02
LARGEST_ERROR = 1e-3
BROKEN_FACTOR = 100.0


def run(config: Config) -> dict[str, Any]:
    """Train, map, write `result.json`, `report.png`, `error_maps.png`, the maps and the SavedModels; returns the result."""
    names = NAMES if config.model == "all" else (config.model,)
    return conduct(
        config,
        NAME,
        lambda run: work(config, names, run),
        claims=claims,
        table=table,
        exports=[f"{NAME}_{name}" for name in names],
        batch_sizes=[config.batch_size],
        may_change=["steps_affine", "steps_residual"] if config.schedule == "constant" else [],  # else the rate ends with them
    )


def work(config: Config, names: Sequence[str], run: Run) -> Findings:
    """The experiment."""
    numbers, maps, samples, exported = {}, {}, {}, {}
    for name in names:
        keras.utils.set_random_seed(config.seed)
        with run.strategy.scope(), as_user_error():
            flow = make_flow(name, config)
        history = train(flow, name, config, run.strategy, run.folder)
        norms = certify_spectral_norms(flow.block, rescale=True)  # from here on the spectral norms hold exactly
        stored = run.folder.path / f"maps_{name}.npz"

        def mapped(
            flow: Flow = flow, name: str = name, norms: Any = norms, history: Any = history, stored: Any = stored
        ) -> Any:
            print(f"{name}: mapping the grid ...", flush=True)
            found = Mapper(flow)(grid_axis(config.grid_step))
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, axis=grid_axis(config.grid_step), **found)
            return {**measure(flow, found, norms, config), "history": history}

        target, steps = run.exports / f"{NAME}_{name}", settings(name, config)[0]
        numbers[name] = run.once("models", name, mapped, again=not stored.exists(), steps=steps, exports=[target.name])
        maps[name] = dict(np.load(stored))
        samples[name] = flow.sample(4000, seed=config.seed).numpy()
        exported[target.name] = export_once(
            run.folder,
            flow,
            target,
            variant=name,
            measured=numbers[name],
            figure=numbers[name]["test_nll"],
            batch=data.test_set(64, config.seed),
        )
    points = data.test_set(4000, config.seed).numpy()
    run.folder.write_figure("error_maps.png", error_maps(maps, {name: numbers[name]["test_nll"] for name in names}), dpi=90)
    report = draw(config, numbers, maps, samples, points)
    return Findings(numbers, report, exported, {"entropy": data.ENTROPY})


def measure(flow: Flow, maps: dict[str, np.ndarray], norms: dict[str, float], config: Config) -> dict[str, Any]:
    """Test likelihood, the maps in numbers, bounds."""
    log_prob = Likelihood(flow)(data.test_set(config.test_samples, config.seed))
    bounds = flow.block.lipschitz_bounds()
    return {
        "test_nll": float(-np.mean(log_prob)),
        "test_nll_standard_error": float(np.std(log_prob) / math.sqrt(len(log_prob))),
        "grid": describe(maps, grid_axis(config.grid_step)),
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        "largest_certified_norm": max(norms.values(), default=None),
        "weights": int(sum(np.prod(w.shape) for w in flow.block.trainable_weights)),
    }


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The paper's claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        inside = data.ENTROPY - SLACK <= m["test_nll"] <= HIGHEST_NLL
        out[f"{name}: test NLL from ln 32 - {SLACK} to {HIGHEST_NLL:.2f}"] = bool(inside)
    if "residual" in metrics:
        grid = metrics["residual"]["grid"]
        out["residual: every value on the grid is finite"] = grid["nonfinite_values"] == 0
        out["residual: errors of both round trips below 1e-3 on the whole grid"] = float(grid["largest_error"]) < LARGEST_ERROR
    for name in ("affine_sigmoid", "affine_half"):
        if name in metrics:
            error = metrics[name]["grid"]["error"]
            out[f"{name}: share of the errors outside that are not finite"] = error["outside"]["nonfinite_share"]
            factor = ratio(error["outside"]["max"], error["inside"]["max"])
            out[f"{name}: largest finite error outside over that inside"] = factor
    if "affine_sigmoid" in metrics:
        out["affine_sigmoid: broken outside of the data (not finite, or 100 times)"] = broken(metrics["affine_sigmoid"])
    return out


def broken(m: dict[str, Any]) -> bool:
    """Whether the inverse fails outside of the data's square: values that are not finite, or errors 100 times those inside."""
    error = m["grid"]["error"]
    outside = error["outside"]
    return outside["nonfinite_share"] > 0 or float(outside["max"]) >= BROKEN_FACTOR * float(error["inside"]["max"])


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per flow."""
    lines = [f"{'':16s}{'test NLL':>10s}{'NaN or inf':>12s}{'error inside':>14s}{'outside':>12s}{'condition':>12s}"]
    for name, m in metrics.items():
        grid = m["grid"]
        condition = max(float(grid["condition_number"][where]["max"]) for where in ("inside", "outside"))
        cells = [cell(m["test_nll"], 10, ".4f"), cell(grid["nonfinite_values"], 12, "d")]
        cells += [cell(grid["error"][where]["max"], w, ".3g") for where, w in (("inside", 14), ("outside", 12))]
        lines.append(f"{name:16s}" + "".join(cells) + cell(condition, 12, ".3g"))
    return lines
