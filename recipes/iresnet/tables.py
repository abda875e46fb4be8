"""Tables of recipes/README.md: classifiers by coefficient, residual flows beside couplings, and the claims.

A run may have done one task alone: records are told apart by what they have measured, data set and activation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.results.cells import NOT_RUN, Cell, each, largest, look, median, number
from recipes.results.records import Record
from recipes.results.tables import Claim, Part, claimed, markdown, seeds, which

LEFT_OUT = (
    "test_accuracy_before_certifying",
    "test_images",
    "test_samples",
    "certified_forward",
    "certified_error_of_the_inverse",
    "reconstruction_largest_pixel_error",
    "log_prob_nonfinite_share",
    "median",
    "p99",
    "count",
)
DATASETS = {"fashion_mnist": "Fashion-MNIST", "mnist_5k": "MNIST (`mnist_5k`)", "cifar10": "CIFAR-10"}
ACTIVATIONS = {"max_min": "MaxMin", "elu": "ELU", "lip_swish": "LipSwish"}
TOYS = {"checkerboard": "checkerboard (best possible: 2.5)", "two_spirals": "two spirals", "eight_gaussians": "eight Gaussians"}
IMAGE_FLOWS = {"residual flow": "residual", "Glow": "affine", "couplings at full resolution": "affine_unsqueezed"}
TOY_FLOWS = {"residual flow": "residual", "affine couplings": "affine"}
FREE, LOOSEST = "unconstrained", "c_0.9"


def _done(records: Sequence[Record], task: str) -> list[Record]:
    """The records of runs of a task."""
    return [record for record in records if record.settings["preset"] == "small" and task in record.metrics]


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Classifiers by data set and activation: those that the section is about, and whatever else was run."""
    found: dict[tuple[str, str], list[Record]] = {("fashion_mnist", "max_min"): []}
    for record in _done(records, "classify"):
        found.setdefault((record.settings["dataset"], record.settings["activation"]), []).append(record)
    return {f"{DATASETS.get(dataset, dataset)}, {ACTIVATIONS[kind]}": chosen for (dataset, kind), chosen in found.items()}


def _percent(cell: Cell) -> Cell:
    return lambda entries: cell(entries).replace(" %", "")


CLASSIFIER = {
    "accuracy, %": _percent(each("test_accuracy", ".2%")),
    "median": _percent(median("test_accuracy", ".2%")),
    "largest certified norm": largest("largest_certified_norm", ".3f"),
    "reconstruction error, max": largest("reconstruction_error.max"),
    "certified inverse bound": largest("certified_inverse"),
}


def _classifiers(records: Sequence[Record]) -> str:
    """A table for each data set and activation: the twin without constraint, then the coefficients, the largest first."""
    tables = []
    for title, chosen in _groups(records).items():
        found = {name: entry for record in chosen for name, entry in record.metrics["classify"].items()}
        rows = []
        for name in sorted(found, key=lambda name: found[name]["coefficient"] or math.inf, reverse=True):
            entries = [record.metrics["classify"].get(name) for record in chosen]
            rows.append([name.replace("c_", "c = "), *(cell(entries) for cell in CLASSIFIER.values())])
        table = markdown([f"{title}, {seeds(chosen)}", *CLASSIFIER], rows)
        tables.append(table if chosen else f"{title}: **{NOT_RUN}**.")
    return "\n\n".join(tables)


def _flows(found: Mapping[str, Any], flows: Mapping[str, str]) -> list[str]:
    """Bits/dim of each flow with its standard error, the best in bold; the weights of all."""
    entries = [found.get(name) for name in flows.values()]
    best = min(entry["bits_per_dim"] for entry in entries if entry is not None)
    cells = []
    for entry in entries:
        if entry is None:
            cells.append(NOT_RUN)
            continue
        bits, error = (number(entry[key], ".3f") for key in ("bits_per_dim", "bits_per_dim_standard_error"))
        cells.append(f"**{bits}** +- {error}" if entry["bits_per_dim"] == best else f"{bits} +- {error}")
    return [*cells, " / ".join("-" if entry is None else number(entry["weights"], ",") for entry in entries)]


def _densities(records: Sequence[Record]) -> str:
    """Flows on images, a row a run."""
    rows = []
    for dataset, chosen in _images(records).items():
        for record in chosen:
            found = record.metrics["density"]
            error = number(look(found, "residual.reconstruction_error.max"))
            rows.append([f"{DATASETS.get(dataset, dataset)}, {which(record, chosen)}", *_flows(found, IMAGE_FLOWS), error])
        if not chosen:
            rows.append([DATASETS[dataset], *[NOT_RUN] * len(IMAGE_FLOWS), "", ""])
    head = ["data, seed", *(f"{flow}, bits/dim" for flow in IMAGE_FLOWS), "weights"]
    return markdown([*head, "error of the residual flow's inverse, max of 64"], rows)


def _images(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Flows on images by data set: digits, and whatever else was run."""
    found: dict[str, list[Record]] = {"mnist_5k": []}
    for record in _done(records, "density"):
        found.setdefault(record.settings["dataset"], []).append(record)
    return found


def _toys(records: Sequence[Record]) -> str:
    """Flows in two dimensions, a row a run and density."""
    chosen = _done(records, "toys")
    rows = [
        [f"{TOYS.get(toy, toy)}, {which(record, chosen)}", *_flows(found, TOY_FLOWS)]
        for record in chosen
        for toy, found in record.metrics["toys"].items()
    ]
    if not rows:  # those that are kept stand beside this
        return "No run since whose result is kept."
    return markdown(["density, seed", *(f"{flow}, bits/dim" for flow in TOY_FLOWS), "weights"], rows)


def _lost(record: Record) -> float | None:
    """Points of accuracy that a coefficient of 0.9 costs."""
    free, bound = (record.metrics["classify"].get(name) for name in (FREE, LOOSEST))
    return None if free is None or bound is None else 100 * (free["test_accuracy"] - bound["test_accuracy"])


def _bound(record: Record) -> list[Mapping[str, Any]]:
    """The classifiers with a constraint, the smallest coefficient first."""
    found = [entry for name, entry in record.metrics["classify"].items() if name != FREE]
    return sorted(found, key=lambda entry: entry["coefficient"])


def _falls(record: Record) -> bool | None:
    accuracies = [entry["test_accuracy"] for entry in _bound(record)]
    return all(a < b for a, b in itertools.pairwise(accuracies)) if len(accuracies) > 1 else None


def _error(record: Record) -> float | None:
    errors = [entry["reconstruction_error"] for entry in _bound(record)]
    return max((math.inf if e["nonfinite_share"] else e["max"] for e in errors), default=None)


OF_CLASSIFIERS = (
    Claim("points of accuracy lost at 0.9 against the unconstrained twin", _lost, ("at most", 1.5), form=".2f"),
    Claim("accuracy falls with the coefficient, from each to the next smaller one", _falls),
    Claim("the largest reconstruction error of any coefficient", _error, ("below", 1e-4)),
)


def _gap(where: str) -> Claim:
    text = "bits/dim of the residual flow below those of the best couplings of equal size, by"
    return Claim(text, claimed(f"{where}: by so many bits/dim"), ("above", 0), form=".3f")


def _claims(records: Sequence[Record]) -> str:
    """Each with the runs that it is about."""
    listed = [(title, claim, chosen) for title, chosen in _groups(records).items() for claim in OF_CLASSIFIERS]
    listed += [(DATASETS.get(name, name), _gap("images"), chosen) for name, chosen in _images(records).items()]
    flat = _done(records, "toys")
    for toy in dict.fromkeys(toy for record in flat for toy in record.metrics["toys"]):
        listed.append((toy.replace("_", " "), _gap(toy), [record for record in flat if toy in record.metrics["toys"]]))
    rows = [[f"{title}: {claim.text}", claim.verdict(chosen)] for title, claim, chosen in listed]
    return markdown(["claim", "shown?"], rows)


PARTS: dict[str, Part] = {"classifiers": _classifiers, "densities": _densities, "toys": _toys, "claims": _claims}
