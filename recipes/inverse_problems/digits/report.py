"""The figure: what is seen, the truth, samples, their mean and spread; likelihoods and calibration below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common.calibration_figure import draw_coverage, draw_ranks
from recipes.common.figures import draw_curves, draw_passes, draw_table, report
from recipes.common.image_data import ImageData
from recipes.inverse_problems.digits import measuring
from recipes.inverse_problems.digits.observing import Observing
from recipes.inverse_problems.digits.settings import Config

_ROWS, _SAMPLES = 10, 6  # the first ten test images are a digit of each class
_COVER = (0.65, 0.75, 0.85)  # of hidden pixels, times 255
_TITLES = {"shown": "Given what is seen", "blind": "Shown nothing, put into the same images"}


def draw(
    config: Config, data: ImageData, observing: Observing, numbers: Mapping[str, Any], samples: Mapping[str, np.ndarray]
) -> Figure:
    """The page.

    Args:
        config: of the run.
        data: the digits.
        observing: what is hidden.
        numbers: by flow.
        samples: levels of hidden pixels by flow, of the first test images.
    """
    pictures = [
        lambda axes, name=name, drawn=drawn: draw_passes(
            axes, columns(data.test, dataclasses.replace(observing, blind=name == "blind"), drawn), _TITLES[name], labels()
        )
        for name, drawn in samples.items()
    ]
    looks = {name: numbers[name]["history"] for name in samples}
    curves = {
        f"{name}, {split}": ([h["step"] for h in found], [h[f"{split}_bits_per_dim"] for h in found])
        for name, found in looks.items()
        for split in ("test", "train")
    }
    unit = 2**config.bits - 1
    top, bottom, left, right = observing.box
    truth = observing.levels(data.test[: config.observations]).numpy()[:, top:bottom, left:right]
    tests = measuring.calibration(samples["shown"] / unit, truth / unit, config)
    names = measuring.summary_names(config.projections)
    calibration = [
        lambda axes: draw_ranks(axes, tests["sbc"], "Ranks of the truth", names),
        lambda axes: draw_coverage(axes, tests["coverage"], "Coverage of intervals", names),
        lambda axes: draw_coverage(axes, tests["tarp"], "TARP: balls around random points", names),
    ]
    below = [
        lambda axes: draw_curves(axes, curves, "Bits per hidden pixel", ylabel="bits/dim"),
        lambda axes: draw_table(axes, ["", *_TITLES], rows(numbers), "Test images"),
    ]
    where = "lower 16 rows" if config.hidden == "lower" else "middle 16x16 pixels"
    return report(
        f"Inpainting: the {where} of digits, given the rest",
        [pictures, below, calibration],
        subtitle=f"preset {config.preset}, {config.dataset}, seed {config.seed}: {config.steps} steps of {config.batch_size}, "
        f"pixels of {config.bits} bits; calibration on {config.observations} images, {config.samples} samples each",
        footer="1 to 6: samples.  sd: black 0, white 1/2.  Both flows are of the same size; calibration is the left one's.",
        heights=[7.3, 3.2, 3.9],
        width=15.0,
    )


def labels() -> list[str]:
    """Above the columns of `columns`."""
    return ["seen", "truth", *(str(i + 1) for i in range(_SAMPLES)), "mean", "sd"]


def columns(images: np.ndarray, observing: Observing, samples: np.ndarray) -> list[np.ndarray]:
    """Seen, truth, samples, mean and deviation of the first images, each `(rows, 28, 28, 3)` on the scale 0 to 255."""
    levels = observing.levels(images[:_ROWS]).numpy()
    drawn = samples[:_ROWS].astype(np.float32)
    unit = 2**observing.bits - 1

    def grey(hidden: np.ndarray) -> np.ndarray:
        return np.repeat(observing.whole(hidden[:, None], levels).numpy()[:, 0] * (255 / unit), 3, -1)

    truth = np.repeat(levels * (255 / unit), 3, -1)
    seen = np.where(observing.seen & (not observing.blind), truth, 255 * np.asarray(_COVER))
    spread = np.zeros_like(levels)
    top, bottom, left, right = observing.box
    spread[:, top:bottom, left:right] = drawn.std(1)
    of_samples = [grey(drawn[:, i]) for i in range(min(_SAMPLES, drawn.shape[1]))]
    return [seen, truth, *of_samples, grey(drawn.mean(1)), np.repeat(spread * (2 * 255 / unit), 3, -1)]


def rows(numbers: Mapping[str, Any]) -> list[list[Any]]:
    """Of the table: a name, and the number of each flow."""
    lines = {
        "bits per hidden pixel": "bits_per_dim",
        "the same, training images": "bits_per_dim_of_training_images",
        "deviation of a hidden pixel (0 to 1)": "sd",
        "spread over error": "spread_over_error",
        "deviation of ranks over uniform": "rank_deviation",
        "energy score": "energy_score",
        "that of a point mass at the mean": "energy_score_of_mean",
        "largest reconstruction error": "reconstruction_max",
        "condition number, median": "condition_median",
    }
    out = [[title, *(numbers[name][key] for name in _TITLES)] for title, key in lines.items()]
    return [*out, ["true digit recognized", *(numbers[name]["recognized"]["share"] for name in _TITLES)]]
