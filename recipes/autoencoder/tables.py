"""Tables of recipes/README.md: errors over bottlenecks by data set and model, samples, and the claims."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from recipes.autoencoder.claims import by_bottleneck, trainings_of
from recipes.results.cells import NOT_RUN, number
from recipes.results.records import Record
from recipes.results.tables import Part, markdown, told, which

LEFT_OUT = (
    "verdict",
    "name",
    "singular_values_unverified",
    "p99",
    "count",
    "train_l1",
    "largest_singular_value",
    "smallest_singular_value",
    "decoder_stretch",
    "decoder_shrink",
    "decoder_at_centre",
    "certified_decoder",
    "certified_decoder_everywhere",
)
DATASETS = ("mnist_5k", "fashion_mnist", "cifar10")
SHOWN = (12, 32, 64, 128, 256, 512)  # bottlenecks
GENERATIVE = {
    "MMD^2": ("mmd_squared", "2"),
    "p": ("mmd_p_value", ".3f"),
    "KID": ("kid", "2"),
    "precision": ("precision", ".2f"),
    "recall": ("recall", ".2f"),
    "copied": ("copied_share", ".0%"),
    "decoder's condition": ("decoder_condition", "2"),
}


def _datasets(records: Sequence[Record]) -> list[str]:
    """Those that the paper has, and whatever else was run."""
    return list(dict.fromkeys([*DATASETS, *(record.settings["dataset"] for record in records)]))


def _of(records: Sequence[Record], dataset: str) -> list[Record]:
    return [record for record in records if record.settings["dataset"] == dataset]


def _models(record: Record) -> list[str]:
    return list(dict.fromkeys(found["model"] for found in trainings_of(record.metrics)))


def _errors(records: Sequence[Record]) -> str:
    """L1 of test images by data set, medians over the seeds of a run."""
    return "\n\n".join(_table(dataset, _of(records, dataset)) for dataset in _datasets(records))


def _table(dataset: str, chosen: list[Record]) -> str:
    if not chosen:
        return f"{dataset}: **{NOT_RUN}**."
    shown = [b for b in SHOWN if any(found["bottleneck"] == b for r in chosen for found in trainings_of(r.metrics))]
    rows = []
    for record in chosen:
        for model in _models(record):
            curve = by_bottleneck(record.metrics, model)
            cells = [number(statistics.median(curve[b]), ".4f") if b in curve else "-" for b in shown]
            rows.append([which(record, chosen), model.replace("_", " "), str(max(map(len, curve.values()))), *cells])
    preset = ", ".join(dict.fromkeys(record.settings["preset"] for record in chosen))
    head = ["first seed", "model", "seeds", *(f"L1 at {b}" for b in shown)]
    return f"{dataset}, preset `{preset}`:\n\n{markdown(head, rows)}"


def _samples(records: Sequence[Record]) -> str:
    """What was measured of codes and samples, medians over seeds, at the bottlenecks where something was."""
    rows = []
    for record in records:
        for model in _models(record):
            for bottleneck in by_bottleneck(record.metrics, model, "kid"):
                cells = []
                for key, form in GENERATIVE.values():
                    values = [v for v in by_bottleneck(record.metrics, model, key).get(bottleneck, []) if v is not None]
                    cells.append(number(statistics.median(values), form) if values else "-")
                rows.append([record.settings["dataset"], f"{model.replace('_', ' ')}, {bottleneck}", *cells])
    return markdown(["data", "model, bottleneck", *GENERATIVE], rows) if rows else f"Samples: **{NOT_RUN}**."


def _stability(records: Sequence[Record]) -> str:
    """Of invertible networks, at the bottlenecks that are shown: the worst seed."""
    rows = []
    for record in records:
        for model in _models(record):
            errors = by_bottleneck(record.metrics, model, "reconstruction_error")
            for bottleneck in (b for b in SHOWN if b in errors):
                worst = [max(error["max"] for error in errors[bottleneck])]
                for key in ("condition_number", "certified_over_centre", "certified_radius"):
                    values = [v for v in by_bottleneck(record.metrics, model, key).get(bottleneck, []) if v is not None]
                    worst.append(max(values) if values else None)
                rows.append([record.settings["dataset"], f"{model.replace('_', ' ')}, {bottleneck}", *map(number, worst)])
    head = ["data", "model, bottleneck", "error of the inverse, max (l2)", "condition number"]
    head += ["certificate of the decoder over its slope", "in balls of radius"]
    return markdown(head, rows) if rows else f"Inverse: **{NOT_RUN}**."


def _claims(records: Sequence[Record]) -> str:
    rows = []
    for dataset in _datasets(records):
        chosen = _of(records, dataset)
        if not chosen:
            rows.append([dataset, "all", NOT_RUN])
        for record in chosen:
            for claim, value in record.claims.items():
                rows.append([f"{dataset}, {which(record, chosen)}", claim, told(value)])
    return markdown(["data, first seed", "claim", "shown?"], rows)


PARTS: dict[str, Part] = {"errors": _errors, "samples": _samples, "stability": _stability, "claims": _claims}
