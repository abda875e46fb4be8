"""Tables of recipes/README.md: loss, condition number and inverse of each network, the linear case, and the claims."""

from __future__ import annotations

from typing import Any

from recipes.results.cells import Cell, each, look, median, span
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, all_claimed, claimed, claims, measured

LEFT_OUT = (
    "loss_train_if_independent",
    "loss_test_if_independent",
    "loss_train_at_least",
    "loss_test_at_least",
    "loss_batch_at_least",
    "loss_untrained",
    "condition_number_max",
    "singular_values_unverified",
    "median",
    "p99",
    "count",
    "weights",
    "verdict",
)
NETWORKS = {"additive + spectral normalization": "additive_spectral", "additive": "additive", "affine": "affine"}
LINEAR = {
    "R^T": "rotation_back",
    "D^-1 R^T": "rotation_and_scaling_back",
    "trained rotation": "trained_rotation",
    "trained matrix": "trained_free",
    "maximum likelihood": "trained_likelihood",
}


def _digits(record: Record) -> bool:
    return record.settings["preset"] == "small" and record.settings["dataset"] == "mnist_5k"


def _untrained_too(path: str) -> Cell:
    """The values of all runs, and the median of the untrained networks'."""
    return lambda entries: f"{each(path, '3')(entries)} ({median(f'untrained.{path}', '3')(entries)})"


def _fall(entry: Any) -> float | None:
    return None if entry is None else 100 * (1 - entry["loss_train"] / entry["untrained"]["loss_train"])


def _certified(entry: Any) -> float | None:
    """The product of the certified bounds of both directions."""
    return None if entry is None else entry["certified_forward"] * entry["certified_inverse"]


def _unconstrained(record: Record) -> float | None:
    free, bound = (look(record.metrics, f"networks.{name}.condition_number") for name in ("additive", "additive_spectral"))
    return None if free is None or bound is None else free / bound


PARTS = {
    "networks": Table(
        {label: f"networks.{name}" for label, name in NETWORKS.items()},
        {
            "loss (untrained)": _untrained_too("loss_train"),
            "falls by, %": lambda entries: each("", "3")([_fall(entry) for entry in entries]),
            "test loss": each("loss_test", "3"),
            "condition number (untrained)": _untrained_too("condition_number"),
            "sigma max": each("largest_singular_value", "3"),
            "sigma min": each("smallest_singular_value", "3"),
            "error max": each("reconstruction_error.max", "3"),
            "not finite": each("reconstruction_error.nonfinite_share", ".0%"),
            "certified": lambda entries: span("", "3")([_certified(e) for e in entries]).replace("not finite", "none"),
        },
        label="network",
        select=_digits,
    ),
    "linear": Table(
        {label: f"linear.{name}" for label, name in LINEAR.items()},
        {"loss": each("loss"), "condition number": each("condition_number", "3")},
        label="matrix",
        select=_digits,
    ),
    "claims": claims(
        *(
            Claim(
                f"{label}: the loss falls by, %",
                lambda record, name=name: _fall(look(record.metrics, f"networks.{name}")),
                ("at least", 80),
                form="3",
            )
            for label, name in NETWORKS.items()
        ),
        Claim(
            "condition number of the affine network over that of the additive one with spectral normalization",
            claimed("affine: condition number over that of additive_spectral"),
            ("at least", 10),
            judged="median",
            form="3",
        ),
        Claim(
            "the same of the additive one without the constraint",
            _unconstrained,
            ("above", 1),
            form="3",
            remark="In the paper it breaks, too, much later",
        ),
        Claim(
            "linear case, y = R D x: R^T and D^-1 R^T both decorrelate (loss below 1e-6), "
            "condition numbers 1 and cond(D) within 1e-4",
            all_claimed(
                "linear: R^T and D^-1 R^T both decorrelate (loss < 1e-6)",
                "linear: cond(R^T) = 1 within 1e-4",
                "linear: cond(D^-1 R^T) = cond(D) within 1e-4",
            ),
        ),
        Claim(
            "the same trained (loss below 1e-4): a rotation by this loss, and maximum likelihood",
            all_claimed(
                "linear: trained rotation, trained matrix, maximum likelihood all decorrelate (loss < 1e-4)",
                "linear: cond(trained rotation) = 1 within 1e-4",
                "linear: cond(maximum likelihood) = cond(D) within 1e-4",
            ),
        ),
        Claim(
            "a matrix without constraint, trained from a random rotation, decorrelates: loss",
            measured("linear.trained_free.loss"),
            ("below", 1e-5),
        ),
        Claim(
            "its condition number, which the objective leaves open",
            claimed("linear: cond(trained matrix), which the objective leaves open"),
            ("above", 1.0001),
            form="3",
        ),
        select=_digits,
    ),
}
