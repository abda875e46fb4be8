"""Ratios of ours to a peer's in one table of `benchmarks.peers`."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from benchmarks.peers.rows import MEMORY, WORKLOADS, Row

TIMES = {"step": "training step", "log_prob": "`log_prob`", "sample": "samples"}
EVEN = 0.05  # nearer to one than this is no difference


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Ours over the peer's: below one is won.

    Attributes:
        peer: name of the row.
        quantity: `"step"`, `"log_prob"`, `"sample"`, `"first_step"`, `"mib"`, `"inverse_error"`.
        value: median over the turns.
        low, high: smallest and largest over the turns; both the value where there is one alone.
    """

    peer: str
    quantity: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`"won"`, `"lost"` or `"even"`; errors within a factor of three of each other are even."""
        margin = 3.0 if self.quantity == "inverse_error" else 1.0 + EVEN
        return "won" if self.value < 1 / margin else "lost" if self.value > margin else "even"


def rows_of(name: str) -> dict[str, Row]:
    """Rows of a table, that of memory included."""
    return MEMORY if name == "memory" else WORKLOADS[name].rows


def ratios(name: str, found: dict[str, Any]) -> list[Ratio]:
    """All of a table, in the order of its rows."""
    result, rows = [], found["rows"]
    for peer, row in rows_of(name).items():
        if row.against is None or peer not in rows or row.against not in rows:
            continue
        ours, theirs = rows[row.against], rows[peer]
        for quantity in TIMES:
            if quantity in theirs["cpu"] and quantity in ours["cpu"]:
                turns = [a / b for a, b in zip(ours["cpu"][quantity], theirs["cpu"][quantity], strict=True)]
                result.append(Ratio(peer, quantity, statistics.median(turns), min(turns), max(turns)))
        for quantity in ("first_step", "mib", "inverse_error"):
            if theirs.get(quantity) and ours.get(quantity):
                value = ours[quantity] / theirs[quantity]
                result.append(Ratio(peer, quantity, value, value, value))
    return result
