"""Tables of recipes/README.md: errors of posteriors by problem and model, the claims, and the five tasks with references."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.inverse_problems.leaderboard import PAPER
from recipes.results.cells import NOT_RUN, number
from recipes.results.records import Record
from recipes.results.tables import Part, markdown, told

LEFT_OUT = (
    "posterior_second",
    "energy",
    "invalid",
    "invalid_raw",
    "resimulation_raw",
    "condition_max",
    "reconstruction_max",
    "not_finite",
    "milliseconds",
    "likelihood",
    "supervised",
    "seconds",
    "weights",
    "familiar",
)
ROUNDED = 1.05  # a column of its own for values that were not rounded, where it makes so much of a difference
TASKS = {
    "two_moons": 0.57,
    "gaussian_mixture": 0.56,
    "slcp": 0.84,
    "bernoulli_glm": 0.65,
    "gaussian_linear": 0.55,
}  # published flows

Trainings = dict[int, Mapping[str, Any]]  # by seed


def _trainings(records: Sequence[Record], problem: str) -> dict[str, Trainings]:
    """Measurements by model and seed, from all runs of a problem; the same training in two runs counts once."""
    found: dict[str, Trainings] = {}
    for record in records:
        for key, entry in record.metrics.get(problem, {}).items():
            model, _, seed = key.rpartition("-seed")
            if model:
                found.setdefault(model, {}).setdefault(int(seed), entry)
    return found


def _middle(trainings: Trainings, key: str, form: str, *, least: bool = False) -> str:
    known = [entry[key] for entry in trainings.values() if entry.get(key) is not None]
    return number(min(known) if least else statistics.median(known), form) if known else "-"


def _error(trainings: Trainings, paper: float | None) -> str:
    """The median in the model's own reading of counts, where they differ the other one, the paper's, the range."""
    values = [entry["own_posterior"] for entry in trainings.values()]
    text = _middle(trainings, "own_posterior", ".4f")
    for word, key in {"rounded": "posterior", "not rounded": "posterior_raw"}.items():
        ratio = statistics.median(entry[key] for entry in trainings.values()) / statistics.median(values)
        text += f", {word} {_middle(trainings, key, '.4f')}" if abs(math.log(ratio)) > math.log(ROUNDED) else ""
    text += f" ({paper:g})" if paper is not None else ""
    return text + (f" [{min(values):.4f}, {max(values):.4f}]" if len(values) > 1 else "")


def _models(records: Sequence[Record]) -> str:
    rows = []
    for problem, papers in PAPER.items():
        found = _trainings(records, problem)
        for model in sorted(found, key=lambda name: statistics.median(e["own_posterior"] for e in found[name].values())):
            trainings, paper = found[model], papers.get(model, (None, None, None))
            resimulation = _middle(trainings, "own_resimulation", ".4f") + (f" ({paper[1]:g})" if paper[1] is not None else "")
            tests = " / ".join(_middle(trainings, key, "2", least=True) for key in ("sbc_p", "coverage_p", "tarp_p"))
            rows.append(
                [
                    problem,
                    next(iter(trainings.values()))["title"],
                    str(len(trainings)),
                    _error(trainings, paper[0]),
                    resimulation,
                    _middle(trainings, "posterior_median", ".4f"),
                    _middle(trainings, "c2st", ".2f"),
                    tests,
                    _middle(trainings, "condition_median", "2"),
                    _middle(trainings, "dim_z", ".0f"),
                ]
            )
        if not found:
            rows.append([problem, NOT_RUN, *[""] * 8])
    head = ["problem", "model", "seeds", "Err_post (paper)", "Err_resim (paper)", "median Err_post", "C2ST"]
    return markdown([*head, "ranks / coverage / TARP", "condition number, median", "dim z"], rows)


def _claims(records: Sequence[Record]) -> str:
    """Every claim of every run; where runs differ, all of them stand."""
    rows: dict[str, list[str]] = {}
    for record in records:
        if record.settings.get("methods") is None:
            continue
        repeats = f"{record.settings['repeats']} seed{'s' if record.settings['repeats'] > 1 else ''}"
        for claim, value in record.claims.items():
            rows.setdefault(claim, []).append(f"{told(value)} ({repeats})")
    return markdown(["claim", "shown?"], [[claim, ", ".join(cells)] for claim, cells in rows.items()]) if rows else NOT_RUN


def _tasks(records: Sequence[Record]) -> str:
    rows = []
    for task, published in TASKS.items():
        found = [record for record in records if record.metrics.get("task") == task]
        for record in found:
            m = record.metrics
            accuracies = " ".join(f"{value:.3f}".removeprefix("0") for value in m["c2st"].values())
            mean = f"{m['c2st_mean']:.3f}".removeprefix("0")
            weights = f"{m['method']}, {m['weights']:,} weights"
            rows.append(
                [task, weights, accuracies, mean, f"{published:.2f}".removeprefix("0"), number(m["train_cpu_seconds"], ".0f")]
            )
        if not found:
            rows.append([task, NOT_RUN, "", "", f"{published:.2f}".removeprefix("0"), ""])
    head = ["task", "model", "C2ST, observations 1 to 5", "mean", "published flow, same budget", "training, CPU seconds"]
    return markdown(head, rows)


PARTS: dict[str, Part] = {"models": _models, "claims": _claims, "tasks": _tasks}
