"""Maps over the plane as pictures, and the page that shows a checkerboard run."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from recipes.checkerboard.data import EDGE, ENTROPY
from recipes.checkerboard.maps import SIDE, density_of
from recipes.checkerboard.models import LABELS
from recipes.checkerboard.settings import Config
from recipes.common import figures

# How each map is shown: title, colour map, lowest and highest colour, logarithmic.
_SHOWN = {
    "density": ("Density p(x)", "viridis", 0.0, 2 / 32, False),
    "error": ("Error |x - inverse(forward(x))|", "inferno", 1e-8, 1.0, True),
    "latent_error": ("Error |z - forward(inverse(z))|", "inferno", 1e-8, 1.0, True),
    "log_det_difference": ("|log_det - log|det J||", "inferno", 1e-8, 1.0, True),
    "condition_number": ("Condition number of the Jacobian", "cividis", 1.0, 1e8, True),
}


def draw_map(axes: Axes, name: str, maps: dict[str, np.ndarray], title: str = "") -> None:
    """One map over [-8, 8]^2: clipped to the ends of its colours, pink where it is NaN or infinite.

    Args:
        axes: where to draw.
        name: `density`, or one of the maps of `Mapper`.
        maps: what the mapper returned.
        title: above; by default what the map is.
    """
    default, colours, low, high, log = _SHOWN[name]
    values = density_of(maps["log_prob"]) if name == "density" else maps[name]
    broken = np.mean(~np.isfinite(values))
    with np.errstate(invalid="ignore"):
        shown = np.ma.masked_invalid(np.where(np.isfinite(values), np.clip(values, low, high), np.nan))
    image = axes.imshow(
        shown,
        origin="lower",
        extent=(-SIDE, SIDE, -SIDE, SIDE),
        cmap=_with_broken(colours),
        norm=LogNorm(low, high) if log else Normalize(low, high),
        interpolation="nearest",
    )
    edge = Rectangle((-EDGE, -EDGE), 2 * EDGE, 2 * EDGE, fill=False, ec="white", lw=0.9, ls=(0, (3, 3)))
    axes.add_patch(edge)
    axes.set_xticks([-8, -4, 0, 4, 8])
    axes.set_yticks([-8, -4, 0, 4, 8])
    axes.tick_params(colors=figures.MUTED, labelsize=8, length=2)
    axes.spines[:].set_color(figures.RULE)
    bar = axes.get_figure(root=False).colorbar(image, ax=axes, fraction=0.046, pad=0.02, extend="max" if not log else "both")
    bar.ax.tick_params(colors=figures.MUTED, labelsize=8, length=2)
    bar.outline.set_visible(False)
    axes.set_title(title or default, loc="left", fontsize=10.5, fontweight="bold", color=figures.INK, pad=5)
    if broken:
        axes.set_xlabel(f"NaN or infinite: {100 * broken:.3g} % of the points", fontsize=8.5, color=figures.BROKEN)


def map_figure(maps: dict[str, np.ndarray], title: str) -> Figure:
    """Density and the four other maps of one flow in a row."""
    row = [(lambda axes, name=name: draw_map(axes, name, maps)) for name in _SHOWN]
    return figures.report(title, [row], heights=[3.4], width=20)


def error_maps(maps: dict[str, dict[str, np.ndarray]], negative_log_likelihood: dict[str, float]) -> Figure:
    """How far every point comes back from where it was, one flow beside the other; the shorter half of the report.

    Args:
        maps: the maps by flow.
        negative_log_likelihood: of test data, by flow.
    """
    row = [
        _panel(found, "error", f"{LABELS[name]}\ntest NLL {negative_log_likelihood[name]:.2f} nats")
        for name, found in maps.items()
    ]
    return figures.report(
        "Where does x come back?  |x - inverse(forward(x))| after training",
        [row],
        footer="Dashed: the square of the data.  Pink: NaN or infinite.  Errors of 1 and more have the lightest colour.",
        heights=[3.7],
        width=13.0,
    )


def draw(
    config: Config, results: dict[str, Any], maps: dict[str, Any], samples: dict[str, np.ndarray], data: np.ndarray
) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        results: measurements and history by flow.
        maps: the maps by flow.
        samples: samples of each flow, `(n, 2)`.
        data: samples of the data, `(n, 2)`.

    Returns:
        The figure.
    """
    names = list(results)
    blank = [lambda axes: axes.set_axis_off()] * (3 - len(names))  # panels keep their size in a run of fewer flows
    rows = [[lambda axes: figures.draw_table(axes, *_table(results), title="On the grid over [-8, 8]^2")]]
    for shown, (title, *_) in _SHOWN.items():
        rows.append([_panel(maps[name], shown, f"{title}\n{LABELS[name]}") for name in names] + blank)
    rows.append([_scatter(samples[name], f"Samples: {LABELS[name]}") for name in names] + blank)
    rows.append(
        [
            _scatter(data, "Data"),
            lambda axes: figures.draw_curves(
                axes,
                {LABELS[n]: _curve(results[n]["history"], "test_nll") for n in names}
                | {"entropy of the data": ([0, max(h["step"] for n in names for h in results[n]["history"])], [ENTROPY] * 2)},
                "Test negative log-likelihood, nats",
            ),
            lambda axes: figures.draw_curves(
                axes,
                {LABELS[n]: _curve(results[n]["history"], "error_outside") for n in names},
                "Largest finite error outside",
                log=True,
            ),
        ]
    )
    return figures.report(
        "Checkerboard: where can each flow be inverted?",
        rows,
        subtitle=f"{config.blocks_affine} blocks of two couplings, {config.blocks_residual} residual blocks, grid step "
        f"{config.grid_step:g}, preset {config.preset}, seed {config.seed}",
        footer="Dashed: the square of the data.  Pink: NaN or infinite.  Values beyond the ends of a colour bar have the "
        "colour of its end.",
        heights=[2.3, *[3.7] * len(_SHOWN), 3.7, 3.4],
        width=13.0,
    )


def _with_broken(name: str) -> Any:
    colours = colormaps[name].copy()
    colours.set_bad(figures.BROKEN)
    return colours


def _panel(maps: dict[str, np.ndarray], name: str, title: str) -> Any:
    return lambda axes: draw_map(axes, name, maps, title)


def _scatter(points: np.ndarray, title: str) -> Any:
    def panel(axes: Axes) -> None:
        shown = points[np.all(np.isfinite(points), 1)]
        axes.plot(shown[:, 0], shown[:, 1], ".", ms=1.2, color=figures.PALETTE[0], alpha=0.6, rasterized=True)
        axes.set_xlim(-6, 6)
        axes.set_ylim(-6, 6)
        axes.set_aspect("equal")
        axes.tick_params(colors=figures.MUTED, labelsize=8, length=2)
        axes.spines[:].set_color(figures.RULE)
        axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=figures.INK, pad=5)

    return panel


def _curve(history: list[dict[str, float]], key: str) -> Any:
    return [h["step"] for h in history], [float(h[key]) for h in history]


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = [
        "",
        "test NLL, nats",
        "mass on grid",
        "NaN or inf",
        "error inside",
        "error outside",
        "|z| error",
        "log-det",
        "condition",
    ]
    rows = []
    for name, m in results.items():
        grid = m["grid"]
        rows.append(
            [
                LABELS[name],
                m["test_nll"],
                grid["mass"],
                grid["nonfinite_values"],
                grid["error"]["inside"]["max"],
                grid["error"]["outside"]["max"],
                *(
                    max(float(grid[map_name][where]["max"]) for where in ("inside", "outside"))
                    for map_name in ("latent_error", "log_det_difference", "condition_number")
                ),
            ]
        )
    return header, rows
