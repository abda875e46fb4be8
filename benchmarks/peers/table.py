"""One table of `benchmarks.peers`, in Markdown."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.peers.ratios import Ratio, ratios, rows_of

_HEADS = {"step": "step, ms", "log_prob": "`log_prob`, ms", "sample": "samples, ms"}


def table(name: str, found: dict[str, Any]) -> str:
    """Medians of CPU milliseconds, in brackets ours over the row's; the step's wall time; the other columns in one number."""
    rows = {row: found["rows"][row] for row in rows_of(name) if row in found["rows"]}
    by_row = {(ratio.peer, ratio.quantity): ratio for ratio in ratios(name, found)}
    actions = [action for action in _HEADS if any(action in row["cpu"] for row in rows.values())]
    solver = any("log_prob_error" in row for row in rows.values())
    inverse = any("inverse_error" in row for row in rows.values())
    heads = [name, *(_HEADS[a] for a in actions), "step, wall ms", "first step, s", "MiB"]
    heads += ["error of the inverse"] * inverse + ["tolerance", "error of `log_prob`"] * solver
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row, kept in rows.items():
        cells = [row]
        for action in actions:
            cells.append(_time(kept["cpu"].get(action), by_row.get((row, action))))
        wall = kept["wall"].get("step")
        cells += [_number(statistics.median(wall)) if wall else "-"]
        cells += [_with_ratio(_number(kept["first_step"]), by_row.get((row, "first_step")))]
        cells += [_with_ratio(f"{kept['mib']:.0f}", by_row.get((row, "mib")))]
        cells += [_error(kept.get("inverse_error"))] * inverse
        if solver:
            cells += [_error(kept.get("tolerance")), _error(kept.get("log_prob_error"))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _time(turns: list[float] | None, ratio: Ratio | None) -> str:
    return "-" if turns is None else _with_ratio(_number(statistics.median(turns)), ratio)


def _with_ratio(text: str, ratio: Ratio | None) -> str:
    return text if ratio is None else f"{text} ({ratio.value:.2f})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}".replace("e-0", "e-")
