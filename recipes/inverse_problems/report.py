"""Files of a run: leaderboard as Markdown and HTML, box plots, posteriors, corner and calibration plots, the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import files
from recipes.common.calibration_figure import draw_differences
from recipes.common.figures import INK, PALETTE, report, style
from recipes.common.run_folder import RunFolder
from recipes.inverse_problems import figures, leaderboard
from recipes.inverse_problems.evaluation.ground_truth import GroundTruth
from recipes.inverse_problems.measuring import SHOWN
from recipes.inverse_problems.problems import problem_named
from recipes.inverse_problems.settings import Config

_COLUMNS = 4


def write(
    config: Config,
    folder: RunFolder,
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
    arrays: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    truths: Mapping[str, GroundTruth],
) -> Figure:
    """Write `leaderboard.md`, `leaderboard.html` and a figure a problem and kind; returns the report.

    Args:
        config: settings of the run.
        folder: of the run.
        tables: rows by problem and model.
        arrays: of figures by problem and training.
        truths: ground truths by problem.
    """
    words = _words(config, truths)
    with files.atomic(folder.path / "leaderboard.md") as beside:
        beside.write_text(
            words + "\n\n" + "\n".join(f"## {p}\n\n{leaderboard.markdown(p, rows)}" for p, rows in tables.items())
        )
    pictures, rows, heights = {}, [], []
    for problem, table in tables.items():
        errors = {name: _pooled(arrays[problem], name) for name in table}
        rows.append(
            [lambda axes, errors=errors, problem=problem: figures.boxes(axes, errors, f"{problem}: errors of all observations")]
        )
        heights.append(3.4)
        pictures[f"{problem}: posteriors of one observation"] = posteriors(problem, table, arrays[problem], truths[problem])
        best = next(iter(table))
        first = next(key for key in arrays[problem] if key.startswith(f"{best}-seed"))
        pictures[f"{problem}: {best} and the ground truth"] = _corner(problem, best, arrays[problem][first], truths[problem])
        pictures[f"{problem}: calibration"] = calibration_curves(problem, table, arrays[problem])
    page = report(
        "Inverse problems: posteriors beside the ground truth",
        rows,
        subtitle=f"preset {config.preset}, {config.repeats} training(s) a model, {config.observations} observations of "
        f"{config.samples} samples",
        footer="Boxes: quartiles, median, full range over observations and trainings.  Below 1e-5: at 1e-5.  Err_post of models"
        " that predict y: before rounding counts.",
        heights=heights,
    )
    for caption, figure in pictures.items():
        folder.write_figure(caption.split(":")[0] + "_" + caption.split(": ")[1].split(" ")[0] + ".png", figure)
    with files.atomic(folder.path / "leaderboard.html") as beside:
        beside.write_text(leaderboard.page("Inverse problems", words, tables, {"Errors of all observations": page, **pictures}))
    return page


def _words(config: Config, truths: Mapping[str, GroundTruth]) -> str:
    found = (f"{t.pool:,} draws within {np.median(t.radius):.2g} (median, {name})" for name, t in truths.items())
    return (
        f"Preset {config.preset}: {config.simulations:,} pairs, {config.steps:,} steps of {config.batch_size}, about "
        f"{config.weights:,} weights, {config.repeats} training(s) a model from seed {config.seed} on; numbers are their "
        "medians, p-values the smallest.  Err_post: unbiased squared MMD, x-side inverse multiquadric kernels (0.2, 0.1), "
        "(0.2, 0.5), (0.2, 2), "
        f"mean over {config.observations} observations of {config.samples} samples; raw: counts not rounded.  "
        f"Ground truth: the nearest of {'; '.join(found)}."
    )


def posteriors(
    problem_name: str, table: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]], truth: GroundTruth
) -> Figure:
    """A panel a model, and one of the ground truth (figures 2 and 3)."""
    problem, y = problem_named(problem_name), truth.shown_y
    panels = {"ground truth": truth.shown[:SHOWN]}
    panels |= {name: arrays[next(k for k in arrays if k.startswith(f"{name}-seed"))]["samples"] for name in table}
    across = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(11, 2.7 * across), facecolor="white", layout="constrained")
    grid = figure.subplots(across, _COLUMNS, squeeze=False).ravel()
    for axes, (name, samples) in zip(grid, panels.items(), strict=False):
        if not figures.posterior_panel(axes, problem, samples, y, name):
            _first_two(axes, samples, problem.parameters, name)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def calibration_curves(problem: str, table: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Distribution functions of ranks minus the uniform one, a row a model, a column a test, each with its band."""
    figure = Figure(figsize=(11, 1.9 * len(table) + 0.4), facecolor="white", layout="constrained")
    figure.suptitle(f"{problem}: ranks of the truth, minus uniform; the band holds all curves in 95 %", fontsize=11, color=INK)
    grid = figure.subplots(len(table), 3, squeeze=False)
    for row, name in zip(grid, table, strict=True):
        found = arrays[next(k for k in arrays if k.startswith(f"{name}-seed"))]
        for axes, test in zip(row, ("sbc", "coverage", "tarp"), strict=True):
            draw_differences(axes, *(found[f"{test}_{key}"] for key in ("points", "ecdf", "lower", "upper")))
            style(axes, title=f"{name}: {test}, p = {table[name][f'{test}_p']:.2g}")
            axes.title.set_fontsize(8)
    return figure


def _pooled(arrays: Mapping[str, Mapping[str, np.ndarray]], name: str) -> tuple[np.ndarray, np.ndarray]:
    found = [a for key, a in arrays.items() if key.rpartition("-seed")[0] == name]
    return tuple(np.concatenate([a[key] for a in found]) for key in ("posterior", "resimulation"))


def _corner(problem_name: str, best: str, found: Mapping[str, np.ndarray], truth: GroundTruth) -> Figure:
    problem = problem_named(problem_name)
    return figures.corner(found["samples"], truth.shown[:SHOWN], problem.parameters, f"{problem_name}: {best}")


def _first_two(axes: Any, samples: np.ndarray, names: tuple[str, ...], title: str) -> None:
    axes.plot(samples[:, 0], samples[:, 1], ".", markersize=2, color=PALETTE[0])
    style(axes, xlabel=names[0], ylabel=names[1], title=title)
