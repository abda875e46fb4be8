"""Tables of recipes/README.md: likelihood of each flow, its errors inside and outside of the data, slopes, and the claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipes.results.cells import Cell, each, look, number
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, all_claimed, claimed, claims, measured

LEFT_OUT = (
    "test_nll_standard_error",
    "log_prob",
    "log_det_difference",
    "median",
    "p99",
    "count",
    "mass",
    "density_nan_share",
    "certified_forward",
    "certified_inverse",
    "weights",
)
FLOWS = {"affine, (0, 1)": "affine_sigmoid", "affine, (0.5, 1)": "affine_half", "residual": "residual"}


def _small(record: Record) -> bool:
    return record.settings["preset"] == "small"


def _largest(path: str) -> Cell:
    """The largest finite error of a run, and the share of the grid's points whose error is not finite."""

    def cell(entries: Sequence[Any]) -> str:
        share = look(entries[0], f"{path}.nonfinite_share")
        return each(f"{path}.max")(entries) + (f", {number(100 * share)} % not finite" if share else "")

    return cell


def _condition(entry: Any) -> float | None:
    """The largest condition number on the whole grid."""
    found = [look(entry, f"grid.condition_number.{where}.max") for where in ("inside", "outside")]
    return None if None in found else max(found)


def _steeper(record: Record) -> float | None:
    half, residual = (_condition(record.metrics.get(name)) for name in ("affine_half", "residual"))
    return None if half is None or residual is None else half / residual


PARTS = {
    "flows": Table(
        FLOWS,
        {
            "test NLL": each("test_nll", ".3f"),
            "NaN or inf": each("grid.nonfinite_values", "d"),
            "error inside": _largest("grid.error.inside"),
            "error outside": _largest("grid.error.outside"),
            "z error outside": _largest("grid.latent_error.outside"),
            "largest condition number": lambda entries: number(_condition(entries[0])),
        },
        label="flow",
        by_run=True,
        select=_small,
    ),
    "claims": claims(
        Claim(
            "test NLL of all three from ln 32 - 0.02 to 3.90 nats",
            all_claimed(*(f"{name}: test NLL from ln 32 - 0.02 to 3.90" for name in FLOWS.values())),
        ),
        Claim("residual: every value on the grid finite", claimed("residual: every value on the grid is finite")),
        Claim("residual: the largest error of both round trips", measured("residual.grid.largest_error"), ("below", 1e-3)),
        Claim("residual: the largest certified norm of a layer", measured("residual.largest_certified_norm"), ("at most", 0.8)),
        Claim(
            "affine, (0, 1): broken outside of the data (not finite, or errors 100 times those inside)",
            claimed("affine_sigmoid: broken outside of the data (not finite, or 100 times)"),
        ),
        Claim(
            "affine, (0.5, 1): values on the grid that are not finite",
            measured("affine_half.grid.nonfinite_values"),
            ("at most", 0),
            form="d",
        ),
        Claim(
            "affine, (0.5, 1): steep slopes, its largest condition number over that of the residual flow",
            _steeper,
            ("above", 1),
        ),
        select=_small,
    ),
}
