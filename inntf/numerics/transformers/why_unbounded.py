"""Where a transformer is bounded, and the reason where a block has no bound because of it."""

from __future__ import annotations

import math
from typing import Any

from inntf.core.boxes import NO_FINITE_BOX, largest_magnitude
from inntf.numerics.transformers.transformer import Transformer


def bounded_everywhere(transformer: Transformer) -> bool:
    """Whether its slopes and its sensitivity have bounds that hold for all `u`."""
    low, high = transformer.slopes(math.inf)
    return low > 0 and math.isfinite(high) and math.isfinite(transformer.sensitivity(math.inf))


def where_bounded(owner: str, transformer: Transformer, domain: Any) -> tuple[bool, float, str]:
    """Whether bounds hold on the box alone, how large entries may be there, and why there are none; see `why_unbounded`."""
    if domain is None and math.isinf(transformer.sensitivity(math.inf)):
        return False, math.inf, why_unbounded(owner, transformer, None)
    local = domain is not None and not bounded_everywhere(transformer)
    return local, largest_magnitude(domain) if local else math.inf, ""


def why_unbounded(owner: str, transformer: Transformer, magnitude: float | None) -> str:
    """Which number of a transformer is infinite (or zero) for entries up to `magnitude`, in words; `None`: without a box."""
    near = transformer.sensitivity(1.0)
    if magnitude is None and math.isfinite(near):
        return f"{owner}: {transformer!r} has no bound everywhere; pass domain=(low, high)"
    magnitude = 1.0 if magnitude is None else magnitude
    far = transformer.sensitivity(magnitude)
    if math.isinf(near) or (math.isfinite(magnitude) and math.isinf(far)):
        return f"{owner}: {transformer!r} has no bounded slope in its parameters"
    if math.isinf(far):
        return f"{owner}: {NO_FINITE_BOX}"
    low, high = transformer.slopes(magnitude)
    if low == 0:
        return close_to_zero(owner, transformer)
    if math.isinf(high):
        return f"{owner}: the slope of {transformer!r} has no upper end"
    return f"{owner}: a bound beyond float range"


def close_to_zero(owner: str, transformer: Transformer) -> str:
    """The reason where slopes have no lower end."""
    return f"{owner}: the slope of {transformer!r} comes arbitrarily close to zero"
