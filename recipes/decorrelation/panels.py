"""Panels that this recipe's page has beside the common ones: reconstructions in training, errors, matrices, point clouds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from recipes.common import figures
from recipes.common.figures import number_text

ORANGE = "#e6720f"
_DOTS = 400  # of a cloud, at most


class Snapshot(NamedTuple):
    """A network at a step of training.

    Attributes:
        step: of training.
        images: reconstructions on the scale 0 to 255.
        numbers: looked at then: `condition_number`, `largest_singular_value`, `smallest_singular_value`.
    """

    step: int
    images: np.ndarray
    numbers: dict[str, Any]


def draw_snapshots(axes: Axes, originals: np.ndarray, snapshots: Sequence[Snapshot], title: str) -> None:
    """Images, then at each step their reconstructions and what these lack, on one scale; condition number and more beside."""
    strips, labels = [originals], ["X"]
    for snapshot in snapshots:
        strips += [snapshot.images, np.abs(originals - snapshot.images)]
        labels += ["X̂", "R"]
    page = figures.mosaic(np.concatenate(strips), len(originals))
    height, width = page.shape[:2]
    page = np.concatenate([page, np.ones((height, width // 3, 3))], 1)  # room for the numbers
    axes.imshow(page, interpolation="nearest", aspect="equal")
    tall = originals.shape[1] + 1
    axes.set_yticks([tall * (i + 0.5) for i in range(len(strips))], labels, fontsize=8.5, color=figures.MUTED)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i, snapshot in enumerate(snapshots):
        c, top, low = (number_text(_short(snapshot.numbers.get(key))) for key in _SHOWN_NUMBERS)
        text = f"step {snapshot.step}\nc = {c}\nσmax = {top}\nσmin = {low}"
        words = axes.text(width + 1, tall * (2 * i + 2), text, fontsize=8, color=figures.INK, va="center", linespacing=1.15)
        words.set_in_layout(False)
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=figures.INK, pad=7)


def draw_errors(axes: Axes, steps: Sequence[int], errors: Sequence[Sequence[float]], title: str) -> None:
    """The reconstruction error of every watched image at every look, logarithmic; NaN and infinity orange at the top."""
    values = np.asarray(errors, np.float64)
    x = np.broadcast_to(np.asarray(steps, np.float64)[:, None], values.shape)
    fine, broken = np.isfinite(values) & (values > 0), ~np.isfinite(values)
    axes.plot(x[fine], values[fine], ".", color=figures.PALETTE[0], ms=4.5, alpha=0.5, mew=0)
    top = axes.get_xaxis_transform()
    axes.plot(x[broken], np.full(broken.sum(), 0.98), ".", color=ORANGE, ms=6, transform=top, clip_on=False, in_layout=False)
    if fine.any():
        axes.set_yscale("log")
    _style(axes, "step", "l2 error", title)


def draw_matrix(axes: Axes, matrix: np.ndarray, title: str) -> None:
    """A correlation matrix: blue -1, white 0, red 1."""
    axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold", color=figures.INK)


def draw_cloud(axes: Axes, points: np.ndarray, title: str) -> None:
    """The first and the last entry of samples, on one scale."""
    shown = points[:_DOTS]
    axes.plot(shown[:, 0], shown[:, -1], ".", color=figures.PALETTE[0], ms=3, alpha=0.6, mew=0)
    reach = 1.1 * float(np.max(np.abs(shown[:, [0, -1]])))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    _style(axes, "", "", "")
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color=figures.INK)


_SHOWN_NUMBERS = ("condition_number", "largest_singular_value", "smallest_singular_value")


def _short(value: Any) -> Any:
    return value if value is None else float(f"{float(value):.2g}")


def _style(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(figures.RULE)
    axes.grid(True, color=figures.RULE, lw=0.6, alpha=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=figures.MUTED, labelsize=8.5, length=3)
    axes.set_xlabel(xlabel, fontsize=9.5, color=figures.MUTED)
    axes.set_ylabel(ylabel, fontsize=9.5, color=figures.MUTED)
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=figures.INK, pad=7)
