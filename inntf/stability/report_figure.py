"""The figure of a stability report: what comes back, pass by pass, what was measured and what is proved."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inntf.stability.verdict import FRAGILE, VISIBLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = "Samples that change most: the data first, then pass after pass forward and back; magenta is not finite"
COLOURS = {"stable": "#1a7f4b", "fragile": "#b7791f", "broken": "#c0273a"}
_INK, _QUIET, _MEASURED, _PROVED, _BACK = "#1f2933", "#7b8794", "#2166ac", "#c6d7ea", "#b35806"


def draw_report(report: dict[str, Any], picture: np.ndarray | None = None, *, title: bool = True) -> Figure:
    """Draw a report: relative errors of both sides, the error pass by pass, singular values inside of their bounds, blocks.

    Args:
        report: of `stability_report`.
        picture: `(height, width, 3)` uint8 of the samples by passes, or `None` for no picture.
        title: whether the verdict stands above.

    Returns:
        A matplotlib figure.

    Raises:
        ImportError: without matplotlib, which inntf itself does not need.

    Source: inntf.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.stability import stability_report
        >>> draw_report(stability_report(AdditiveCoupling(), tf.ones([2, 4]))).get_size_inches().tolist()
        [11.0, 7.0]
    """
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError("Drawing a stability report needs matplotlib: pip install matplotlib") from error
    tall = 0.0 if picture is None else float(np.clip(10.5 * picture.shape[0] / picture.shape[1], 1.2, 6.0))
    figure = figures.Figure(figsize=(11.0, 7.0 + tall), layout="constrained")
    grid = figure.add_gridspec(2 + (picture is not None), 2, height_ratios=[1, 1] + ([tall / 3.2] if tall else []))
    _errors(figure.add_subplot(grid[0, 0]), report)
    _passes(figure.add_subplot(grid[0, 1]), report)
    _stretch(figure.add_subplot(grid[1, 0]), report)
    _blocks(figure.add_subplot(grid[1, 1]), report)
    if picture is not None:
        axes = figure.add_subplot(grid[2, :])
        axes.imshow(picture, interpolation="nearest", aspect="equal")
        axes.set_xticks([])
        axes.set_yticks([])
        _title(axes, PICTURE)
    if title:
        text = f"{report['block']}: {report['verdict']}"
        figure.suptitle(text, color=COLOURS[report["verdict"]], fontsize=14, fontweight="bold")
    return figure


def _errors(axes: Any, report: dict[str, Any]) -> None:
    """Median to maximum of the relative errors, a row for each side and precision."""
    own, wide = report["own_samples"], report["own_samples_float64"]
    rows = [(f"data, {report['dtype']}", report["relative_error"], 0.0)]
    if report["relative_error_float64"] is not None and report["dtype"] != "float64":
        rows.append(("data, float64", report["relative_error_float64"], 0.0))
    if own is not None:
        rows.append((f"own samples, {report['dtype']}", own["relative_error"], own["nonfinite_share"]))
    if wide is not None and report["dtype"] != "float64":
        rows.append(("own samples, float64", wide["relative_error"], wide["nonfinite_share"]))
    for y, (_, found, lost) in enumerate(rows):
        low, middle, high = (_on_log_axis(found[key]) for key in ("median", "p99", "max"))
        axes.plot([low, high], [y, y], color=_MEASURED, linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot([low, middle], [y, y], "o", color=_MEASURED, markersize=6)
        share = max(found["nonfinite_share"], lost)
        if share:
            text = f"{100 * share:.3g} % not finite"
            axes.annotate(text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(-4, 9), textcoords="offset points",
                          ha="right", fontsize=8, color=COLOURS["broken"])  # fmt: skip
    for limit, level in ((FRAGILE, "fragile"), (VISIBLE, "broken")):
        axes.axvline(limit, color=COLOURS[level], linewidth=1, linestyle="--")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 1e-9), max(high, 0.1))
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    _finish(axes, "What does not come back", "error over the norm of the sample: median, 99 %, largest")


def _passes(axes: Any, report: dict[str, Any]) -> None:
    """Median error after each pass forward and back."""
    errors, lost = (np.asarray(report[key], np.float64) for key in ("error_by_pass", "nonfinite_by_pass"))
    passes = np.arange(1, len(errors) + 1)
    axes.plot(passes, np.where(np.isfinite(errors), np.maximum(errors, 1e-12), np.nan), "o-", color=_MEASURED, markersize=5)
    axes.set_yscale("log")
    axes.set_xlim(0.5, len(errors) + 0.5)
    axes.set_xticks(passes)
    _finish(axes, "Forward and back, again and again", "pass", "median error of the finite ones, l2")
    if lost.any():
        share = axes.twinx()
        share.bar(passes, 100 * lost, 0.7, color=COLOURS["broken"], alpha=0.25, linewidth=0)
        share.set_ylim(0, 100)
        share.set_ylabel("samples that are not finite, %", color=COLOURS["broken"], fontsize=9)
        share.tick_params(labelsize=8, colors=COLOURS["broken"])
        share.spines["top"].set_visible(False)


def _stretch(axes: Any, report: dict[str, Any]) -> None:
    """Singular values that were measured, inside of what is proved."""
    values, bounds = report["singular_values"], report["bounds"]
    low, high = (1 / bounds["inverse"] if bounds["inverse"] else math.nan), bounds["forward"]
    rows, names = [], []
    if math.isfinite(high) and low > 0 and max(high, 1 / low) < 1e30:
        rows.append((low, high, _PROVED))
        names.append("proved\n" + ("everywhere" if bounds["scope"] == "global" else "in the box"))
    if (ball := report["balls"]) is not None and all(math.isfinite(ball[k]) and ball[k] for k in ("forward", "inverse")):
        rows.append((1 / ball["inverse"], ball["forward"], "#88aed6"))
        names.append(f"proved within\n{ball['radius']:.3g} of the data")
    if values["largest"] > 0 and values["smallest"] > 0 and math.isfinite(values["largest"]):
        rows.append((values["smallest"], values["largest"], _MEASURED))
        names.append(f"measured at\n{values['samples']} samples")
    for y, (start, end, colour) in enumerate(rows):
        axes.plot([start, end], [y, y], color=colour, linewidth=12, solid_capstyle="butt")
        axes.annotate(f"{start:.2g} to {end:.2g}", (math.sqrt(start) * math.sqrt(end), y), xytext=(0, 11),
                      textcoords="offset points", ha="center", fontsize=8, color=_INK)  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(-0.6, len(rows) - 0.2 if rows else 1)
    axes.set_yticks(range(len(rows)), names)
    if not any(colour == _PROVED for *_, colour in rows):
        bounded = math.isfinite(max(bounds["forward"], bounds["inverse"]))
        text = "what is proved everywhere is too wide to draw" if bounded else "no finite bound is proved everywhere"
        axes.text(0.98, 0.04, text, transform=axes.transAxes, ha="right", fontsize=8, color=_QUIET)
    _finish(axes, "How far it stretches and squeezes", "singular values of the Jacobian")


def _blocks(axes: Any, report: dict[str, Any]) -> None:
    """Certified bounds block by block, forward and inverse; infinite ones reach the upper edge."""
    rows = report["blocks"] or [{**report["bounds"], "depth": 1}]
    following = [row["depth"] for row in rows[1:]] + [0]
    leaves = [row for row, after in zip(rows, following, strict=True) if after <= row["depth"]]
    finite = [row[way] for row in leaves for way in ("forward", "inverse") if 0 < row[way] < 1e300]
    top = min(10 * max([*finite, 10.0]), 1e30)
    place = np.arange(len(leaves))
    for way, colour, offset in (("forward", _MEASURED, -0.2), ("inverse", _BACK, 0.2)):
        heights = np.array([min(max(row[way], 1.0), top) if not math.isnan(row[way]) else top for row in leaves])
        axes.bar(place + offset, heights - 1, 0.4, bottom=1, color=colour, label=way, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(1, top)
    axes.set_xlim(-0.6, len(leaves) - 0.4)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0)
    beyond = any(not max(row["forward"], row["inverse"]) < top for row in leaves)
    axes.xaxis.get_major_locator().set_params(integer=True)
    more = f"; to the edge: above {top:.0e}, or none" if beyond else ""
    _finish(axes, "Certified Lipschitz bounds, by block", f"block, as applied{more}")


def _on_log_axis(value: float) -> float:
    return float(np.clip(value, 1e-9, 1e9)) if math.isfinite(value) else math.nan


def _finish(axes: Any, title: str, xlabel: str, ylabel: str = "") -> None:
    _title(axes, title)
    axes.set_xlabel(xlabel, color=_QUIET, fontsize=9)
    axes.set_ylabel(ylabel, color=_QUIET, fontsize=9)
    axes.tick_params(labelsize=8, colors=_INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e4e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=_INK)
