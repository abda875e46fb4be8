"""The page that shows a run: errors and weights by bottleneck, reconstructions, samples, interpolations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from recipes.autoencoder.claims import by_bottleneck, medians, trainings_of
from recipes.autoencoder.intrinsic import saturation
from recipes.autoencoder.models import LABELS
from recipes.autoencoder.settings import Config
from recipes.common import figures

SHOWN_BOTTLENECKS = 3
AFTERWARDS = "bottlenecks changed afterwards"

Pictures = Mapping[str, Mapping[str, np.ndarray]]


def draw(config: Config, metrics: Mapping[str, Any], pictures: Pictures, quality: str) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        metrics: the measurements, by training.
        pictures: pixels by training, of the first seed.
        quality: what the features are that samples are compared by.
    """
    names = [name for name in config.models if medians(metrics, name)]
    shown = [m for m in trainings_of(metrics) if m["seed"] == config.seed]
    rows: list[list[figures.Panel]] = [
        [
            lambda axes: draw_medians(axes, metrics, names, "l1", "Reconstruction, L1 of test images"),
            lambda axes: draw_medians(axes, metrics, names, "weights", "Trained numbers", log=False),
        ],
        [lambda axes: figures.draw_table(axes, *_table(metrics, names), title="By model, medians over seeds")],
    ]
    heights = [3.6, max(1.6, 0.6 + 0.27 * len(_table(metrics, names)[1]))]
    chosen = {name: _spread([m["bottleneck"] for m in shown if m["model"] == name]) for name in names}
    pairs = [(name, bottleneck) for name in names for bottleneck in chosen[name]]
    for i in range(0, len(pairs), SHOWN_BOTTLENECKS):
        rows.append([_reconstruction(pictures, shown, *pair) for pair in pairs[i : i + SHOWN_BOTTLENECKS]])
        heights.append(1.8)
    generative = [m for m in shown if "samples" in pictures[m["name"]]]
    for i in range(0, len(generative), 3):
        rows.append([_samples(pictures, m) for m in generative[i : i + 3]])
        heights.append(2.5)
    last = [max((m for m in shown if m["model"] == name), key=lambda m: m["bottleneck"]) for name in names]
    for i in range(0, len(last), 2):
        rows.append([_between(pictures, m) for m in last[i : i + 2]])
        heights.append(0.95)
    return figures.report(
        "Autoencoders: what a bottleneck loses",
        rows,
        subtitle=f"{config.dataset}, preset {config.preset}, seeds {config.seed} to {config.seed + config.repeats - 1}",
        footer=f"KID, precision, recall, copied: {quality}.  p: that codes are as the prior.\n"
        "cond: of the decoder's Jacobian.  Curves: medians, bands: all seeds.  Images: input, reconstruction, difference.",
        heights=heights,
    )


def draw_medians(axes: Axes, metrics: Mapping[str, Any], names: list[str], key: str, title: str, *, log: bool = True) -> None:
    """A line a model over the bottlenecks, the median over seeds, in a band from the least to the largest value."""
    curves: dict[str, Mapping[int, list[float]]] = {LABELS[name]: by_bottleneck(metrics, name, key) for name in names}
    after = metrics.get(AFTERWARDS, {})
    if key == "l1" and after:
        bottlenecks = sorted({int(b) for found in after.values() for b in found})
        curves[f"INN, trained at {max(bottlenecks)}"] = {
            b: [found[str(b)] for found in after.values() if str(b) in found] for b in bottlenecks
        }
    lines = {name: (list(curve), [float(np.median(v)) for v in curve.values()]) for name, curve in curves.items()}
    figures.draw_curves(axes, lines, title, xlabel="bottleneck", log=log)
    for i, curve in enumerate(curves.values()):
        low, high = ([float(pick(v)) for v in curve.values()] for pick in (np.min, np.max))
        colour = figures.PALETTE[i % len(figures.PALETTE)]
        axes.fill_between(list(curve), low, high, color=colour, alpha=0.18, lw=0)
    axes.set_xscale("log", base=2)
    ticks = sorted({bottleneck for curve in curves.values() for bottleneck in curve})
    axes.set_xticks(ticks, [str(tick) if i == 0 or tick >= 1.3 * ticks[i - 1] else "" for i, tick in enumerate(ticks)])
    axes.xaxis.set_minor_locator(NullLocator())
    if log:
        for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            set_formatter(StrMethodFormatter("{x:.3g}"))
        axes.tick_params(which="minor", labelcolor=figures.MUTED, labelsize=9)
    else:
        axes.set_ylim(0, 1.1 * max(max(values) for curve in curves.values() for values in curve.values()))


def _spread(bottlenecks: list[int]) -> list[int]:
    """The largest one, and others evenly among the rest."""
    ordered = sorted(bottlenecks)
    if len(ordered) <= SHOWN_BOTTLENECKS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / SHOWN_BOTTLENECKS)] for i in range(1, SHOWN_BOTTLENECKS + 1)]


def _reconstruction(pictures: Pictures, shown: list[Any], name: str, bottleneck: int) -> figures.Panel:
    (found,) = (m for m in shown if m["model"] == name and m["bottleneck"] == bottleneck)
    images = pictures[found["name"]]
    three = np.concatenate([images["data"], images["again"], 255 - np.abs(images["data"] - images["again"])])
    title = f"{LABELS[name]}, b = {bottleneck}: L1 {found['l1']:.4f}"
    return lambda axes: figures.draw_images(axes, three, title, columns=len(images["data"]))


def _samples(pictures: Pictures, found: Mapping[str, Any]) -> figures.Panel:
    title = f"Samples: {LABELS[found['model']]}, b = {found['bottleneck']}"
    return lambda axes: figures.draw_images(axes, pictures[found["name"]]["samples"], title, columns=8)


def _between(pictures: Pictures, found: Mapping[str, Any]) -> figures.Panel:
    images = pictures[found["name"]]["between"]
    title = f"Between two codes: {LABELS[found['model']]}, b = {found['bottleneck']}"
    return lambda axes: figures.draw_images(axes, images, title, columns=len(images))


def _table(metrics: Mapping[str, Any], names: list[str]) -> tuple[list[str], list[list[object]]]:
    """A row for each model and up to three of its bottlenecks."""
    columns = {
        "L1": "l1",
        "L2": "l2",
        "weights": "weights",
        "seconds": "seconds",
        "MMD^2": "mmd_squared",
        "p": "mmd_p_value",
        "KID": "kid",
        "precision": "precision",
        "recall": "recall",
        "copied": "copied_share",
        "cond": "decoder_condition",
    }
    rows: list[list[object]] = []
    for name in names:
        curve = medians(metrics, name)
        end = saturation(curve) if len(curve) > 2 else None
        for bottleneck in _spread(list(curve)):
            found = [_median(by_bottleneck(metrics, name, key).get(bottleneck)) for key in columns.values()]
            mark = ", saturated" if end is not None and bottleneck >= end else ""
            rows.append([f"{LABELS[name]}, {bottleneck}{mark}", *found])
    return ["", *columns], rows


def _median(values: list[Any] | None) -> Any:
    known = [v for v in values or [] if v is not None]
    if all(isinstance(v, int) for v in known):
        return int(np.median(known)) if known else None
    return float(np.median(known))
