"""The page that shows an i-ResNet run: tables, accuracies, reconstructions, densities."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.iresnet.classify import FREE
from recipes.iresnet.settings import Config
from recipes.iresnet.toys import SIDE

LABELS = {"residual": "residual flow", "affine": "affine couplings", "affine_unsqueezed": "couplings, full resolution"}


def draw(config: Config, results: dict[str, Any], folder: pathlib.Path) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        results: measurements and history by task.
        folder: where the pictures' arrays are.

    Returns:
        The figure.
    """
    rows: list[list[figures.Panel]] = []
    heights: list[float] = []
    for make, task in ((_classifiers, "classify"), (_images, "density"), (_toys, "toys")):
        if task in results:
            more, tall = make(results[task], folder)
            rows += more
            heights += tall
    return figures.report(
        "i-ResNet: classification, reconstruction, density",
        rows,
        subtitle=f"{config.dataset}, preset {config.preset}, seed {config.seed}",
        footer="Errors: l2 an image, pixels 0 to 1.  Flows of a table: equally many weights.  Pink: NaN or infinite.",
        heights=heights,
    )


def _classifiers(found: dict[str, Any], folder: pathlib.Path) -> tuple[list[list[figures.Panel]], list[float]]:
    bound = [name for name in found if name != FREE]
    loosest, tightest = bound[-1], bound[0]
    accuracies = {_label(name): 100 * m["test_accuracy"] for name, m in found.items()}
    curves = {_label(name): _curve(m["history"], "test_accuracy") for name, m in found.items()}
    rows: list[list[figures.Panel]] = [
        [lambda axes: figures.draw_table(axes, *_classifier_table(found), title="Classifiers, test images")],
        [
            lambda axes: _draw_accuracies(axes, accuracies),
            lambda axes: figures.draw_curves(axes, curves, "Accuracy in training (1000 test images)"),
        ],
        [_reconstruction(folder, name) for name in dict.fromkeys((loosest, tightest))],
    ]
    return rows, [2.4, 2.8, 1.9]


def _draw_accuracies(axes: Axes, accuracies: dict[str, float]) -> None:
    figures.draw_bars(axes, accuracies, "Accuracy, %")
    low = min(accuracies.values())
    axes.set_ylim(max(0.0, low - 5.0), min(104.0, max(accuracies.values()) + 2.0))
    axes.tick_params(axis="x", labelsize=8)


def _reconstruction(folder: pathlib.Path, name: str) -> figures.Panel:
    stored = dict(np.load(folder / f"reconstruction_{name}.npz"))
    images = np.concatenate([stored["data"], stored["again"]])
    title = f"Test images, and from their features: {_label(name)}"
    return lambda axes: figures.draw_images(axes, images, title, columns=len(stored["data"]))


def _images(found: dict[str, Any], folder: pathlib.Path) -> tuple[list[list[figures.Panel]], list[float]]:
    curves = {LABELS[name]: _curve(m["history"], "test_bits_per_dim") for name, m in found.items()}
    rows: list[list[figures.Panel]] = [
        [
            lambda axes: figures.draw_table(axes, *_flow_table(found), title="Densities of images, test images"),
            lambda axes: figures.draw_curves(axes, curves, "Bits/dim in training (200 test images)"),
        ],
        [_samples(folder, name) for name in found],
    ]
    return rows, [2.6, 3.0]


def _samples(folder: pathlib.Path, name: str) -> figures.Panel:
    images = np.load(folder / f"density_{name}.npz")["samples"][:32]
    return lambda axes: figures.draw_images(axes, images, f"Samples: {LABELS[name]}", columns=8)


def _toys(found: dict[str, Any], folder: pathlib.Path) -> tuple[list[list[figures.Panel]], list[float]]:
    pairs = {f"{data_set}, {LABELS[name]}": m for data_set, pair in found.items() for name, m in pair.items()}
    rows: list[list[figures.Panel]] = [
        [lambda axes: figures.draw_table(axes, *_flow_table(pairs), title="Densities in two dimensions")],
        [_density(folder, data_set, name) for data_set, pair in found.items() for name in pair],
    ]
    return rows, [2.4, 3.2]


def _density(folder: pathlib.Path, data_set: str, name: str) -> figures.Panel:
    values = np.exp(np.load(folder / f"toys_{data_set}_{name}.npz")["log_prob"])

    def panel(axes: Axes) -> None:
        highest = np.nanpercentile(np.where(np.isfinite(values), values, np.nan), 99.5)
        axes.imshow(values, origin="lower", extent=(-SIDE, SIDE, -SIDE, SIDE), cmap="viridis", vmin=0, vmax=highest)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{data_set}\n{LABELS[name]}", loc="left", fontsize=10, fontweight="bold", color=figures.INK)

    return panel


def _classifier_table(found: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = ["", "accuracy, %", "before certifying", "largest norm", "error median", "error max", "Lip inverse", "weights"]
    rows: list[list[object]] = []
    for name, m in found.items():
        error = m.get("reconstruction_error", {})
        rows.append(
            [
                _label(name),
                100 * m["test_accuracy"],
                100 * m["test_accuracy_before_certifying"],
                m.get("largest_certified_norm"),
                error.get("median"),
                error.get("max"),
                m.get("certified_inverse"),
                m["weights"],
            ]
        )
    return header, rows


def _flow_table(found: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    rows = [
        [
            LABELS.get(name, name),
            m["bits_per_dim"],
            m["bits_per_dim_standard_error"],
            m["weights"],
            m["reconstruction_error"]["max"],
        ]
        for name, m in found.items()
    ]
    return ["", "bits/dim", "std. error", "weights", "error max"], rows


def _label(name: str) -> str:
    return name.replace("c_", "c = ")


def _curve(history: list[dict[str, float]], key: str) -> figures.Curve:
    return [h["step"] for h in history], [float(h[key]) for h in history]
