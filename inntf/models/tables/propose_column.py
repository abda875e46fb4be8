"""The kind of a column, from what was asked for or from its values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy.special import ndtri

from inntf.core.errors import explain
from inntf.models.tables.column import KINDS, Column
from inntf.models.tables.read_table import label, numbers

MOST_LEVELS = 2**17  # that float32 tells apart, with noise between them
_MOST_LABELS = 1000
_CIRCULAR = ("angle", "azimuth", "direction", "heading", "bearing", "phase")
_LIKE_NORMAL = 1.349  # quartiles of the standard normal are so far apart
_PERIODS = (2 * math.pi, 360.0)


def propose_column(name: str, values: np.ndarray, asked: Any = None) -> Column:
    """Describe a column.

    Args:
        name: of the column.
        values: `(n,)`.
        asked: a kind, or a kind and its range or labels: `"angle"`, `("bounded", 0, 1)`, `("categorical", ["a", "b"])`.

    Raises:
        ValueError: for a kind that there is not or that does not fit, values that are missing, or a column that is constant.

    Source: inntf.

    Example:
        >>> print(propose_column("share", np.array([0.1, 0.7])))
        share: bounded [0, 1]; all values lie in [0, 1]
    """
    kind, *rest = (asked,) if isinstance(asked, str) else tuple(asked) if isinstance(asked, tuple | list) else (None,)
    if asked is not None and kind not in KINDS:
        expected, remedy = f"one of {', '.join(KINDS)}, alone or with a range", "Such as 'angle' or ('bounded', 0, 1)."
        raise ValueError(explain(f"column {name!r}", received=f"kind {asked!r}", expected=expected, remedy=remedy))
    if kind == "categorical" or (kind is None and values.dtype.kind not in "iuf"):
        found = _categorical(name, values, rest)
    else:
        found = _number(name, values, kind, rest)
    found = dataclasses.replace(found, why="as asked for") if kind is not None else found
    encoded = found.encode(values)
    if (encoded == encoded[0]).all():
        received, remedy = f"the same value in all {len(values)} rows", "Leave the column out: it has no density."
        raise ValueError(
            explain(f"column {name!r}", received=received, expected="at least two different values", remedy=remedy)
        )
    return _spread(found, encoded)


def _categorical(name: str, values: np.ndarray, rest: list[Any]) -> Column:
    plain = [label(value) for value in values.tolist()]
    lost = [row for row, value in enumerate(plain) if value is None or value != value]
    if lost:
        received = f"{len(lost)} values that are missing, the first in row {lost[0]}"
        remedy = "Leave those rows out, or give the missing ones a label of their own."
        raise ValueError(explain(f"column {name!r}", received=received, expected="labels", remedy=remedy))
    labels = list(rest[0]) if rest else sorted(set(plain), key=lambda one: (type(one).__name__, one))
    if len(labels) > _MOST_LABELS or len(labels) == len(plain) > 20:
        received = f"{len(labels)} different values in {len(plain)} rows"
        remedy = "Leave the column out (names and identifiers have no density), or merge rare values."
        raise ValueError(explain(f"column {name!r}", received=received, expected="categories that repeat", remedy=remedy))
    return Column(name, "categorical", values.dtype.str, f"{values.dtype} values", labels=tuple(map(label, labels)))


def _number(name: str, values: np.ndarray, kind: str | None, rest: list[Any]) -> Column:
    x = numbers(name, values, kind or "real")
    ends = [float(end) for end in rest]
    if len(ends) > 2 or (kind == "bounded" and len(ends) != 2) or (kind == "real" and ends):
        expected = "('bounded', low, high); 'positive' with at most one number; 'angle' with a period or two ends"
        raise ValueError(explain(f"column {name!r}", received=f"kind {(kind, *rest)!r}", expected=expected))
    least, most, dtype = float(x.min()), float(x.max()), values.dtype.str
    why = ""
    if kind is None:
        kind, why, ends = _guess(name, x, values.dtype)
    if kind == "integer":
        low, high = ends if len(ends) == 2 else (ends[0] if ends else _floor(least), _ceiling(most))
        if high - low + 1 > MOST_LEVELS:
            remedy = "Ask for 'real' or 'positive': their samples are rounded, too."
            received, expected = f"whole numbers from {low:.6g} to {high:.6g}", f"at most {MOST_LEVELS} levels"
            raise ValueError(explain(f"column {name!r}", received=received, expected=expected, remedy=remedy))
        return Column(name, kind, dtype, why, low, high)
    if kind == "angle":
        low, high = _circle(name, ends, least, most)
        return Column(name, kind, dtype, why, low, high)
    low, high = {"real": (-math.inf, math.inf), "positive": ((ends or [0.0])[0], math.inf)}.get(kind) or ends
    different = np.unique(x)
    steps = np.diff(different)
    if 2 * len(different) < len(x):
        why += f"; {len(different)} different values in {len(x)} rows: a density may spike there, spread them within their step"
    margin = float(steps.min()) / 2 if steps.size and (least == low or most == high) else 0.0
    return Column(name, kind, dtype, why, low, high, margin=margin)


def _guess(name: str, x: np.ndarray, dtype: np.dtype) -> tuple[str, str, list[float]]:
    least, most = float(x.min()), float(x.max())
    if dtype.kind in "iu" or np.array_equal(x, np.round(x)):
        whole = "whole numbers"
        if _ceiling(most) - _floor(least) + 1 <= MOST_LEVELS:
            return "integer", f"{whole}, with room up to {_ceiling(most):.0f}", []
        return ("positive" if least >= 0 else "real"), f"{whole} of too many levels for a count; taken for a continuum", []
    period = next((p for p in _PERIODS if most - least <= p * (1 + 1e-6)), None)
    if any(word in name.lower() for word in _CIRCULAR) and period and most - least > period / 2:
        return "angle", f"its name and its range say so, of period {period:.6g}", []
    if least >= 0 and most <= 1:
        return "bounded", "all values lie in [0, 1]", [0.0, 1.0]
    if least >= 0:
        return "positive", "no value is negative", []
    return "real", "values of both signs", []


def _floor(least: float) -> float:
    return 0.0 if least >= 0 else -_ceiling(-least)


def _ceiling(most: float) -> float:
    # A power of two less one, at least twice as large: what comes later may be larger than what was seen.
    return 2.0 ** (math.ceil(math.log2(max(most, 1.0) + 1)) + 1) - 1


def _circle(name: str, ends: list[float], least: float, most: float) -> tuple[float, float]:
    if len(ends) == 2 and ends[0] < ends[1]:
        return ends[0], ends[1]
    period = ends[0] if ends else next((p for p in _PERIODS if most - least <= p * (1 + 1e-6)), math.nan)
    if not period > 0:
        received, remedy = f"values from {least:.6g} to {most:.6g}", "Give the period: ('angle', 24), or both ends."
        raise ValueError(
            explain(f"column {name!r}", received=received, expected="an angle, of period 2 pi or 360", remedy=remedy)
        )
    return (0.0, period) if least >= 0 else (-period / 2, period / 2)


def _spread(column: Column, encoded: np.ndarray) -> Column:
    low, high = column.range
    x = (encoded + 0.5) if column.levels else encoded
    with np.errstate(divide="ignore"):
        if math.isfinite(high):
            tiny = 1e-6
            x = ndtri(np.clip((x - low) / (high - low), tiny, 1 - tiny))
        elif math.isfinite(low):
            x = np.log(np.maximum(x - low, np.finfo(np.float32).tiny))
    first, middle, third = np.quantile(x, [0.25, 0.5, 0.75])
    scale = (third - first) / _LIKE_NORMAL or float(x.std()) or 1.0
    return dataclasses.replace(column, shift=float(middle), scale=float(scale))
