"""Is a posterior right? Ranks, coverage and TARP with the bands that curves of a right one stay in, on one page.

figure = calibration_figure("cINN, kinematics", sbc=sbc_test(samples, truth), coverage=..., tarp=..., names=["height", ...])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inntf.calibration import RankTest
from recipes.common.figures import INK, MUTED, PALETTE, report, style

_BAND = "#e4e9ee"


def calibration_figure(
    title: str,
    *,
    sbc: RankTest,
    coverage: RankTest,
    tarp: RankTest,
    names: Sequence[str] | None = None,
    subtitle: str = "",
    footer: str = "",
) -> Figure:
    """Three panels side by side: a row of a report by itself.

    Args:
        title: in large letters on top.
        sbc: of `inntf.calibration.sbc_test`.
        coverage: of `expected_coverage`.
        tarp: of `tarp`.
        names: of the parameters, in the place of `x1`, `x2`, ...
        subtitle: below the title.
        footer: at the bottom.

    Returns:
        The figure; `RunFolder.write_figure` stores it.
    """
    panels = [
        lambda axes: draw_ranks(axes, sbc, "Ranks of the true parameters", names),
        lambda axes: draw_coverage(axes, coverage, "Coverage of credible regions", names),
        lambda axes: draw_coverage(axes, tarp, "TARP: balls around random points", names),
    ]
    number = len(sbc.ranks)
    said = (
        subtitle or f"{number} simulations, {sbc.n_samples} posterior samples each; grey: {sbc.level:.0%} of right posteriors"
    )
    return report(title, [panels], subtitle=said, footer=footer, heights=[3.9], width=14.5)


def draw_ranks(axes: Axes, test: RankTest, title: str = "", names: Sequence[str] | None = None) -> None:
    """Distribution functions of ranks less the diagonal, a curve for each parameter, and the band.

    Args:
        axes: where to draw.
        test: what to draw.
        title: above.
        names: of the parameters.
    """
    draw_differences(axes, test.points, test.ecdf, test.lower, test.upper, _named(test.labels, names))
    reach = 1.15 * max(np.abs(edges - test.points).max() for edges in (test.ecdf.T, test.lower, test.upper))
    axes.set(xlim=(0, 1), ylim=(-1.15 * reach, 1.6 * reach))  # room for the legend
    _finish(axes, test, title, "rank of the truth, share of the samples", "share of simulations, less the diagonal")


def draw_differences(
    axes: Axes,
    points: np.ndarray,
    ecdf: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    labels: Sequence[str] | None = None,
) -> None:
    """Curves and band of a `RankTest`, less the diagonal, from its arrays alone.

    Args:
        axes: where to draw.
        points: levels, as in `inntf.calibration.RankTest`.
        ecdf: curves at the levels.
        lower: edge of the band.
        upper: edge of the band.
        labels: of the curves, for a legend.
    """
    x = np.concatenate([[0], points, [1]])
    axes.fill_between(x, *(np.concatenate([[0], edge - points, [0]]) for edge in (lower, upper)), color=_BAND, lw=0)
    axes.axhline(0, color=MUTED, lw=0.8)
    for i, curve in enumerate(ecdf.T):
        line = np.concatenate([[0], curve - points, [0]])
        label = None if labels is None else labels[i]
        axes.plot(x, line, color=PALETTE[i % len(PALETTE)], lw=1.6, ls="-" if i < len(PALETTE) else "--", label=label)


def draw_coverage(axes: Axes, test: RankTest, title: str = "", names: Sequence[str] | None = None) -> None:
    """Coverage against credibility, and the band; above the diagonal is too wide.

    One-sided intervals and reference points are thin lines, without an entry each in the legend.

    Args:
        axes: where to draw.
        test: what to draw.
        title: above.
        names: of the parameters.
    """
    x = np.concatenate([[0], test.points, [1]])
    axes.fill_between(x, np.concatenate([[0], test.lower, [1]]), np.concatenate([[0], test.upper, [1]]), color=_BAND, lw=0)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8)
    shown: set[str] = set()
    colours = iter(np.resize(PALETTE[:6], len(test.labels)))
    for i, label in enumerate(_named(test.labels, names)):
        kind = "one-sided" if label.endswith("one-sided") else "a reference point" if label.startswith("reference") else ""
        colour, width = (PALETTE[6], 0.8) if kind else (next(colours), 1.7)
        text = kind or label
        axes.plot(x, np.concatenate([[0], test.ecdf[:, i], [1]]), color=colour, lw=width, label=None if text in shown else text)
        shown.add(text)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _finish(axes, test, title, "credibility", "share of simulations whose truth is inside")


def _named(labels: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """`x2 central` becomes `angle central`."""
    if names is None:
        return list(labels)
    by_label = {f"x{i + 1}": name for i, name in enumerate(names)}
    parts = [label.partition(" ") for label in labels]
    return [f"{by_label.get(first, first)} {rest}".strip() for first, _, rest in parts]


def _finish(axes: Axes, test: RankTest, title: str, xlabel: str, ylabel: str) -> None:
    style(axes, xlabel, ylabel, title)
    axes.text(
        0.98,
        0.03,
        f"p = {test.p_value:.2g}",
        ha="right",
        va="bottom",
        transform=axes.transAxes,
        fontsize=10.5,
        fontweight="bold",
        color=INK,
    )
    axes.legend(fontsize=8.5, frameon=False, labelcolor=INK, handlelength=1.4, loc="upper left")
