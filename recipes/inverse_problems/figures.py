"""The paper's figures: box plots of both errors (4, 5), arms (2) and trajectories (3) of sampled posteriors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from recipes.common.figures import INK, MUTED, PALETTE, style
from recipes.inverse_problems.evaluation.mean_shift import mode
from recipes.inverse_problems.problems.ballistics import Ballistics, position
from recipes.inverse_problems.problems.kinematics import Kinematics
from recipes.inverse_problems.problems.problem import Problem

_FLOOR = 1e-5  # of the logarithmic axis: unbiased estimates go below zero
_FAINT = 120  # samples drawn
_CONTOUR = 0.97


def boxes(axes: Axes, errors: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> None:
    """Quartiles, median and full range of both errors by model, on a logarithmic axis (figures 4 and 5).

    Args:
        axes: to draw on.
        errors: `name -> (Err_post, Err_resim)`, an entry an observation each.
        title: of the panel.
    """
    for shift, which, colour, label in ((-0.18, 0, PALETTE[0], "Err_post"), (0.18, 1, PALETTE[1], "Err_resim")):
        data = [np.maximum(pair[which][np.isfinite(pair[which])], _FLOOR) for pair in errors.values()]
        drawn = axes.boxplot(
            data, positions=np.arange(len(data)) + shift, widths=0.3, whis=(0, 100), patch_artist=True, manage_ticks=False
        )
        for box in drawn["boxes"]:
            box.set(facecolor=colour, edgecolor=colour)
        for line in drawn["medians"]:
            line.set(color="white", linewidth=1.5)
        for line in (*drawn["whiskers"], *drawn["caps"]):
            line.set(color=colour, linestyle=":" if line in drawn["whiskers"] else "-", linewidth=1.0)
        axes.plot([], [], color=colour, linewidth=6, label=label)
    style(axes, ylabel="error", title=title)
    axes.set_yscale("log")
    axes.set_xticks(range(len(errors)), list(errors), rotation=30, ha="right", fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2)


def posterior_panel(axes: Axes, problem: Problem, samples: np.ndarray, y: np.ndarray, title: str) -> bool:
    """What sampled parameters look like, in the problem's own picture; false for a problem without one.

    Args:
        axes: to draw on.
        problem: arms for kinematics, trajectories for ballistics.
        samples: `(n, dim x)`.
        y: `(dim y,)`, the observation.
        title: of the panel.
    """
    if isinstance(problem, Kinematics):
        _arms(axes, problem, samples, y)
    elif isinstance(problem, Ballistics):
        _trajectories(axes, problem, samples, y)
    else:
        return False
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.tick_params(labelsize=7, colors=MUTED)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return True


def corner(samples: np.ndarray, truth: np.ndarray, names: tuple[str, ...], title: str, width: float = 7.5) -> Figure:
    """Each parameter's histogram, and every pair: samples of the model below the diagonal, the ground truth above it.

    Args:
        samples: `(n, dim)`, of the model.
        truth: `(n, dim)`, of the ground truth.
        names: of the parameters.
        title: of the figure.
        width: in inches.
    """
    dim = len(names)
    figure = Figure(figsize=(width, width), facecolor="white", layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold", color=INK, x=0.02, ha="left")
    grid = figure.subplots(dim, dim, squeeze=False)
    low, high = truth.min(0), truth.max(0)
    low, high = low - 0.05 * (high - low) - 1e-9, high + 0.05 * (high - low) + 1e-9
    for i in range(dim):
        for j in range(dim):
            axes = grid[i, j]
            if i == j:
                edges = np.histogram_bin_edges(truth[:, i], 30)
                axes.hist(truth[:, i], edges, density=True, color=MUTED, alpha=0.35)
                axes.hist(samples[:, i], edges, density=True, histtype="step", color=PALETTE[0])
                axes.set_yticks([])
            else:
                points, colour = (truth, MUTED) if j > i else (samples, PALETTE[0])
                axes.plot(points[:, j], points[:, i], ".", markersize=1.5, color=colour, alpha=0.6)
                axes.set_ylim(low[i], high[i])
            axes.set_xlim(low[j], high[j])
            axes.tick_params(labelsize=6, colors=MUTED)
            if i == dim - 1:
                axes.set_xlabel(names[j], fontsize=8, color=INK)
            if j == 0:
                axes.set_ylabel(names[i], fontsize=8, color=INK)
    marks = ((PALETTE[0], "model, below"), (MUTED, "ground truth, above"))
    handles = [grid[0, 0].plot([], [], "s", color=colour, label=label)[0] for colour, label in marks]
    figure.legend(handles=handles, loc="outside upper right", frameon=False, fontsize=9, ncol=2)
    return figure


def _arms(axes: Axes, problem: Kinematics, samples: np.ndarray, y: np.ndarray) -> None:
    joints = problem.joints(tf.constant(samples)).numpy()
    for arm in joints[:_FAINT]:
        axes.plot(arm[:, 0], arm[:, 1], color=PALETTE[0], alpha=0.07, linewidth=0.8)
    best = problem.joints(tf.constant(mode(samples)[None])).numpy()[0]
    axes.plot(best[:, 0], best[:, 1], "-o", color=INK, linewidth=1.6, markersize=3)
    _contour(axes, joints[:, -1])
    axes.plot(y[1], y[0], "x", color=MUTED, markersize=10, markeredgewidth=2)
    axes.set(xlim=(-0.35, 2.25), ylim=(-1.3, 1.3), aspect="equal")


def _contour(axes: Axes, ends: np.ndarray) -> None:
    """The line that holds 97 % of the ends."""
    ends = ends[np.isfinite(ends).all(axis=1)]
    if len(ends) < 10 or np.linalg.matrix_rank(np.cov(ends.T)) < 2:
        return
    density = gaussian_kde(ends.T)
    level = np.quantile(density(ends.T), 1.0 - _CONTOUR)
    spread = 4 * ends.std(0) + 1e-6
    u, v = (np.linspace(ends[:, k].mean() - spread[k], ends[:, k].mean() + spread[k], 90) for k in (0, 1))
    heights = density(np.stack(np.meshgrid(u, v), 0).reshape(2, -1)).reshape(90, 90)
    axes.contour(u, v, heights, levels=[level], colors=[PALETTE[1]], linewidths=1.2)


def _trajectories(axes: Axes, problem: Ballistics, samples: np.ndarray, y: np.ndarray) -> None:
    times = np.linspace(0.0, 4.5, 120, dtype=np.float32)

    def path(row: np.ndarray) -> np.ndarray:
        points = position(tf.constant(row), tf.constant(times)).numpy()
        return points[: int(np.argmax(points[:, 1] < 0)) or len(points)]

    for row in samples[:_FAINT]:
        axes.plot(*path(row).T, color=PALETTE[0], alpha=0.07, linewidth=0.8)
    axes.plot(*path(mode(samples)).T, color=INK, linewidth=1.6)
    impacts = problem.forward(tf.constant(samples)).numpy()[:, 0]
    impacts = impacts[np.isfinite(impacts)]
    if len(impacts) > 10 and impacts.std() > 0:
        along = np.linspace(y[0] - 3, y[0] + 3, 200)
        density = gaussian_kde(impacts)(along)
        axes.fill_between(along, -0.05, -0.05 - 1.2 * density / density.max(), color=PALETTE[2], alpha=0.7, linewidth=0)
    axes.axvline(y[0], color=MUTED, linewidth=1.0)
    axes.axhline(0.0, color=MUTED, linewidth=0.6)
    axes.set(xlim=(-1.5, max(8.0, y[0] + 2)), ylim=(-1.4, 6.0))
