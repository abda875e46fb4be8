"""Arithmetic of upper bounds in floats: what they cannot hold becomes infinity, and nothing positive becomes zero."""

from __future__ import annotations

import math
import sys

_LARGEST_EXPONENT = 709.0  # exp of a little more is no float


def upper_product(a: float, b: float) -> float:
    """`a * b` of two upper bounds, none of them negative; infinite where either is.

    Source: inntf.

    Example:
        >>> upper_product(1e200, 1e200), upper_product(float("inf"), 0.0)
        (inf, inf)
    """
    if math.isinf(a) or math.isinf(b):
        return math.inf  # infinity times zero is NaN in IEEE arithmetic; a map without a bound stays without one
    return max(a * b, sys.float_info.min) if a and b else 0.0


def upper_reciprocal(value: float) -> float:
    """`1 / value` of a lower bound that is not negative: an upper bound, infinite where floats cannot hold it.

    Source: inntf.

    Example:
        >>> upper_reciprocal(0.5), upper_reciprocal(0.0), upper_reciprocal(1e-320)
        (2.0, inf, inf)
    """
    return math.nan if math.isnan(value) else 1.0 / value if value >= sys.float_info.min else math.inf


def upper_exp(exponent: float) -> float:
    """`exp(exponent)` of an upper bound; infinite where floats cannot hold it.

    Source: inntf.

    Example:
        >>> upper_exp(0.0), upper_exp(1000.0), upper_exp(-1000.0) > 0
        (1.0, inf, True)
    """
    if math.isnan(exponent):
        return math.nan
    return math.inf if exponent > _LARGEST_EXPONENT else max(math.exp(exponent), sys.float_info.min)
