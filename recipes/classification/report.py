"""The page that shows a run: table, curves over training, condition numbers, gradients, reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.classification.settings import Config
from recipes.common import figures
from recipes.common.image_data import ImageData

WORDS = {"none": "none", "fd": "finite differences", "nf": "flow loss", "nf_strong": "flow loss, strong"}


def draw(config: Config, data: ImageData, results: dict[str, Any], pictures: dict[str, dict[str, np.ndarray]]) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        data: the images.
        results: measurements and history by classifier.
        pictures: `data` and `again` by classifier, pixels.
    """
    rows = [[lambda axes: figures.draw_table(axes, *_table(results), title="Test images")]]
    heights = [0.6 + 0.24 * len(results)]
    for body in config.bodies:
        names = [name for name in results if name.startswith(body)]
        if not names:
            continue  # all of its trainings failed
        label = body.replace("_", ", ")
        rows.append([_curves(results, body, names, key, f"{title}\n{label}", log) for key, title, log in _CURVES])
        heights.append(2.8)
    rows.append([_angles(results)])
    heights.append(2.6)
    for i in range(0, len(results), 3):
        rows.append([_reconstructions(pictures[name], name) for name in list(results)[i : i + 3]])
        heights.append(1.6)
    return figures.report(
        "Invertible classifiers: the inverse, with and without a regularizer",
        rows,
        subtitle=f"{config.dataset}, {'x'.join(map(str, data.shape))}, {config.levels} levels of {config.depth} steps, "
        f"{config.hidden} hidden channels, preset {config.preset}, seed {config.seed}",
        footer="Condition numbers are of one test image, in float64; errors of float32.  Crosses at the upper edge, pink:\n"
        "NaN or infinite.  Shown are the test images that reconstruction changes most.",
        heights=heights,
    )


_CURVES = (
    ("condition_number_at_least", "Condition number", True),
    ("reconstruction_error_max", "Reconstruction error, max, l2", True),
    ("test_accuracy", "Accuracy, 500 test images", False),
)


def _curves(results: dict[str, Any], body: str, names: list[str], key: str, title: str, log: bool) -> Any:
    curves = {}
    for name in names:
        seen = [look for look in results[name]["history"] if key in look]
        values = [np.inf if look.get("reconstruction_error_nonfinite_share") and "error" in key else look[key] for look in seen]
        curves[WORDS[name.removeprefix(f"{body}_")]] = [look["step"] for look in seen], values
    return lambda axes: figures.draw_curves(axes, curves, title, log=log)


def _angles(results: dict[str, Any]) -> Any:
    values = {
        name.replace("_", "\n"): float("inf") if m["gradients_nonfinite"] else m["angle_degrees"] for name, m in results.items()
    }
    title = "Angle between memory-saving and stored gradients, degrees (1 degree is the bar, 90 is no gradient)"
    return lambda axes: figures.draw_bars(axes, values, title, log=True)


def _reconstructions(shown: dict[str, np.ndarray], name: str) -> Any:
    both = np.concatenate([shown["data"], shown["again"]])
    title = name.replace("_", ", ", 1).replace("_", ": ", 1)
    return lambda axes: figures.draw_images(axes, both, f"Images, and what comes back\n{title}", columns=len(shown["data"]))


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = [
        "",
        "accuracy",
        "error median",
        "error max",
        "not finite",
        "sigma max",
        "sigma min",
        "condition",
        "angle, degrees",
    ]
    rows: list[list[object]] = []
    for name, m in results.items():
        error = m["reconstruction_error"]
        angle = float("inf") if m["gradients_nonfinite"] else m["angle_degrees"]
        stretch = (m["largest_singular_value"], m["smallest_singular_value"], m["condition_number"])
        lost = f"{100 * error['nonfinite_share']:.3g} %"
        rows.append([name, m["test_accuracy"], error["median"], error["max"], lost, *stretch, angle])
    return header, rows
