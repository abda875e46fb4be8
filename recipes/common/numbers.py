"""Numbers of a run: how often to look, and how results that may be infinite, NaN or missing stand on the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np


def ratio(a: float, b: float) -> float:
    """`a / b`; by zero it is infinite or NaN.

    >>> ratio(1, 0), ratio(3, 2)
    (inf, 1.5)
    """
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


def cell(value: Any, width: int, form: str = ".4g") -> str:
    """A number to the right of so many characters; what is none as it is.

    >>> cell(1234.5678, 8), cell(float("inf"), 8), cell(None, 8)
    ('    1235', '     inf', '       -')
    """
    if value is None:
        return f"{'-':>{width}s}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:>{width}{form}}" if is_number else f"{value!s:>{width}s}"


def claim_lines(claims: dict[str, Any]) -> list[str]:
    """A line a claim: `yes`, `NO`, its number, or the words that it holds.

    >>> claim_lines({"a": True, "b": False, "c": 0.25, "d": "not measured"})
    ['       yes  a', '        NO  b', '      0.25  c', 'not measured  d']
    """

    def told(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "NO"
        return value if isinstance(value, str) else cell(value, 10, ".3g")

    return [f"{told(value):>10s}  {claim}" for claim, value in claims.items()]


def tenth(steps: int) -> int:
    """Steps between looks so that a training has ten at least, or as many as it has steps.

    >>> tenth(500), tenth(19), tenth(7)
    (50, 1, 1)
    """
    return max(1, steps // 10)
