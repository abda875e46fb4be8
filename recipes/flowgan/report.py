"""The page that shows a Flow-GAN run: curves, tables, passes through the model, samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import figures
from recipes.common.image_data import ImageData
from recipes.flowgan.measuring import PASSED
from recipes.flowgan.settings import Config

LABELS = {
    "mle_stable": "MLE, stable",
    "hybrid_stable": "hybrid, stable",
    "adv_stable": "ADV, stable",
    "mle_unstable": "MLE, unstable",
    "hybrid_unstable": "hybrid, unstable",
    "adv_unstable": "ADV, unstable",
}


def draw(
    config: Config,
    data: ImageData,
    quality: str,
    results: dict[str, Any],
    pictures: dict[str, Any],
    on_the_way: dict[str, dict[int, Any]],
) -> Figure:
    """The whole report.

    Args:
        config: settings of the run.
        data: the images.
        quality: name of the sample-quality number.
        results: measurements and history by variant.
        pictures: `samples`, `refitted` and `passes` by variant.
        on_the_way: samples by variant and step.

    Returns:
        The figure.
    """
    names = list(results)
    adversarial = [n for n in names if not n.startswith("mle")]
    curves = lambda key: {LABELS[n]: _curve(results[n]["history"], key) for n in names}  # noqa: E731
    nine = {n: f"{config.passes} passes forward and back: {LABELS[n]}" for n in names}
    rows = [
        [
            lambda axes: figures.draw_table(axes, *_table(results), title="Test images"),
        ],
        [
            lambda axes: figures.draw_curves(
                axes, curves("reconstruction_error_max"), "Reconstruction error of 32 test images, max, l2", log=True
            ),
            lambda axes: figures.draw_curves(
                axes, {LABELS[n]: _conditions(results[n]) for n in names}, "Condition number at test images, float64", log=True
            ),
        ],
        [
            lambda axes: figures.draw_curves(axes, curves("confident_share"), "Share of sure* samples"),
            lambda axes: figures.draw_curves(axes, curves("bits_per_dim"), "Bits per dimension of the batches"),
        ],
        *([_passes(pictures[n], nine[n]) for n in names[i : i + 2]] for i in range(0, len(names), 2)),
        [_samples(pictures[n]["samples"], f"Samples\n{LABELS[n]}") for n in names],
        *([_on_the_way(on_the_way[n], LABELS[n]) for n in adversarial[i : i + 2]] for i in range(0, len(adversarial), 2)),
        [_samples(pictures[n]["refitted"], f"Refitted\n{LABELS[n]}") for n in names],
    ]
    heights = [1.6, 2.6, 2.6, *([3.2] * len(names[::2])), 2.2, *([3.2] * len(adversarial[::2])), 2.2]
    return figures.report(
        "Flow-GAN: what the objective does to the inverse",
        rows,
        subtitle=f"{config.dataset}, {'x'.join(map(str, data.shape))}, {config.coupling} couplings, "
        f"preset {config.preset}, seed {config.seed}",
        footer=f"FID*: {quality}.  sure*: share of samples that its classifier calls one class with more than 0.9.\n"
        f"Passes: of {PASSED} test images those that change most, data first.  Pink: NaN or infinite.",
        heights=heights,
    )


def draw_both(pictures: dict[str, Any], errors: dict[str, float]) -> Figure:
    """Nine passes through the adversarial models alone, without the constraint and with it.

    Args:
        pictures: as for `draw`, of `adv_unstable` and `adv_stable`.
        errors: largest finite error after nine passes, by variant.
    """
    words = {"adv_unstable": "No constraint", "adv_stable": "Spectral normalization"}
    rows = [
        [_passes(pictures[name], f"{words[name]}: l2 error up to {errors[name]:.2g} after nine passes", count=4)]
        for name in words
    ]
    return figures.report(
        "Digits after one to nine passes forward and back",
        rows,
        footer=f"Of {PASSED} test images those that each model changes most.  Pink: NaN or infinite.",
        heights=[2.6, 2.6],
        width=8.0,
    )


def _passes(pictures: dict[str, Any], title: str, count: int = 6) -> Any:
    passes = [images[:count] for images in pictures["passes"]]
    return lambda axes: figures.draw_passes(axes, passes, title)


def _samples(images: Any, title: str) -> Any:
    return lambda axes: figures.draw_images(axes, images[:16], title, columns=4)


def _on_the_way(samples: dict[int, Any], label: str) -> Any:
    """A column per step, of the newest ten looks; the rows come from the same latents."""
    steps = sorted(samples)[-10:]
    columns = [samples[step][:6] for step in steps] or [np.full((6, 8, 8, 1), np.nan)]
    labels = [str(step) for step in steps] or [""]
    return lambda axes: figures.draw_passes(axes, columns, f"Samples by step of training: {label}", labels)


def _curve(history: list[dict[str, float]], key: str) -> Any:
    seen = [h for h in history if key in h]
    return [h["step"] for h in seen], [h[key] for h in seen]


def _conditions(result: dict[str, Any]) -> Any:
    """The looks, and in the end the trained model's, which is measured with more care."""
    steps, values = _curve(result["history"], "condition_number")
    end = [look["step"] for look in result["history"]][-1:]
    return [*steps, *end], [*values, *[result["condition_number"]] * len(end)]


def _table(results: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    header = [
        "",
        "bits/dim",
        "error median",
        "error max",
        "sigma max",
        "sigma min",
        "condition",
        "FID*",
        "sure*",
        "refit gain, nats",
    ]
    rows = []
    for name, m in results.items():
        error = m["reconstruction_error"]
        rows.append(
            [
                LABELS[name],
                m["bits_per_dim"],
                error["median"],
                error["max"],
                m["largest_singular_value"],
                m["smallest_singular_value"],
                m["condition_number"],
                m["fid"],
                m.get("confident_share"),
                m["prior_refit"].get("gain_nats_closed_form"),
            ]
        )
    return header, rows
