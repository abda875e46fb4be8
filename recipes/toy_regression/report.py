"""The page that shows the regression: data, predictions, reconstructions, and the three curves of the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.toy_regression.settings import Config

_SHOWN = 1000
_EDGE = 4.0


def label(name: str) -> str:
    """`none` or the coefficient, for people."""
    return "no regularizer" if name == "none" else f"flow loss, {name.removeprefix('flow_')}"


def draw(
    config: Config, pairs: tuple[np.ndarray, np.ndarray], results: dict[str, Any], pictures: dict[str, dict[str, np.ndarray]]
) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        pairs: inputs and targets.
        results: measurements and history by model.
        pictures: `predicted` and `reconstructed` by model.
    """
    x, y = (part[:_SHOWN] for part in pairs)
    curves = lambda key: {label(n): _curve(m["history"], key) for n, m in results.items()}  # noqa: E731
    predictions = [_scatter(pictures[n]["predicted"][:_SHOWN], x, f"Predictions\n{label(n)}") for n in results]
    again = [_scatter(pictures[n]["reconstructed"][:_SHOWN], x, f"Reconstructed inputs\n{label(n)}") for n in results]
    rows = [
        [lambda axes: figures.draw_table(axes, *_table(results), title="Training pairs")],
        [_scatter(y, x, "Targets (0, x2)"), *predictions],
        [_scatter(x, x, "Inputs"), *again],
        [
            lambda axes: figures.draw_curves(axes, curves("mse"), "Mean squared error", log=True),
            lambda axes: figures.draw_curves(axes, curves("reconstruction_error_max"), "Reconstruction error, max", log=True),
        ],
        [
            lambda axes: figures.draw_curves(axes, curves("condition_number"), "Condition number*", log=True),
            lambda axes: figures.draw_curves(axes, curves("smallest_singular_value"), "Smallest singular value*", log=True),
        ],
    ]
    return figures.report(
        "2D regression: the best fit has no inverse, a small flow loss keeps one",
        rows,
        subtitle=f"{config.points} pairs, {config.depth} steps of a Glow, {config.steps} full batches, "
        f"preset {config.preset}, seed {config.seed}",
        footer="*: of the Jacobian in float64 at the input whose reconstruction is worst.  Colour: x1.\n"
        f"Points outside of +-{_EDGE:.0f} are drawn on the edge, those that are not finite pink in the corner.",
        heights=[1.5, 2.9, 2.9, 2.6, 2.6],
    )


def _scatter(points: np.ndarray, x: np.ndarray, title: str) -> Callable[[Axes], None]:
    """Points of the plane, coloured by the first input of each; none leaves the picture unseen."""

    def panel(axes: Axes) -> None:
        finite = np.isfinite(points).all(1)
        inside = np.clip(points[finite], -_EDGE, _EDGE)
        axes.scatter(*inside.T, c=x[finite, 0], cmap="viridis", norm=Normalize(-2.5, 2.5), s=5, linewidths=0, clip_on=False)
        if not finite.all():
            lost = np.full(int((~finite).sum()), _EDGE)
            axes.scatter(lost, lost, color=figures.BROKEN, s=30, marker="x", clip_on=False)
        figures.style(axes, title=title)
        axes.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal")

    return panel


def _curve(history: list[dict[str, float]], key: str) -> Any:
    return [h["step"] for h in history], [h[key] for h in history]


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = ["", "MSE", "error median", "error max", "not finite", "condition*", "condition, median", "certified inverse"]
    keys = (
        "mse",
        "reconstruction_error_median",
        "reconstruction_error_max",
        "reconstruction_nonfinite_share",
        "condition_number",
        "condition_number_median",
        "certified_inverse_median",
    )
    return header, [[label(name), *(m[key] for key in keys)] for name, m in results.items()]
