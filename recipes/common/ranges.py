"""What values a setting may have: declared beside its type, checked in one place before anything else is done.

steps: Annotated[int, Within(1, 10**9)] = 500
widths: Annotated[tuple[Width, ...], Length(1, 8)] = (64, 64)
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from recipes.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Within:
    """Numbers from `low` to `high`, both included unless `above` or `below` says otherwise; never NaN."""

    low: float
    high: float
    above: bool = False
    """`low` itself is left out."""
    below: bool = False
    """`high` itself is left out."""

    def admits(self, value: Any) -> bool:
        """Whether the value is a number of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low = f"above {self.low:.10g}" if self.above else f"from {self.low:.10g}"
        return f"{low} {'and below' if self.below else 'to'} {self.high:.10g}"


@dataclasses.dataclass(frozen=True)
class Length:
    """Tuples of `low` to `high` entries."""

    low: int
    high: int


MAX_SEED = 2**31 - 1
Seed = Annotated[int, Within(0, MAX_SEED)]
Steps = Annotated[int, Within(1, 10**9)]
BatchSize = Annotated[int, Within(1, 2**16)]
Replicas = Annotated[int, Within(1, 64)]
Depth = Annotated[int, Within(1, 1000)]
Width = Annotated[int, Within(1, 4096)]
Images = Annotated[int, Within(1, 10**6)]
Rate = Annotated[float, Within(1e-9, 1e3)]
Weight = Annotated[float, Within(0, 1e9)]
Contraction = Annotated[float, Within(0.01, 1, below=True)]


def check(settings: Any) -> None:
    """Hold every field of a dataclass against what its type declares.

    Raises:
        UserError: for the first value that is out of its range, with the flag and the range.
    """
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        for value, expected in _faults(getattr(settings, field.name), hints[field.name]):
            raise UserError(f"{flag}: received {shown(value)}, expected {expected}")


def shown(value: Any) -> str:
    """A value for a message of one line, cut if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return f"an integer of {value.bit_length()} bits"  # Python does not print the longest ones
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _faults(value: Any, hint: Any) -> Iterator[tuple[Any, str]]:
    """The values in `value` that its declared type does not admit, each with what was expected."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from _faults(value, parts[0])
        for rule in parts[1:]:
            if isinstance(rule, Within) and not rule.admits(value):
                yield value, f"{'a whole number' if parts[0] is int else 'a number'} {rule}"
            if isinstance(rule, Length) and not rule.low <= len(value) <= rule.high:
                yield value, f"{rule.low} to {rule.high} values"
    elif origin in (typing.Union, types.UnionType):
        if value is not None:
            yield from _faults(value, next(p for p in parts if p is not type(None)))
    elif origin is tuple:
        for item in value:
            yield from _faults(item, parts[0])
    elif hint is int and (isinstance(value, bool) or not isinstance(value, int)):
        yield value, "a whole number"
    elif origin is typing.Literal and value not in parts:
        yield value, f"one of {', '.join(map(str, parts))}"


def check_repeats(seed: int, repeats: int) -> None:
    """Every repeat must have a seed: the next one.

    Raises:
        UserError: if the last would be beyond the largest.
    """
    if seed + repeats - 1 > MAX_SEED:
        raise UserError(
            f"--seed: received {seed} for --repeats {repeats}, expected at most {MAX_SEED - repeats + 1}",
            remedy="Each training takes the next seed.",
        )
