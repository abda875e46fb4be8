"""Tables of recipes/README.md: accuracy, inverse and gradients of each network and regularizer, and the claims."""

from __future__ import annotations

import math
from collections.abc import Callable

from recipes.results.cells import each, look
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, claimed, claims

LEFT_OUT = ("verdict", "condition_number_at_least", "certified_forward", "certified_inverse", "singular_values_by", "weights")
BODIES = {"1x1": "affine_conv1x1", "shuffle": "affine_shuffle"}
REGULARIZERS = {"no regularizer": "none", "fd": "fd", "nf": "nf", "nf, strong": "nf_strong"}
ROWS = {
    f"affine, {body}, {label}": f"{name}_{key}"
    for body, name in BODIES.items()
    for label, key in REGULARIZERS.items()
    if (body, key) != ("shuffle", "nf_strong")
}
COLUMNS = {
    "accuracy, %": lambda e: each("test_accuracy", ".1%")(e).replace(" %", ""),
    "condition number": each("condition_number"),
    "sigma min": each("smallest_singular_value"),
    "error max": each("reconstruction_error.max"),
    "not finite": each("reconstruction_error.nonfinite_share", ".0%"),
    "angle, degrees": each("angle_degrees"),
}


def _main(record: Record) -> bool:
    return record.settings["preset"] == "small" and record.settings["dataset"] == "cifar10" and record.settings["every"] == 10


def _often(record: Record) -> bool:
    return record.settings["dataset"] == "cifar10" and record.settings["every"] == 5


def _trainings(body: str, regularizer: str) -> tuple[str, str]:
    return f"{BODIES[body]}_none", f"{BODIES[body]}_{regularizer}"


def _condition(body: str, regularizer: str) -> Claim:
    return Claim(
        f"{body}: condition number without a regularizer over that with {regularizer}",
        claimed(f"{BODIES[body]}, {regularizer}: condition number without it over that with it"),
        ("at least", 10),
        of=_trainings(body, regularizer),
    )


def _accuracy(body: str, regularizer: str) -> Claim:
    return Claim(
        f"{body}: points of accuracy lost with {regularizer}",
        claimed(f"{BODIES[body]}, {regularizer}: points of accuracy lost"),
        ("at most", 1),
        of=_trainings(body, regularizer),
    )


def _angle(name: str) -> Callable[[Record], float | None]:
    """Mean angle, infinite where a gradient is not finite."""

    def found(record: Record) -> float | None:
        entry = look(record.metrics, name)
        if entry is None:
            return None
        return entry["angle_degrees"] if math.isfinite(entry["angle_degrees"]) else math.inf

    return found


PAIRS = [(body, regularizer) for regularizer in ("fd", "nf") for body in BODIES]
PARTS = {
    "networks": Table(ROWS, COLUMNS, label="network", select=_main),
    "every 5th step": Table(
        {label: row for label, row in ROWS.items() if row.endswith("_fd")}, COLUMNS, label="network", select=_often
    ),
    "claims": claims(
        *(_condition(*pair) for pair in PAIRS),
        *(_accuracy(*pair) for pair in PAIRS),
        Claim(
            "1x1: points of accuracy that a strong weight of the flow loss costs",
            claimed("affine_conv1x1: points lost with a strong weight of the flow loss"),
            ("above", 0),
            of=_trainings("1x1", "nf_strong"),
        ),
        *(
            Claim(
                f"{body}: memory-saving gradients with {regularizer}, degrees",
                _angle(f"{BODIES[body]}_{regularizer}"),
                ("at most", 1),
                of=_trainings(body, regularizer)[1:],
            )
            for body, regularizer in PAIRS
        ),
        *(
            Claim(
                f"{body}: those without a regularizer break, degrees",
                _angle(f"{name}_none"),
                ("above", 10),
                of=[f"{name}_none"],
            )
            for body, name in BODIES.items()
        ),
        select=_main,
    ),
}
