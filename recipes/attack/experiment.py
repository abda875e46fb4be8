"""What `python -m recipes.attack` does: train the flows, attack them, show them noise, report, export."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.core.random_states import same_draws
from recipes.attack import images, models
from recipes.attack.growth import GROWTH, growth_or_lost
from recipes.attack.measuring import NOISE, measure
from recipes.attack.report import draw
from recipes.attack.settings import Config
from recipes.attack.training import train
from recipes.common import files
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.numbers import cell

NAME = "attack"
LARGEST_ERROR = 1e-3
UNLIKE_AFFINE, UNLIKE_RESIDUAL = 10.0, 3.0
_SIDES = ("attacked", "sampled", "certified")


def run(config: Config) -> dict[str, Any]:
    """Train, attack, write `result.json`, `report.png`, the arrays and a SavedModel; returns the result."""
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
    numbers, arrays, flow = {}, {}, None
    for name in config.models:
        flow, history = train(name, config, data, run)
        stored = run.folder.path / f"attack_{name}.npz"

        def measured(flow: Any = flow, name: str = name, history: Any = history, stored: Any = stored) -> dict[str, Any]:
            print(f"{name}: attacking, measuring ...", flush=True)
            with same_draws(flow.block):  # what is exported is the same whether this part of the run measured or an earlier one
                found, made = measure(flow, data, config)
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, **made)
            return {**found, "history": history}

        numbers[name] = run.once("models", name, measured, again=not stored.exists())
        with np.load(stored) as file:
            arrays[name] = dict(file)
    last = config.models[-1]  # the residual flow, if there is one
    target, served = run.exports / NAME, models.over_levels(flow, config)
    some = images.levels(data.test[:64], config.bits).astype(np.float32)
    figure = numbers[last]["bits_per_dim"]
    where = export_once(run.folder, served, target, variant=last, measured=numbers[last], figure=figure, batch=some)
    return Findings(numbers, draw(config, data, numbers, arrays), {NAME: where})


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        found, ratios = m["attack"], [float(m["unlike"][kind]["ratio"]) for kind in NOISE]
        out[f"{name}: all attacked points inside of their bins"] = found["inside"]
        out |= {f"{name}: {claim}": shown for claim, shown in claims_of_balls(m["ball"]).items()}
        if name == "residual":
            error = float(found["largest_error"])
            out["residual: largest error of the converged inverse in the bins"] = error
            out["residual: below 1e-3"] = error < LARGEST_ERROR
            out["residual: error on noise over that on test images, largest"] = max(ratios)
            lost = max(float(m["unlike"][kind]["nonfinite_share"]) for kind in NOISE)
            out["residual: at most 3, and nothing lost"] = max(ratios) <= UNLIKE_RESIDUAL and lost == 0
            continue
        out[f"{name}: growth of the error in the bins, median"] = float(found["median_growth"])
        out[f"{name}: share of images that become not finite in their bins"] = found["nonfinite_share"]
        grown = growth_or_lost(found["median_growth"], found["nonfinite_share"])
        out[f"{name}: at least 10 times, or not finite"] = grown >= GROWTH
        out[f"{name}: error on noise over that on test images, largest"] = max(ratios)
        out[f"{name}: at least 10 on some noise"] = max(ratios) >= UNLIKE_AFFINE
    return out


def claims_of_balls(ball: dict[str, Any]) -> dict[str, bool | str]:
    """Whether attack <= truth <= certificate, each half by itself; in words where there was nothing to compare.

    >>> claims_of_balls({"attacked": [None], "sampled": [2.0], "certified": [float("inf")]})
    {'attack <= truth in the balls': 'not measured', 'truth <= certificate in the balls': 'no certificate'}
    """
    sides = {key: np.asarray([np.nan if v is None else float(v) for v in ball[key]]) for key in _SIDES}
    attacked, sampled, certified = sides.values()
    out: dict[str, bool | str] = {}
    for claim, low, high, nothing in (
        ("attack <= truth in the balls", attacked, sampled, "not measured"),
        ("truth <= certificate in the balls", sampled, certified, "no certificate"),
    ):
        held = np.isfinite(low) & np.isfinite(high)
        violated = bool((low > high * (1 + 1e-6)).any())
        some = f"yes, in {held.sum()} balls of {len(held)}" if held.any() else nothing
        out[claim] = not violated if violated or held.all() else some
    return out


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per flow."""
    lines = [f"{'':16s}{'bits/dim':>10s}{'error at x':>12s}{'worst':>12s}{'growth':>10s}{'not finite':>12s}{'noise/test':>12s}"]
    for name, m in metrics.items():
        found = m["attack"]
        cells = (m["bits_per_dim"], found["start_error"]["median"], found["largest_error"], found["median_growth"])
        noise = max(float(m["unlike"][kind]["ratio"]) for kind in NOISE)
        more = (found["nonfinite_share"], noise)
        widths = (10, 12, 12, 10, 12, 12)
        lines.append(f"{name:16s}" + "".join(cell(c, w, ".3g") for c, w in zip((*cells, *more), widths, strict=True)))
    return lines
