"""The page that shows a decorrelation run, laid out as the paper's figures 5, 9, 13 and 14 to 20."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.common.figures import number_text
from recipes.common.image_data import ImageData
from recipes.decorrelation.measuring import SHOWN
from recipes.decorrelation.panels import Snapshot, draw_cloud, draw_errors, draw_matrix, draw_snapshots
from recipes.decorrelation.settings import Config

SNAPSHOTS = 3
_FOOTER = """c, σ: of the Jacobian in float64 at test images (c: median, σ: extremes).  R = |X - X̂| on the scale of X.
Orange: NaN or infinite.  floor: loss of independent normal entries in as many images.  Correlations: of all training images."""
_WORDS = {"additive_spectral": "additive + SN", "actnorm_": "ActNorm ", "depth_": "depth ", "_": " "}
_CLOUDS = {
    "x": "\n\nx",
    "y": "\n\ny = R D x",
    "rotation_and_scaling_back": "\nD⁻¹Rᵀ y",
    "rotation_back": "\nRᵀ y",
    "trained_rotation": "trained:\nrotation",
    "trained_free": "trained:\nany matrix",
    "trained_likelihood": "maximum\nlikelihood",
}


def draw(
    config: Config,
    data: ImageData,
    metrics: dict[str, Any],
    points: dict[str, np.ndarray],
    arrays: dict[str, dict[str, np.ndarray]],
    on_the_way: dict[str, dict[int, np.ndarray]],
) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        data: the images.
        metrics: `linear` and `networks`, the latter with their history.
        points: of the linear case, by name.
        arrays: correlations and spectra by network.
        on_the_way: reconstructed images by network and step, on the scale 0 to 255.

    Returns:
        The figure.
    """
    networks = metrics["networks"]
    names = list(networks)
    originals = data.test[:SHOWN].astype(np.float64)
    rows = [[lambda axes: figures.draw_table(axes, *_table(networks), title="Trained networks")]]
    heights = [0.6 + 0.27 * (len(names) + 1)]
    for n in names:  # figure 5
        history = networks[n]["history"]
        rows.append([_strips(label(n), originals, history, on_the_way[n]), _errors(label(n), history)])
        heights.append(3.5)
    floors = [networks[names[0]]["loss_train_if_independent"]] * 2, [0, config.steps]
    losses = {**_curves(networks, "loss_train"), "independent entries": floors[::-1]}
    rows.append([_plot(_curves(networks, "loss"), "Loss of batches"), _plot(losses, "Loss over all training images")])  # 13
    heights.append(2.6)
    singular = {"condition_number": "Condition number", "largest_singular_value": "Largest singular value"}
    singular |= {"smallest_singular_value": "Smallest singular value"}
    rows.append([_plot(_curves(networks, key), title, legend=key.startswith("small")) for key, title in singular.items()])
    heights.append(2.6)  # 14 to 20
    spectra = {w: {label(n): _spectrum(arrays[n][f"spectrum{w}"]) for n in names} for w in ("_untrained", "")}
    rows.append(
        [
            _plot(spectra["_untrained"], "Singular values of one image's Jacobian, untrained", xlabel="index"),
            _plot(spectra[""], "Trained", xlabel="index"),
        ]
    )
    heights.append(2.6)
    matrices = {"untrained": arrays[names[0]]["correlation_untrained"], **{label(n): arrays[n]["correlation"] for n in names}}
    rows.append([lambda axes, m=m, t=t: draw_matrix(axes, m, t) for t, m in matrices.items()])
    heights.append(2.5)
    rows.append([_cloud(points[key], title, metrics["linear"].get(key)) for key, title in _CLOUDS.items()])  # figure 9
    heights.append(2.5)
    return figures.report(
        "Decorrelation: one objective, stable and unstable solutions",
        rows,
        subtitle=f"{config.dataset}, {'x'.join(map(str, data.shape))}, {config.levels} levels, batches of {config.batch_size}, "
        f"preset {config.preset}, seed {config.seed}",
        footer=_FOOTER,
        heights=heights,
        width=14.0,
    )


def label(name: str) -> str:
    """A network's name in words.

    >>> label("additive_spectral"), label("affine_actnorm_both_depth_4")
    ('additive + SN', 'affine ActNorm both depth 4')
    """
    for old, new in _WORDS.items():
        name = name.replace(old, new)
    return name


def _curves(networks: dict[str, Any], key: str) -> dict[str, Any]:
    found = {}
    for name, m in networks.items():
        seen = [look for look in m["history"] if key in look]
        found[label(name)] = [look["step"] for look in seen], [look[key] for look in seen]
    return found


def _plot(curves: dict[str, Any], title: str, xlabel: str = "step", legend: bool = True) -> Any:
    def panel(axes: Any) -> None:
        figures.draw_curves(axes, curves, title, log=True, xlabel=xlabel)
        if not legend and axes.get_legend() is not None:
            axes.get_legend().remove()

    return panel


def _spectrum(values: np.ndarray) -> Any:
    return np.arange(1, len(values) + 1), values


def _strips(title: str, originals: np.ndarray, history: list[dict[str, Any]], images: dict[int, np.ndarray]) -> Any:
    """At the first, a middle and the last of the looks whose pictures are there."""
    looks = {int(look["step"]): look for look in history}
    steps = sorted(step for step in images if step in looks)
    chosen = [steps[i] for i in sorted({0, len(steps) // 2, len(steps) - 1})] if steps else []
    snapshots = [Snapshot(step, images[step], looks[step]) for step in chosen][:SNAPSHOTS]
    return lambda axes: draw_snapshots(axes, originals, snapshots, title)


def _errors(title: str, history: Sequence[dict[str, Any]]) -> Any:
    seen = [look for look in history if "errors" in look]
    steps, errors = [int(look["step"]) for look in seen], [look["errors"] for look in seen]
    return lambda axes: draw_errors(axes, steps, errors, f"Reconstruction errors: {title}")


def _cloud(points: np.ndarray, title: str, numbers: dict[str, float] | None) -> Any:
    text = title if numbers is None else f"{title}\nc = {number_text(float(numbers['condition_number']))}"
    return lambda axes: draw_cloud(axes, points, text)


def _table(networks: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = ["", "loss untrained", "loss", "test loss", "floor", "condition", "sigma max", "sigma min"]
    header += ["error median", "error max", "not finite", "certified"]
    rows = []
    for name, m in networks.items():
        error = m["reconstruction_error"]
        row = [label(name), m["untrained"]["loss_train"], m["loss_train"], m["loss_test"], m["loss_train_if_independent"]]
        row += [m["condition_number"], m["largest_singular_value"], m["smallest_singular_value"]]
        row += [error["median"], error["max"], error["nonfinite_share"], m["certified_forward"] * m["certified_inverse"]]
        rows.append(row)
    return header, rows
