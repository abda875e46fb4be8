"""Tables of a section: measurements by model, papers' claims with what runs show of them, and the runs themselves."""

from __future__ import annotations

import dataclasses
import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from recipes.results.cells import FAILED, NOT_RUN, Cell, look, number
from recipes.results.records import Record

Part = Callable[[Sequence[Record]], str]  # a placeholder's text, from the records of a recipe
Select = Callable[[Record], bool]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table as Markdown.

    >>> print(markdown(["a", "b"], [["1", "x | y"]]))
    | a | b |
    |---|---|
    | 1 | x \| y |
    """
    lines = [list(head), *([text.replace("|", "\\|") for text in row] for row in rows)]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])


def everything(record: Record) -> bool:
    """Every record."""
    return True


@dataclasses.dataclass(frozen=True)
class Table:
    """Measurements: a row a model, in its cells all runs; or a row a run and model.

    Attributes:
        rows: label of each row, and the path of its measurements in the metrics.
        columns: title of each column, and its cell.
        label: title of the first column.
        by_run: a row for each run and model, in place of one for each model.
        select: which records it is about.
    """

    rows: Mapping[str, str]
    columns: Mapping[str, Cell]
    label: str = "model"
    by_run: bool = False
    select: Select = everything

    def __call__(self, records: Sequence[Record]) -> str:
        """The table as Markdown; "not run" without records."""
        chosen = [record for record in records if self.select(record)]
        if not chosen:
            return f"**{NOT_RUN.capitalize()}**: there is no result that this table could be made from."
        rows = []
        if self.by_run:
            for record in chosen:
                found = {label: _of_row(record, path) for label, path in self.rows.items()}
                rows += [[which(record, chosen), label, *self._cells([e])] for label, e in found.items() if e is not None]
            return markdown(["seed", self.label, *self.columns], rows)
        for label, path in self.rows.items():
            rows.append([label, *self._cells([_of_row(record, path) for record in chosen])])
        return markdown([f"{self.label}, {seeds(chosen)}", *self.columns], rows)

    def _cells(self, entries: list[Any]) -> list[str]:
        if all(entry is None for entry in entries):
            return [NOT_RUN] * len(self.columns)
        return [cell(entries) for cell in self.columns.values()]


def _of_row(record: Record, path: str) -> Any:
    """What a run has measured of a row, or that its training failed."""
    return FAILED if path in record.failed else look(record.metrics, path)


_BARS: dict[str, Callable[[Any, Any], bool]] = {
    "at most": operator.le,
    "at least": operator.ge,
    "below": operator.lt,
    "above": operator.gt,
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the papers, and where a run says what it shows of it.

    Attributes:
        text: the claim.
        found: what a record shows: whether the claim holds, or a number to hold against the bar; `None` where it does not say.
        bar: such as `("at most", 3.0)`; without, `found` gives truth values.
        judged: by each run, or by the median over runs.
        of: the trainings that it compares; a run in which one of them failed does not show it.
        form: of the numbers.
        unit: behind each number.
        remark: further words.
    """

    text: str
    found: Callable[[Record], Any]
    bar: tuple[Literal["at most", "at least", "below", "above"], float] | None = None
    judged: Literal["each", "median"] = "each"
    form: str = "2"
    unit: str = ""
    remark: str = ""
    of: Sequence[str] = ()

    def verdict(self, records: Sequence[Record]) -> str:
        """What the records show: "yes", "no" or "not run", with the numbers and whatever is missing."""
        values = [(record.seed, self.found(record)) for record in records]
        known = [value for _, value in values if value is not None]
        failed = [record.seed for record in records if self.found(record) is None and {*self.of} & {*record.failed}]
        if not known and not failed:
            return NOT_RUN
        missing = {seed for seed, value in values if value is None} - {seed for seed, value in values if value is not None}
        absent = "".join(
            f"; {what} with seed {', '.join(map(str, sorted(which)))}"
            for what, which in ((FAILED, failed), (NOT_RUN, missing - {*failed}))
            if which
        )
        return self._judge(known, len(failed)) + absent + (f".  {self.remark}" if self.remark else "")

    def _judge(self, known: list[Any], failed: int) -> str:
        shown = ", ".join(number(value, self.form) + self.unit for value in known) if self.bar else ""
        worst = False if self.bar is None else math.inf if self.bar[0] in ("at most", "below") else -math.inf
        values = [*known, *[worst] * failed]
        middle = self.judged == "median" and len(values) > 1
        judged = [statistics.median(values)] if middle else values
        holds = [bool(value) if self.bar is None else _BARS[self.bar[0]](value, self.bar[1]) for value in judged]
        bar = f" (bar: {self.bar[0]} {self.bar[1]:g})" if self.bar else ""
        numbers = f": {shown}{bar}" if shown else ""
        if middle:
            return f"{'yes' if all(holds) else '**no**'}, as the median of {len(values)} runs{numbers}"
        if len(values) == 1:
            return ("yes" if holds[0] else "**no**") + numbers
        if all(holds):
            return f"yes, each of {len(values)} runs{numbers}"
        return f"**no**, {sum(holds)} of {len(values)} runs{numbers}"


def claimed(key: str) -> Callable[[Record], Any]:
    """What a run says under its claims."""
    return lambda record: record.claims.get(key)


def measured(path: str) -> Callable[[Record], Any]:
    """What a run has measured under a path of names."""
    return lambda record: look(record.metrics, path)


def all_claimed(*keys: str) -> Callable[[Record], Any]:
    """Whether a run says yes to all of its claims of these names; `None` where one of them is not there."""

    def found(record: Record) -> bool | None:
        told = [record.claims.get(key) for key in keys]
        return None if None in told else all(told)

    return found


def claims(*listed: Claim, select: Select = everything) -> Part:
    """The table of claims; a claim without a result, or that fails, stands as such."""

    def part(records: Sequence[Record]) -> str:
        chosen = [record for record in records if select(record)]
        return markdown(["claim", "shown?"], [[claim.text, claim.verdict(chosen)] for claim in listed])

    return part


def runs(records: Sequence[Record]) -> str:
    """The runs that tables are made from: command, commit, time, where."""
    if not records:
        return f"**{NOT_RUN.capitalize()}.**"
    rows = []
    for record in records:
        versions = record.machine.get("versions", {})
        stack = f"{record.machine.get('cpu_count', '?')} cores, Python {record.machine.get('python', '?')}"
        tensorflow = f", TensorFlow {versions['tensorflow']}" if versions.get("tensorflow") else ""
        commit = (record.commit or "none")[:7] + ("-dirty" if (record.commit or "").endswith("-dirty") else "")
        origin = f" ({record.origin})" if record.origin else ""
        minutes = number(record.seconds / 60) if record.seconds else "-"
        rows.append([f"`{record.command}`{origin}", commit, minutes, record.finished[:10], stack + tensorflow])
    return markdown(["command", "commit", "minutes", "finished", "machine"], rows)


def later_runs(records: Sequence[Record]) -> str:
    """Of a recipe that has kept tables alone: the runs since then, with what they say of the claims."""
    if not records:
        return "No run since whose result is kept."
    rows: dict[str, list[str]] = {}
    for record in records:
        for claim, value in record.claims.items():
            rows.setdefault(claim, []).append(f"{told(value)} (seed {which(record, records)})")
    return f"{runs(records)}\n\n{markdown(['claim', 'shown?'], [[claim, ', '.join(cells)] for claim, cells in rows.items()])}"


def told(value: Any) -> str:
    """What a run says of a claim: yes, no, or its number."""
    return {True: "yes", False: "**no**"}[value] if isinstance(value, bool) else number(value)


def which(record: Record, others: Sequence[Record]) -> str:
    """The seed of a record, and its commit where another one has that seed."""
    twins = sum(other.seed == record.seed for other in others) > 1
    return f"{record.seed}, {(record.commit or 'no commit')[:7]}" if twins else str(record.seed)


def seeds(records: Sequence[Record]) -> str:
    """The seeds of records, as words."""
    found = [str(record.seed) for record in records]
    return f"seed{'s' if len(found) > 1 else ''} {', '.join(found)}"
