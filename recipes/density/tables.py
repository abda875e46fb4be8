"""Tables of recipes/README.md: likelihood and stability of the three models, what they do to other inputs, and the claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from recipes.results.cells import NOT_RUN, each, joined, look, median, number
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, all_claimed, claimed, claims, markdown

LEFT_OUT = ("reason", "squared_error_per_pixel", "squared_error_per_pixel_max", "min", "mean", "median_after_passes", "weights")
MODELS = {"affine Glow": "affine", "additive Glow": "additive", "residual flow": "residual"}
INPUTS = {
    "test images": "data",
    "Gaussian noise": "gaussian",
    "uniform noise": "uniform",
    "Rademacher noise": "rademacher",
    "constant": "constant",
    "texture": "texture",
    "`mnist_5k`": "mnist_5k",
    "own samples": "samples",
}


def _cifar(record: Record) -> bool:
    return record.settings["dataset"] == "cifar10" and record.settings["preset"] == "small"


def _certified(entries: Sequence[Any]) -> str:
    """The product of the certified bounds of both directions."""
    known = [entry["certificate"] for entry in entries if entry is not None]
    products = [c["forward"] * c["inverse"] for c in known]
    if any(map(math.isinf, products)):
        return "none"
    low, high = number(min(products), "1"), number(max(products), "1")
    return low if low == high else f"{low} to {high}"


def _unlike(records: Sequence[Record]) -> str:
    """Medians over runs: median error, over that of test images, share not finite after nine passes."""
    chosen = [record for record in records if _cifar(record)]
    if not chosen:
        return f"{NOT_RUN}."
    rows = []
    for label, kind in INPUTS.items():
        entries = {name: [look(r.metrics, f"{name}.unlike.{kind}") for r in chosen] for name in MODELS.values()}
        cell = joined("; ", median("median"), median("ratio"), median("nonfinite_share_after_passes", ".0%"))
        rows.append([label, *(cell(found) for found in entries.values())])
    return markdown(["inputs", *MODELS], rows)


def _growth(model: str) -> Claim:
    return Claim(
        f"{model}: condition number in the end over that after a tenth of the steps",
        claimed(f"{model}: condition number at the last look over that at the first in training"),
        ("above", 1.0),
    )


def _noise(model: str) -> str:
    return f"{model}: error on noise over that on test images, largest"


PARTS = {
    "models": Table(
        MODELS,
        {
            "bits/dim (untrained)": lambda e: (
                f"{each('bits_per_dim', '.2f')(e)} ({median('untrained.test_bits_per_dim', '.2f')(e)})"
            ),
            "condition number, after a tenth": each("condition_number_first"),
            "in the end": each("condition_number"),
            "sigma max": each("largest_singular_value"),
            "sigma min": each("smallest_singular_value"),
            "test images: error max": each("reconstruction_error"),
            "certified": _certified,
        },
        select=_cifar,
    ),
    "unlike": _unlike,
    "claims": claims(
        Claim("affine: error on noise over that on test images, on some noise", claimed(_noise("affine")), ("at least", 10)),
        Claim("residual: the same, on all noise", claimed(_noise("residual")), ("at most", 3)),
        _growth("affine"),
        _growth("additive"),
        *(
            Claim(
                f"{name}: test images come back",
                claimed(f"{name}: largest error of reconstructed test images"),
                ("below", 1e-3),
            )
            for name in MODELS.values()
        ),
        Claim(
            "bits/dim of test images below those of the untrained model, whose ActNorms are initialized",
            all_claimed(*(f"{name}: bits/dim of test images below the untrained model's" for name in MODELS.values())),
        ),
        select=_cifar,
    ),
}
