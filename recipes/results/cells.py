"""Cells of a table: from measurements of one or several runs to text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NOT_RUN = "not run"
FAILED = "failed"
Cell = Callable[[Sequence[Any]], str]  # of what each run measured; `None` for one that did not, `FAILED` if it could not


def number(value: Any, form: str = "2") -> str:
    """A number as text.

    Args:
        value: the number; `None` is "-", and words stay.
        form: how many significant digits, or `.1%` for percent, or a format of Python.

    >>> number(1234.5), number(6.2e4), number(0.0123), number(3.24e-6), number(491.2, "3"), number(0.596, ".0%")
    ('1234', '6.2e4', '0.012', '3.2e-6', '491', '60 %')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if form.endswith("%"):
        return f"{value:{form}}".replace("%", " %")
    if not form.isdigit():
        return f"{value:{form}}"
    if value == 0:
        return "0"
    digits = int(form)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if -3 <= int(exponent) <= 3:
        return f"{value:.{max(0, digits - 1 - int(exponent))}f}"
    return f"{mantissa}e{int(exponent)}"


def look(entry: Any, path: str) -> Any:
    """What an entry holds under a path of names, separated by points; `None` where there is nothing.

    >>> look({"a": {"b": 1}}, "a.b"), look({"a": {}}, "a.b.c"), look(3, "")
    (1, None, 3)
    """
    for name in path.split(".") if path else ():
        if not isinstance(entry, Mapping) or name not in entry:
            return None
        entry = entry[name]
    return entry


def each(path: str, form: str = "2", *, missing: str = "-") -> Cell:
    """The values of all runs, one after the other.

    Args:
        path: of the value in what a run measured of the row.
        form: as in `number`.
        missing: for a value that a run which measured the row lacks.
    """

    def one(entry: Any) -> str:
        if entry is None or entry == FAILED:
            return NOT_RUN if entry is None else FAILED
        value = look(entry, path)
        return missing if value is None else number(value, form)

    return lambda entries: ", ".join(map(one, entries))


def median(path: str, form: str = "2", *, missing: str = "-") -> Cell:
    """The median over the runs."""
    return _of(path, statistics.median, form, missing)


def largest(path: str, form: str = "2", *, missing: str = "-") -> Cell:
    """The largest value of all runs."""
    return _of(path, max, form, missing)


def least(path: str, form: str = "2", *, missing: str = "-") -> Cell:
    """The smallest value of all runs."""
    return _of(path, min, form, missing)


def span(path: str, form: str = "2", *, missing: str = "-") -> Cell:
    """The smallest value of all runs to the largest one."""

    def cell(entries: Sequence[Any]) -> str:
        low, high = least(path, form, missing=missing)(entries), largest(path, form, missing=missing)(entries)
        return low if low == high else f"{low} to {high}"

    return cell


def joined(separator: str, *cells: Cell) -> Cell:
    """Several cells in one."""
    return lambda entries: separator.join(cell(entries) for cell in cells)


def _of(path: str, choose: Callable[[list[Any]], Any], form: str, missing: str) -> Cell:
    def cell(entries: Sequence[Any]) -> str:
        there = [e for e in entries if e is not None]
        known = [v for v in (look(e, path) for e in there) if v is not None]
        if known:
            return number(choose(known), form)
        return missing if there else NOT_RUN

    return cell
