"""The page that shows a run: stability over training as figure 9, pictures as figure 10, a table of sets as table 5."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.common.image_data import ImageData
from recipes.common.scaling import to_pixels
from recipes.density.measuring import NOISE_SETS
from recipes.density.settings import Config

LABELS = {"affine": "affine Glow", "additive": "additive Glow", "residual": "residual flow"}
SETS = {"data": "test images", "gaussian": "Gaussian", "uniform": "uniform", "rademacher": "Rademacher"}
_CURVES = (
    ("squared_error_per_pixel", "Reconstruction error, ℓ₂² per pixel", True),
    ("condition_number", "Condition number", True),
    ("test_bits_per_dim", "Bits/dim, test images", False),
    ("reconstruction_error", "Reconstruction error, ℓ₂, largest", True),
    ("largest_singular_value", "Largest singular value", True),
    ("smallest_singular_value", "Smallest singular value", True),
)


def draw(config: Config, data: ImageData, results: dict[str, Any], pictures: dict[str, dict[str, np.ndarray]]) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        data: the images.
        results: measurements and history by model.
        pictures: by model and set, `(3, n, height, width, channels)`: inputs, after one pass, after all.
    """
    rows = [[_curve(results, *one) for one in _CURVES[i : i + 3]] for i in (0, 3)]
    heights = [2.6, 2.6]
    for name in results:
        rows.append([_pictures(pictures[name], key, i == 0) for i, key in enumerate(pictures[name])])
        heights.append(1.75)
    for name, m in results.items():
        rows.append([_sets(name, m, config.passes)])
        heights.append(0.5 + 0.235 * (len(m["unlike"]) + 1))
    rows.append([lambda axes: figures.draw_table(axes, *_models(results), title="Models, and what is proved of them")])
    heights.append(0.5 + 0.27 * (len(results) + 1))
    page = figures.report(
        "What maximum likelihood leaves of the inverse",
        rows,
        subtitle=f"{config.dataset}, {'x'.join(map(str, data.shape))}, {config.levels} levels of {config.depth} couplings, "
        f"{config.hidden} hidden channels, {config.mixing}; preset {config.preset}, seed {config.seed}",
        footer="Step 0: untrained.  Crosses, pink pixels: NaN or infinite.  Errors: l2, or squares per pixel,\n"
        f"float32, images on [-0.5, 0.5].  Rows of pictures: inputs, after 1 pass, after {config.passes}.  "
        "Singular values: float64, test images.",
        heights=heights,
    )
    for strip, name in zip(page.subfigs[2:], results, strict=False):
        strip.suptitle(LABELS[name], x=0.02, ha="left", fontsize=11.5, fontweight="bold", color=figures.INK)
    return page


def _curve(results: dict[str, Any], key: str, title: str, log: bool) -> Any:
    curves = {LABELS[n]: ([look["step"] for look in m["history"]], _floats(m, key)) for n, m in results.items()}
    legend = key in ("test_bits_per_dim", "smallest_singular_value")

    def panel(axes: Axes) -> None:
        figures.draw_curves(axes, curves, title, log=log)
        if not legend and axes.get_legend():
            axes.get_legend().remove()

    return panel


def _floats(m: dict[str, Any], key: str) -> list[float]:
    return [np.nan if look[key] is None else float(look[key]) for look in m["history"]]


def _pictures(found: dict[str, np.ndarray], key: str, first: bool) -> Any:
    seen = to_pixels(found[key][:, :3])
    labels = ["input", "1 pass", "all"]

    def panel(axes: Axes) -> None:
        figures.draw_images(axes, seen.reshape(-1, *seen.shape[2:]), columns=seen.shape[1])
        axes.set_title(_name(key), fontsize=9, color=figures.MUTED, pad=3)
        if first:
            height = seen.shape[2] + 1
            axes.set_yticks([height * (i + 0.5) for i in range(3)], labels, fontsize=8, color=figures.MUTED)
            axes.tick_params(length=0)

    return panel


def _sets(name: str, m: dict[str, Any], passes: int) -> Any:
    header = ["", "not finite", "min", "mean", "max", "median", "over test", f"after {passes}: not finite", "median"]
    rows: list[list[object]] = []
    for key, found in m["unlike"].items():
        numbers = [found[part] for part in ("min", "mean", "max", "median", "ratio")]
        after = found["nonfinite_share_after_passes"], found["median_after_passes"]
        shares = [f"{100 * share:.3g} %" for share in (found["nonfinite_share"], after[0])]
        rows.append([_name(key), shares[0], *(_short(n) for n in numbers), shares[1], _short(after[1])])
    return lambda axes: figures.draw_table(axes, header, rows, title=f"Reconstruction of other inputs: {LABELS[name]}")


def _models(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = [
        "",
        "weights",
        "bits/dim",
        "condition",
        "σ max",
        "σ min",
        "noise/test",
        "Lipschitz proved",
        "of the inverse",
        "where",
    ]
    rows: list[list[object]] = []
    for name, m in results.items():
        noise = max(float(m["unlike"][kind]["ratio"]) for kind in NOISE_SETS)
        numbers = [_short(m[key]) for key in ("condition_number", "largest_singular_value", "smallest_singular_value")]
        proved = m["certificate"]
        bounds = [_short(proved[way]) if np.isfinite(float(proved[way])) else "none" for way in ("forward", "inverse")]
        where = {"global": "everywhere"}.get(proved["scope"], "on the data's box") if "none" not in bounds else "-"
        rows.append([LABELS[name], m["weights"], f"{float(m['bits_per_dim']):.3f}", *numbers, _short(noise), *bounds, where])
    return header, rows


def _name(key: str) -> str:
    return SETS.get(key, key)


def _short(value: Any) -> str:
    return "-" if value is None else f"{float(value):.3g}"
