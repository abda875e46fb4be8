"""The page that shows the tables: numbers, curves, and columns of data beside samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.tables.data import Split
from recipes.tables.settings import Config

_SHOWN = 2000
# Pairs of columns whose joint distribution is curved, narrow, or both.
_PAIRS = {"diamonds": [("carat", "price"), ("x", "z"), ("depth", "table")], "synthetic": [("a", "b"), ("a", "c"), ("b", "c")]}


def draw(config: Config, rows: Split, results: dict[str, Any], samples: dict[str, np.ndarray]) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        rows: the table.
        results: measurements and histories by model.
        samples: `(n, columns)` by flow.
    """
    curves = {
        name: [[look[key] for look in results[name]["history"]] for key in ("step", "validation_nats")] for name in samples
    }
    mixture = results["gaussian_mixture"]["validation_by_components"]
    chosen = ([int(count) for count in mixture], list(mixture.values()))
    panels = {"data": rows.test, **samples}
    rows_of_panels = [
        [_scatter(values, rows, pair, f"{name}: {pair[0]}, {pair[1]}") for name, values in panels.items()]
        for pair in _PAIRS[config.dataset]
    ]
    return figures.report(
        "Densities of a table: spline flows beside Gaussian mixtures",
        [
            [lambda axes: figures.draw_table(axes, *_table(results), title="Test rows, nats of standardized columns*")],
            [
                lambda axes: figures.draw_curves(axes, curves, "Validation rows", ylabel="nats"),
                lambda axes: figures.draw_curves(axes, {"mixtures": chosen}, "Mixtures", xlabel="components", ylabel="nats"),
            ],
            *rows_of_panels,
        ],
        subtitle=f"{config.dataset}, {len(rows.train)} training rows, {config.steps} steps of {config.batch_size}, "
        f"preset {config.preset}, seed {config.seed}",
        footer="*: the angles' are per degree and hour, and their model is held against the true density.\n"
        "Points beyond the data's 0.1 to 99.9 percent are drawn on the edge.",
        heights=[1.7, 2.6, 2.9, 2.9, 2.9],
    )


def _scatter(values: np.ndarray, rows: Split, pair: tuple[str, str], title: str) -> Callable[[Axes], None]:
    def panel(axes: Axes) -> None:
        places = [rows.names.index(name) for name in pair]
        ends = np.quantile(rows.train[:, places], [0.001, 0.999], axis=0)
        shown = np.clip(values[:_SHOWN, places], *ends)
        axes.scatter(*shown.T, s=2, alpha=0.4, linewidths=0, color=figures.PALETTE[0])
        figures.style(axes, *pair, title)
        axes.set(xlim=ends[:, 0], ylim=ends[:, 1])

    return panel


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = ["", "mean", "standard error", "median", "worst", "not finite", "weights or components", "truth"]
    lines = []
    for name, m in results.items():
        size = m.get("weights", m.get("components", ""))
        numbers = [m[f"test_{key}"] for key in ("nats", "standard_error", "median", "worst", "nonfinite")]
        lines.append([name, *numbers, size, m.get("true_test_nats", "")])
    return header, lines
