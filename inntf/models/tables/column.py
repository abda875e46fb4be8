"""One column of a table: its kind, its range, and its way to a number and back."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from inntf.core.errors import explain
from inntf.models.tables.read_table import label, numbers

_LARGEST = float(np.finfo(np.float32).max) / 4  # what a tail sends beyond is a number still
KINDS = ("real", "positive", "bounded", "angle", "integer", "categorical")


@dataclasses.dataclass(frozen=True)
class Column:
    """What is known of a column.

        real, positive, bounded:  the number itself
        angle:                    (x - low) mod (high - low), whose two ends are one point
        integer:                  x - low, a level of 0 .. high - low
        categorical:              the number of its label

    Attributes:
        name: of the column.
        kind: `"real"`, `"positive"` (from `low` on), `"bounded"` (between `low` and `high`), `"angle"` (where `low` and `high`
            are the same point), `"integer"` (from `low` to `high`, both included) or `"categorical"`.
        dtype: of the table's column, restored by `decode`.
        why: of the kind, for people.
        low, high: ends; infinite where there is none.
        labels: of categories, in the order of their codes.
        margin: how far beyond its ends the model's range goes, where data lie on them: half of their smallest step.
        shift, scale: middle and spread on the real line, behind logarithms and quantiles.
    """

    name: str
    kind: str
    dtype: str
    why: str = ""
    low: float = -math.inf
    high: float = math.inf
    labels: tuple[Any, ...] = ()
    margin: float = 0.0
    shift: float = 0.0
    scale: float = 1.0

    @property
    def levels(self) -> int:
        """Number of values of an integer or categorical column; 0 for the others."""
        if self.kind == "categorical":
            return len(self.labels)
        return int(self.high - self.low) + 1 if self.kind == "integer" else 0

    @property
    def period(self) -> float:
        """Length of an angle's circle; 0 for the others."""
        return self.high - self.low if self.kind == "angle" else 0.0

    @property
    def range(self) -> tuple[float, float]:
        """Ends of the encoded numbers, or of the model's cells for integers and categories; infinite where there is none."""
        if self.levels:
            return 0.0, float(self.levels)
        if self.period:
            return 0.0, self.period
        return self.low - self.margin, self.high + self.margin

    def encode(self, values: np.ndarray) -> np.ndarray:
        """A column as float64 numbers, `(n,)`.

        Raises:
            ValueError: for values that are none of this kind.
        """
        if self.kind == "categorical":
            codes = {one: code for code, one in enumerate(self.labels)}
            plain = [label(value) for value in values.tolist()]
            unknown = list(dict.fromkeys(repr(value) for value in plain if _missing(value) or value not in codes))
            if unknown:
                received = f"{', '.join(unknown[:5])}{' and more' if len(unknown) > 5 else ''}"
                known = f"one of {list(self.labels[:10])}{' and more' if len(self.labels) > 10 else ''}"
                remedy = "Propose the columns from a table that has all categories, or name them: ('categorical', [...])."
                raise self._error(received, known, remedy)
            return np.array([codes[value] for value in plain], np.float64)
        x = numbers(self.name, values, self.kind)
        if self.period:
            turned = np.mod(x - self.low, self.period)
            return np.where(turned >= self.period, 0.0, turned)
        if self.kind == "integer" and not np.array_equal(x, np.round(x)):
            raise self._error(f"{x[x != np.round(x)][0]}", "whole numbers", "Ask for 'real' or 'positive' instead.")
        outside = (x < self.low) | (x > self.high)
        if outside.any():
            received = f"{int(outside.sum())} values from {x[outside].min():.6g} to {x[outside].max():.6g}"
            expected = f"values from {self.low:.6g} to {self.high:.6g}"
            remedy = f"Make the range wider: kinds={{{self.name!r}: ({self.kind!r}, low, high)}}, or leave those rows out."
            raise self._error(received, expected, remedy)
        return x - self.low if self.kind == "integer" else x

    def decode(self, values: np.ndarray) -> np.ndarray:
        """The column of encoded numbers, of its dtype and within its range."""
        x = np.asarray(values, np.float64)
        if self.levels:
            levels = np.clip(np.round(x), 0, self.levels - 1).astype(np.int64)
            if self.kind == "integer":
                return (levels + int(self.low)).astype(self.dtype)
            found = np.empty(len(self.labels), object)
            found[:] = self.labels
            return found[levels].astype(self.dtype)
        if self.period:
            x = np.mod(x, self.period)
            x = self.low + np.where(x >= self.period, 0.0, x)
        x = np.clip(x, max(self.low, -_LARGEST), min(self.high, _LARGEST))
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return np.clip(np.round(x), limits.min, limits.max).astype(dtype)
        with np.errstate(over="ignore"):
            found = x.astype(dtype)
        # Rounded to fewer digits a number may leave its range.
        if self.kind == "angle":
            return np.where(found >= self.high, dtype.type(self.low), found)
        return found

    def __str__(self) -> str:
        ends = ""
        if self.kind == "categorical":
            ends = f" of {len(self.labels)}"
        elif math.isfinite(self.low) or math.isfinite(self.high):
            last = f"{self.high:.6g}{')' if self.kind == 'angle' else ']'}"
            ends = f" from {self.low:.6g} on" if math.isinf(self.high) else f" [{self.low:.6g}, {last}"
        return f"{self.name}: {self.kind}{ends}; {self.why}"

    def _error(self, received: str, expected: str, remedy: str) -> ValueError:
        return ValueError(explain(f"column {self.name!r}", received=received, expected=expected, remedy=remedy))


def _missing(value: Any) -> bool:
    return value is None or value != value or isinstance(value, list | dict)
