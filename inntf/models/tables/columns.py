"""The columns of a table, and the way from the table to an array and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.tables.column import Column
from inntf.models.tables.preprocessing import preprocessing
from inntf.models.tables.propose_column import propose_column
from inntf.models.tables.read_table import read_table


class TableColumns:
    """What is known of each column, and with it `encode`, `decode` and the blocks that a flow on such rows begins with.

    `x = encode(table)` holds one number a column (see `Column`), `(n, columns)`; `decode(x)` gives a table of the same names,
    dtypes and ranges: integers are integers, categories the original labels, angles within their circle.  `print` it to
    see what each column was taken for, and why.

    Args:
        columns: `Column`s, or their configurations.

    Raises:
        ValueError: for no columns, or two of one name.

    Source: inntf.

    Example:
        >>> table = {"wind": [350.0, 10.0, 20.0], "sort": ["b", "a", "b"]}
        >>> columns = TableColumns.propose(table, kinds={"wind": ("angle", 360)})
        >>> print(columns)
        wind: angle [0, 360); as asked for
        sort: categorical of 2; <U1 values
        >>> columns.decode(columns.encode(table))["sort"].tolist()
        ['b', 'a', 'b']
    """

    def __init__(self, columns: Sequence[Column | Mapping[str, Any]]):
        self.columns = tuple(_column(one) for one in columns)
        if not self.columns or len(set(self.names)) < len(self.columns):
            received, expected = f"columns {list(self.names)}", "at least one, each with a name of its own"
            raise ValueError(explain("TableColumns", received=received, expected=expected))

    @classmethod
    def propose(cls, table: Any, kinds: Mapping[str, Any] | None = None) -> TableColumns:
        """Describe the columns of a table.

        Texts, truth values and other objects are categories; whole numbers are integers from 0 (or from below, with room at
        both ends) to at least twice the largest; other numbers are bounded within [0, 1], positive, or real.  An angle is
        guessed from a name such as `"angle"` or `"direction"` alone.

        Args:
            table: a mapping of names to columns, a data frame or a structured array.
            kinds: of some columns, by name: a kind alone or with its range, `"angle"`, `("angle", 24)`, `("angle", -180, 180)`,
                `"real"`, `("positive", low)`, `("bounded", low, high)`, `("integer", low, high)`, `("categorical", labels)`.

        Raises:
            TypeError: for something else than a table; ValueError: for kinds of columns that there are not, values that are
                missing or out of range, or a column that is constant.
        """
        given, kinds = read_table(table, "TableColumns.propose"), dict(kinds or {})
        unknown = [name for name in kinds if name not in given]
        if unknown:
            received, expected = f"kinds of {unknown}", f"names among {list(given)}"
            raise ValueError(
                explain("TableColumns.propose", received=received, expected=expected, remedy="Look for typing errors.")
            )
        return cls([propose_column(name, column, kinds.get(name)) for name, column in given.items()])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns, in the order of the array."""
        return tuple(column.name for column in self.columns)

    @property
    def discrete(self) -> tuple[str, ...]:
        """Names of integer and categorical columns."""
        return tuple(column.name for column in self.columns if column.levels)

    @property
    def angles(self) -> list[int]:
        """Places of angular columns."""
        return [i for i, column in enumerate(self.columns) if column.period]

    def encode(self, table: Any) -> np.ndarray:
        """The table as `(n, columns)`, float64.

        Raises:
            TypeError: for something else than a table; ValueError: for other columns, NaN, or values out of range or unknown.
        """
        given = read_table(table, "encode", self.names)
        return np.stack([column.encode(given[column.name]) for column in self.columns], 1)

    def decode(self, x: Any) -> dict[str, np.ndarray]:
        """The table of an array `(n, columns)`: columns by name, which a data frame takes as they are.

        Raises:
            ValueError: for an array of another shape, or NaN.
        """
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(explain("decode", received=f"an array of shape {x.shape}", expected=f"(n, {len(self.columns)})"))
        if np.isnan(x).any():
            raise ValueError(explain("decode", received="NaN", expected="numbers", remedy="Look at the model that made them."))
        return {column.name: column.decode(x[:, i]) for i, column in enumerate(self.columns)}

    def preprocessing(self, *, seed: int | None = None, dtype: Any = None) -> Block:
        """Blocks from encoded rows to numbers on the real line of about unit spread; see `preprocessing`."""
        return preprocessing(self.columns, seed=seed, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Plain data."""
        return {"columns": [{**dataclasses.asdict(column), "labels": list(column.labels)} for column in self.columns]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableColumns:
        """The columns of `get_config()`."""
        return cls(config["columns"])

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> Column:
        return self.columns[self.names.index(name)]

    def __str__(self) -> str:
        return "\n".join(map(str, self.columns))


def _column(one: Any) -> Column:
    if isinstance(one, Column):
        return one
    given = {**one, "labels": tuple(one["labels"])}
    given |= {end: float(one[end]) for end in ("low", "high") if end in one}  # JSON says infinity in words
    if given.pop("cut", 0.0):  # of files before 0.1.0, whose flow turned angles on a line
        name, remedy = f"column {given['name']!r}", "Fit the table anew: its flow is another one now."
        raise ValueError(explain(name, received="an angle that was cut", expected="one on its circle", remedy=remedy))
    return Column(**given)
