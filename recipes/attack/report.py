"""The page that shows a run: error over the attack's steps, what becomes of images, inputs unlike the data, certificates."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inntf.stability import Amplification
from recipes.attack.images import to_pixels
from recipes.attack.measuring import SHOWN
from recipes.attack.settings import Config
from recipes.common import figures
from recipes.common.image_data import ImageData

LABELS = {"affine_sigmoid": "affine, (0, 1)", "affine_half": "affine, (0.5, 1)", "residual": "residual flow"}
_SHORT = {"data": "test", "gaussian": "Gauss", "rademacher": "±", "texture": "wave"}
COLOURS = dict(zip(LABELS, figures.PALETTE, strict=False))


def draw(config: Config, data: ImageData, results: dict[str, Any], arrays: dict[str, dict[str, np.ndarray]]) -> Figure:
    """The whole report, of measurements and arrays by model."""
    names = list(results)
    rows = [
        [lambda axes: draw_errors(axes, arrays), lambda axes: draw_unlike(axes, results)],
        [_images(arrays[n], LABELS[n]) for n in names],
        [_unlike_images(arrays[n], LABELS[n]) for n in names],
        [_balls(results[n]["ball"], LABELS[n]) for n in names],
        [lambda axes: figures.draw_table(axes, *_table(results), title="Attack inside of the bins, and noise")],
    ]
    where = f"bins of half width 0.5/2^{config.bits}, {config.attack_steps} steps of {config.step_size:g}"
    return figures.report(
        "What a flow loses inside of its own data",
        rows,
        subtitle=f"{config.dataset}, {'x'.join(map(str, data.shape))}, {config.bits} bits; {where}; "
        f"preset {config.preset}, seed {config.seed}",
        footer="Thin lines: images; thick: their median; a cross: the first error that is NaN or infinite.  Pink pixels: "
        f"NaN or infinite.\nSlopes of the inverse: in balls of radius {config.ball:g} in the latent.",
        heights=[3.4, 3.0, 3.0, 2.8, 0.45 + 0.32 * (len(names) + 1)],
    )


def draw_errors(axes: Axes, arrays: dict[str, dict[str, np.ndarray]]) -> None:
    """Reconstruction error over the steps of the attack, a line an image and one for their median."""
    for name, found in arrays.items():
        errors = np.where(np.isfinite(found["errors"]), found["errors"], np.nan)
        steps = np.arange(len(errors))
        axes.plot(steps, errors, color=COLOURS[name], lw=0.6, alpha=0.35)
        median = np.median(np.where(np.isnan(errors), np.inf, errors), axis=1)
        shown = np.isfinite(median) & (median > 0)
        axes.plot(steps[shown], median[shown], color=COLOURS[name], lw=2.2, label=LABELS[name])
        for image, step in enumerate(found["nonfinite_at"]):
            if step >= 0:
                last = errors[max(step - 1, 0), image]
                axes.plot(step, last if np.isfinite(last) else 1.0, "x", color=COLOURS[name], ms=8, mew=2)
    axes.set_yscale("log")
    figures.style(axes, "step of the attack", "l2 error", "Reconstruction error inside of the bin")
    axes.legend(fontsize=9, frameon=False, labelcolor=figures.INK)


def draw_unlike(axes: Axes, results: dict[str, Any]) -> None:
    """Median errors on the sets; the share that is not finite is written at the upper edge."""
    for i, (name, found) in enumerate(results.items()):
        sets = found["unlike"]
        medians = [m["median"] if np.isfinite(m["median"]) else np.nan for m in sets.values()]
        axes.plot(range(len(sets)), medians, "o-", color=COLOURS[name], lw=1.2, ms=6, label=LABELS[name])
        for place, m in enumerate(sets.values()):
            if m["nonfinite_share"] > 0:
                at = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top", "fontsize": 7.5}
                axes.text(place, 0.99 - 0.06 * i, f"{m['nonfinite_share']:.0%} not finite", color=COLOURS[name], **at)
    axes.set_yscale("log")
    axes.margins(y=0.2)
    figures.style(axes, "", "l2 error, median", "Inputs unlike the data")
    axes.set_xticks(range(len(sets)), ["test" if s == "data" else s for s in sets], fontsize=9)


def _images(found: dict[str, np.ndarray], label: str) -> Any:
    columns = [found[key][:SHOWN] for key in ("centre", "adversarial", "reconstructed")]
    with np.errstate(invalid="ignore"):
        columns.append(np.abs(columns[2] - columns[1]))
    labels = ["x", "x'", "x' back", "|error|"]
    return lambda axes: figures.draw_passes(axes, [to_pixels(c) for c in columns], f"Attacked: {label}", labels)


def _unlike_images(found: dict[str, np.ndarray], label: str) -> Any:
    sets = [key for key in ("unlike_data", "unlike_gaussian", "unlike_rademacher", "unlike_texture") if key in found]
    columns = [to_pixels(part) for key in sets for part in found[key]]
    labels = [text for key in sets for text in (_SHORT[key.removeprefix("unlike_")], "back")]
    return lambda axes: figures.draw_passes(axes, columns, f"Unlike the data: {label}", labels)


def _balls(ball: dict[str, Any], label: str) -> Any:
    slopes = Amplification(np.full(len(ball["sampled"]), ball["radius"]), *_floats(ball, "attacked", "sampled", "certified"))

    def panel(axes: Axes) -> None:
        slopes.draw(axes)
        figures.style(axes, "image", "slope of the inverse", f"Attack ≤ truth ≤ certificate\n{label}")
        axes.set_xticks(range(1, len(slopes.sampled) + 1))

    return panel


def _floats(numbers: dict[str, Any], *keys: str) -> list[np.ndarray]:
    return [np.asarray([np.nan if v is None else float(v) for v in numbers[key]]) for key in keys]


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = ["", "bits/dim", "error at x", "worst x'", "growth", "not finite", "float64", "noise/test", "texture/test"]
    rows = []
    for name, m in results.items():
        found, unlike = m["attack"], m["unlike"]
        noise = max(float(unlike[s]["ratio"]) for s in ("gaussian", "uniform", "rademacher"))
        numbers = [m["bits_per_dim"], found["start_error"]["median"], found["largest_error"], found["median_growth"]]
        share = f"{found['nonfinite_share']:.0%}"
        rows.append([LABELS[name], *numbers, share, found["error_float64"]["max"], noise, unlike["texture"]["ratio"]])
    return header, rows
