"""Tables of recipes/README.md: fit, inverse and condition number with and without the flow loss, and the claims."""

from __future__ import annotations

from recipes.results.cells import each
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, claimed, claims

LEFT_OUT = ("certified_inverse_over_slope_median", "weights")
MODELS = {"no regularizer": "none", "flow loss, 1e-8": "flow_1e-08", "flow loss, 1e-6": "flow_1e-06"}


def _largest_mse(record: Record) -> float | None:
    found = [record.metrics.get(name, {}).get("mse") for name in MODELS.values()]
    return None if None in found else max(found)


def _ratio(model: str, what: str) -> str:
    return f"{model}: {what}, none over it"


_ERROR, _CONDITION = "reconstruction error (max)", "condition number (float64, worst reconstruction)"

PARTS = {
    "models": Table(
        MODELS,
        {
            "mean squared error": each("mse"),
            "error max": each("reconstruction_error_max"),
            "error median": each("reconstruction_error_median"),
            "condition number": each("condition_number"),
            "condition number, median": each("condition_number_median"),
            "certified": each("certified_inverse_median"),
        },
        by_run=True,
    ),
    "claims": claims(
        Claim("the largest mean squared error of the three models", _largest_mse, ("below", 1e-2)),
        Claim(
            "reconstruction error without the flow loss over that with it, 1e-6",
            claimed(_ratio("flow_1e-06", _ERROR)),
            ("at least", 100),
        ),
        Claim("the same, 1e-8", claimed(_ratio("flow_1e-08", _ERROR)), ("at least", 100), judged="median"),
        Claim(
            "condition number without the flow loss over that with it, 1e-6",
            claimed(_ratio("flow_1e-06", _CONDITION)),
            ("at least", 1000),
        ),
        Claim(
            "the same, 1e-8",
            claimed(_ratio("flow_1e-08", _CONDITION)),
            ("at least", 1000),
            remark="It still falls when the training ends",
        ),
        Claim(
            "both with one weight at least",
            claimed("with one coefficient at least: error 100 times, condition number 1000 times smaller"),
        ),
    ),
}
