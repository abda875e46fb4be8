"""How much the attack makes the error grow: one rule for what a run says and for the tables of all runs."""

from __future__ import annotations

import math

GROWTH = 10.0


def growth_or_lost(median_growth: float, nonfinite_share: float) -> float:
    """The median growth of the error in the bins; infinite where an image becomes not finite there.

    >>> growth_or_lost(3.0, 0.0), growth_or_lost(3.0, 0.125)
    (3.0, inf)
    """
    return math.inf if nonfinite_share > 0 else float(median_growth)
