"""Tables of recipes/README.md: the search in the bins, noise, balls, what growth depends on, and the claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from recipes.attack.growth import GROWTH, growth_or_lost
from recipes.results.cells import NOT_RUN, Cell, each, look, number
from recipes.results.records import Record
from recipes.results.tables import Claim, Table, claimed, claims, markdown

LEFT_OUT = ("pixels", "after_passes", "error_float64", "p99", "largest_change", "nonfinite_at", "count", "constant", "texture")
MODELS = {"affine, (0, 1)": "affine_sigmoid", "affine, (0.5, 1)": "affine_half", "residual": "residual"}
NOISE = ("gaussian", "uniform", "rademacher")


def _main(record: Record) -> bool:
    return (
        record.settings["dataset"] == "cifar10"
        and record.settings["preset"] == "small"
        and record.settings["steps_affine"] == 3000
    )


def _growth(record: Record) -> bool:
    return not _main(record)


def _noise(entries: Sequence[Any]) -> str:
    """Error on each kind of noise over that on test images, and the share that is lost."""

    def one(kind: str) -> str:
        lost = look(entries[0], f"unlike.{kind}.nonfinite_share")
        return number(look(entries[0], f"unlike.{kind}.ratio")) + (f", {number(lost, '.0%')} lost" if lost else "")

    return " / ".join(map(one, NOISE))


def _ball(entries: Sequence[Any]) -> str:
    ball = look(entries[0], "ball")
    if ball is None:
        return NOT_RUN
    attack, sampled, certified = (max(ball[key]) for key in ("attacked", "sampled", "certified"))
    texts = ["nothing found" if math.isnan(attack) else number(attack), number(sampled)]
    return ", ".join([*texts, "none" if math.isinf(certified) else number(certified)])


_GROWTH: Cell = lambda e: f"{each('attack.median_growth', '.1f')(e)} ({each('attack.least_growth', '.1f')(e)})"  # noqa: E731


def _tried(records: Sequence[Record]) -> str:
    """Growth where something else than the preset's was trained."""
    rows = []
    for record in filter(_growth, records):
        s, found = record.settings, record.metrics.get("affine_sigmoid")
        sizes = [str(2 * s["depth_affine"]), str(s["hidden_affine"]), str(s["steps_affine"]), f"{s['rate_affine']:g}"]
        likelihood = NOT_RUN if found is None else number(found["bits_per_dim"], ".2f")
        rows.append([s["dataset"], *sizes, NOT_RUN if found is None else _GROWTH([found]), likelihood])
    return markdown(["data", "couplings", "channels", "steps", "rate", "growth", "bits/dim"], rows) if rows else NOT_RUN


def _grows(model: str) -> Claim:
    def found(record: Record) -> float | None:
        grown = record.claims.get(f"{model}: growth of the error in the bins, median")
        lost = record.claims.get(f"{model}: share of images that become not finite in their bins")
        return None if grown is None or lost is None else growth_or_lost(grown, lost)

    text = "the error in the bin grows, or is not finite"
    return Claim(f"{_label(model)}: {text}", found, ("at least", GROWTH), judged="median", form=".1f")


def _label(model: str) -> str:
    return next(label for label, name in MODELS.items() if name == model)


def _over(model: str, bar: tuple[Any, float], text: str) -> Claim:
    return Claim(f"{_label(model)}: {text}", claimed(f"{model}: error on noise over that on test images, largest"), bar)


def _ordered(low: str, high: str, models: Sequence[str]) -> Callable[[Record], bool | None]:
    """Whether one slope is below another in each ball where both are numbers: nothing found or certified says nothing."""

    def found(record: Record) -> bool | None:
        balls = [ball for ball in (look(record.metrics, f"{model}.ball") for model in models) if ball is not None]
        pairs = [pair for ball in balls for pair in zip(ball[low], ball[high], strict=True)]
        known = [a <= b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        return all(known) if known else None

    return found


PARTS = {
    "models": Table(
        MODELS,
        {
            "bits/dim": each("bits_per_dim", ".2f"),
            "error at the centre": each("attack.start_error.median"),
            "worst in the bin": each("attack.largest_error"),
            "growth": _GROWTH,
            "Gaussian / uniform / Rademacher noise over test": _noise,
            "ball: attack, sampled, certified": _ball,
        },
        by_run=True,
        select=_main,
    ),
    "tried": _tried,
    "claims": claims(
        _grows("affine_sigmoid"),
        _grows("affine_half"),
        Claim(
            "residual: the converged inverse's error in the bin",
            claimed("residual: largest error of the converged inverse in the bins"),
            ("below", 1e-3),
        ),
        _over("affine_sigmoid", ("at least", 10), "error on some noise over that on test images"),
        _over("affine_half", ("at least", 10), "error on some noise over that on test images"),
        _over("residual", ("at most", 3), "error on noise over that on test images"),
        Claim(
            "attack <= truth in the balls, where the attack found something",
            _ordered("attacked", "sampled", [*MODELS.values()]),
        ),
        Claim(
            "residual: truth <= certificate in the balls",
            _ordered("sampled", "certified", ["residual"]),
            remark="The certificate is a product of global bounds and says nothing (slopes of these networks are followed "
            "since commit f49303d; not run again).  Affine: there is no certificate for 64 couplings of 768 entries",
        ),
        select=_main,
    ),
}
