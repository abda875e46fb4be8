"""Figures of a report: image grids, repeated passes, curves, tables, laid out on one page.

Everything draws on axes it is given and knows no global state (no pyplot), so that figures can be made anywhere:

    page = report("flowgan", [[lambda ax: draw_images(ax, samples, "Samples"), lambda ax: draw_curves(ax, curves, "Loss")]])
    folder.write_figure("report.png", page)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

INK, MUTED, RULE, PAPER = "#1f2933", "#66727f", "#d9dee4", "#ffffff"
BROKEN = (0.84, 0.15, 0.42)  # pixels that are NaN or infinite: a colour no greyscale image has
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#b55fa0", "#e6a400", "#56b4e9", "#5b5b5b")  # told apart by colour-blind eyes
_STYLES = ("-", "--", "-.", ":")

Panel = Callable[[Axes], None]
Curve = tuple[Sequence[float], Sequence[float]]


def report(
    title: str,
    rows: Sequence[Sequence[Panel]],
    *,
    subtitle: str = "",
    footer: str = "",
    heights: Sequence[float] | None = None,
    width: float = 12.0,
) -> Figure:
    """One page of panels.

    Args:
        title: in large letters on top.
        rows: panels by row, each a function that draws on the axes it gets.
        subtitle: a line below the title, such as data set, preset and seed.
        footer: a small line at the bottom, such as the command.
        heights: of the rows, in inches; by default 3.2 each.
        width: of the page, in inches.

    Returns:
        The figure; `RunFolder.write_figure` stores it.
    """
    heights = list(heights) if heights is not None else [3.2] * len(rows)
    head, foot = 0.62 + 0.26 * bool(subtitle), 0.12 + 0.3 * bool(footer)
    total = sum(heights) + head + foot
    figure = Figure(figsize=(width, total), facecolor=PAPER)
    figure.set_layout_engine("constrained", rect=(0.012, foot / total, 0.976, 1 - (head + foot) / total))
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    figure.text(0.02, 1 - 0.3 / total, title, fontsize=18, fontweight="bold", color=INK, va="center")
    if subtitle:
        figure.text(0.02, 1 - 0.62 / total, subtitle, fontsize=10.5, color=MUTED, va="center")
    if footer:
        figure.text(0.02, 0.17 / total, footer, fontsize=8, color=MUTED, va="center", family="monospace")
    for strip, panels in zip(figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0], rows, strict=True):
        for axes, panel in zip(strip.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel(axes)
    return figure


def draw_images(axes: Axes, images: np.ndarray, title: str = "", columns: int | None = None) -> None:
    """Images in a grid.

    Args:
        axes: where to draw.
        images: `(n, height, width, 1 or 3)`, 0 to 255 (uint8, or float and then clipped); a pixel with NaN or infinity is pink.
        title: above the grid.
        columns: images per row; by default the grid is near to a square.
    """
    axes.imshow(mosaic(images, columns), interpolation="nearest", aspect="equal")
    _no_axis(axes)
    _title(axes, title)


def draw_passes(axes: Axes, passes: Sequence[np.ndarray], title: str = "", labels: Sequence[str] | None = None) -> None:
    """The same images after each of several passes through a model: a column per pass, a row an image.

    Args:
        axes: where to draw.
        passes: arrays `(n, height, width, 1 or 3)`, as for `draw_images`.
        title: above the grid.
        labels: above the columns; by default data, 1, 2, ...
    """
    count, _, width = passes[0].shape[:3]
    by_row = np.stack([np.asarray(p, np.float64) for p in passes], 1).reshape(count * len(passes), *passes[0].shape[1:])
    axes.imshow(mosaic(by_row, len(passes)), interpolation="nearest", aspect="equal")
    labels = labels or ["data", *(str(i) for i in range(1, len(passes)))]
    _no_axis(axes)
    axes.xaxis.tick_top()
    axes.set_xticks([(width + 1) * i + width / 2 for i in range(len(passes))], labels, fontsize=9, color=MUTED)
    axes.tick_params(axis="x", length=0, pad=2, labeltop=True, labelbottom=False)
    _title(axes, title)


def draw_curves(
    axes: Axes,
    curves: Mapping[str, Curve],
    title: str = "",
    *,
    xlabel: str = "step",
    ylabel: str = "",
    log: bool = False,
) -> None:
    """Curves with a legend beside them; where a value is NaN or infinite the line breaks and a cross stands at the upper edge.

    Args:
        axes: where to draw.
        curves: name to `(x, y)`.
        title: above.
        xlabel: below.
        ylabel: at the left.
        log: logarithmic ordinate.
    """
    for i, (name, (x, y)) in enumerate(curves.items()):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        shown = np.isfinite(y) & ((y > 0) | (not log))
        colour = PALETTE[i % len(PALETTE)]
        marker = "o" if shown.sum() <= 12 else None
        line = np.where(shown, y, np.nan)
        style = _STYLES[i // len(PALETTE) % len(_STYLES)]
        label = name if len(x) else None  # no values: its colour stays its own in other panels
        axes.plot(x, line, style, color=colour, lw=1.8, marker=marker, ms=4, label=label, solid_capstyle="round")
        broken = x[~np.isfinite(y)]
        top = axes.get_xaxis_transform()
        axes.plot(broken, np.ones(len(broken)), "x", color=colour, ms=6, mew=1.6, transform=top, clip_on=False, in_layout=False)
    if log and any(np.any((v := np.asarray(y, np.float64))[np.isfinite(v)] > 0) for _, y in curves.values()):
        axes.set_yscale("log")
    _plot_style(axes, xlabel, ylabel)
    _title(axes, title)
    if len(curves) > 1 or (curves and not ylabel):
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02)}  # inside it would cover curves
        axes.legend(fontsize=9, frameon=False, labelcolor=INK, handlelength=1.6, **beside)


def draw_bars(axes: Axes, values: Mapping[str, float], title: str = "", *, ylabel: str = "", log: bool = False) -> None:
    """A bar a name, with its value written on it; NaN and infinity are named instead of drawn."""
    names = list(values)
    numbers = np.asarray([values[n] for n in names], np.float64)
    drawn = np.isfinite(numbers) & ((numbers > 0) | (not log))
    low = 10 ** np.floor(np.log10(numbers[drawn].min()) - 0.5) if log and drawn.any() else 0.0
    tops = np.where(drawn, numbers, low)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    axes.bar(range(len(names)), tops - low, bottom=low, color=colours, width=0.62)
    if log and drawn.any():
        axes.set_yscale("log")
        axes.set_ylim(low, (tops.max() / low) ** 1.12 * low)
    else:
        axes.margins(y=0.15)
    for i, number in enumerate(numbers):
        text = axes.annotate(number_text(number), (i, tops[i]), (0, 3), textcoords="offset points", ha="center", fontsize=9)
        text.set(color=INK, in_layout=False)
    _plot_style(axes, "", ylabel)
    axes.grid(False, axis="x")
    axes.set_xticks(range(len(names)), names, fontsize=9.5, color=INK)
    _title(axes, title)


def draw_table(axes: Axes, header: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table: the first column to the left, numbers to the right, rules as in print.

    Args:
        axes: where to draw.
        header: names of the columns.
        rows: cells; numbers are shortened to four digits.
        title: above.
    """
    _no_axis(axes)
    _title(axes, title)
    cells = [[c if isinstance(c, str) else number_text(c) for c in row] for row in rows]
    widths = [max(len(str(header[j])), *(len(r[j]) for r in cells), 4) + 3 for j in range(len(header))]
    edges = np.cumsum([0, *widths]) / sum(widths)
    step = min(0.19, 0.98 / (len(rows) + 1))
    size = 10 if step > 0.07 else 8.5

    def line(y: float, texts: Sequence[str], weight: str, colour: str) -> None:
        for j, text in enumerate(texts):
            x, side = (edges[0] + 0.01, "left") if j == 0 else (edges[j + 1] - 0.01, "right")
            axes.text(
                x, y, text, ha=side, va="center", fontsize=size, color=colour, fontweight=weight, transform=axes.transAxes
            )

    line(1 - step / 2, [str(h) for h in header], "bold", INK)
    axes.plot([0, 1], [1 - step] * 2, color=INK, lw=1.0, transform=axes.transAxes, clip_on=False)
    for i, row in enumerate(cells, 1):
        line(1 - (i + 0.5) * step, row, "normal", INK)
        axes.plot([0, 1], [1 - (i + 1) * step] * 2, color=RULE, lw=0.7, transform=axes.transAxes, clip_on=False)


def mosaic(images: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images beside each other, `(rows, columns, 3)` floats from 0 to 1, with white gaps; broken pixels are pink.

    >>> mosaic(np.zeros((6, 4, 4, 1), np.uint8), columns=3).shape
    (9, 14, 3)
    """
    images = np.asarray(images, np.float64)
    count, height, width, channels = images.shape
    broken = ~np.isfinite(images).all(-1)
    rgb = np.clip(np.where(np.isfinite(images), images, 0.0) / 255.0, 0.0, 1.0)
    rgb = np.repeat(rgb, 3, -1) if channels == 1 else rgb
    rgb[broken] = BROKEN
    columns = columns or math.ceil(math.sqrt(count))
    lines = math.ceil(count / columns)
    page = np.ones((lines * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for i, image in enumerate(rgb):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        page[top : top + height, left : left + width] = image
    return page


def number_text(value: object) -> str:
    """A number in four digits, for people.

    >>> [number_text(v) for v in (3, 0.12345, 1.5e-7, float("inf"), 123456.0, None)]
    ['3', '0.1235', '1.5e-07', 'inf', '1.235e+05', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, int | np.integer | bool | np.bool_):
        return str(value)
    return f"{float(value):.4g}" if isinstance(value, float | np.floating) else str(value)


def style(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Axes that something was drawn on by hand, as those of `draw_curves`."""
    _plot_style(axes, xlabel, ylabel)
    _title(axes, title)


def _title(axes: Axes, title: str) -> None:
    if title:
        axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=7)


def _no_axis(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _plot_style(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.grid(True, color=RULE, lw=0.6, alpha=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=3)
    if xlabel and axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(xlabel, fontsize=9.5, color=MUTED)
    axes.set_ylabel(ylabel, fontsize=9.5, color=MUTED)
