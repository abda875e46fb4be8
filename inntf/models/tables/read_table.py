"""Tables as dictionaries of one-dimensional arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inntf.core.errors import explain


def is_table(value: Any) -> bool:
    """Whether it has named columns: a mapping, a data frame (`columns` and `[name]`), or a structured array.

    Source: inntf.

    Example:
        >>> is_table({"a": [1.0]}), is_table(np.zeros([2, 3]))
        (True, False)
    """
    if isinstance(value, Mapping):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.names is not None
    return hasattr(value, "columns") and hasattr(value, "__getitem__") and not callable(value.columns)


def read_table(table: Any, owner: str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Its columns by name, one-dimensional and of one length.

    Args:
        table: a mapping of names to columns, a data frame, or a structured array.
        owner: for messages.
        names: the columns that it must have, no more and no less; `None`: any.

    Returns:
        The columns, in the order of `names` where they are given.

    Raises:
        TypeError: for something else; ValueError: for no columns or rows, other names, or columns of several lengths.

    Source: inntf.

    Example:
        >>> read_table({"a": [1, 2]}, "here")["a"].tolist()
        [1, 2]
    """
    if not is_table(table):
        remedy = "Name the columns: {'height': heights, 'age': ages}."
        expected = "a mapping of names to columns, a data frame or a structured array"
        raise TypeError(explain(owner, received=type(table).__name__, expected=expected, remedy=remedy))
    given = list(table.dtype.names) if isinstance(table, np.ndarray) else list(getattr(table, "columns", table))
    if not given or not all(isinstance(name, str) for name in given) or len(set(given)) < len(given):
        raise ValueError(
            explain(owner, received=f"columns {given}", expected="at least one, each with a name of its own, text")
        )
    if names is not None and set(given) != set(names):
        missing, more = [n for n in names if n not in given], [n for n in given if n not in names]
        received = " and ".join(text for text in (missing and f"no column {missing}", more and f"also {more}") if text)
        expected, remedy = f"the columns {list(names)}", "Rename or leave out columns to match."
        raise ValueError(explain(owner, received=received, expected=expected, remedy=remedy))
    found = {name: np.asarray(table[name]) for name in (given if names is None else names)}
    shapes = {name: column.shape for name, column in found.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1 or not next(iter(shapes.values()))[0]:
        expected = "columns of one dimension and of the same length, at least one row"
        raise ValueError(explain(owner, received=f"columns of shapes {shapes}", expected=expected, remedy="Look at those."))
    return found


def numbers(name: str, column: np.ndarray, kind: str) -> np.ndarray:
    """A column as float64.

    Raises:
        ValueError: for what is no number, NaN or infinity.

    Source: inntf.

    Example:
        >>> numbers("a", np.array([1, 2]), "real").dtype
        dtype('float64')
    """
    try:
        values = column.astype(np.float64)
    except (TypeError, ValueError) as error:
        expected, remedy = f"numbers, for a column of kind {kind!r}", "Convert them, or ask for 'categorical'."
        raise ValueError(
            explain(f"column {name!r}", received=f"dtype {column.dtype}", expected=expected, remedy=remedy)
        ) from error
    lost = int((~np.isfinite(values)).sum())
    if lost:
        where = int(np.argmax(~np.isfinite(values)))
        received = f"{lost} of {len(values)} values that are NaN or infinite, the first in row {where}"
        remedy = "Leave those rows out, or fill them in and add a column that says so."
        raise ValueError(explain(f"column {name!r}", received=received, expected="finite numbers", remedy=remedy))
    return values


def label(value: Any) -> Any:
    """A label as plain data: numpy's numbers and texts become Python's.

    Source: inntf.

    Example:
        >>> label(np.int64(3)), label("red")
        (3, 'red')
    """
    return value.item() if isinstance(value, np.generic) else value
