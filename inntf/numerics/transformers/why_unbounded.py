"""The reason where a block has no bound because of its transformer."""

from __future__ import annotations

import math

from inntf.core.boxes import NO_FINITE_BOX
from inntf.numerics.transformers.transformer import Transformer


def why_unbounded(owner: str, transformer: Transformer, magnitude: float) -> str:
    """Which number of a transformer is infinite (or zero) for entries up to `magnitude`, in words."""
    low, high = transformer.slopes(magnitude)
    near, far = transformer.sensitivity(0.0), transformer.sensitivity(magnitude)
    if math.isinf(near) or (math.isfinite(magnitude) and math.isinf(far)):
        return f"{owner}: {transformer!r} has no bounded slope in its parameters"
    if math.isinf(far):
        return f"{owner}: {NO_FINITE_BOX}"
    if low == 0:
        return f"{owner}: the slope of {transformer!r} comes arbitrarily close to zero"
    if math.isinf(high):
        return f"{owner}: the slope of {transformer!r} has no upper end"
    return f"{owner}: a bound beyond float range"
