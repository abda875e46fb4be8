"""A judgement in words, the same wherever stability is reported."""

from __future__ import annotations

from typing import NamedTuple

from inntf.stability.reconstruction import ErrorSummary

VISIBLE = 1e-2  # error over the norm of the sample: one percent can be seen in an image
FRAGILE = 1e-4


class Verdict(NamedTuple):
    """A judgement in words; `str` gives it in one line.

    Attributes:
        level: `"stable"`, `"fragile"` or `"broken"`; `judge` has the thresholds.
        reasons: why, worst first.

    Source: inntf.

    Example:
        >>> print(judge(ErrorSummary(median=0.01, p99=0.05, max=0.06, nonfinite_share=0.0, count=100)))
        broken: the inverse misses by 5 % of a sample's norm (99 % quantile)
    """

    level: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.level}: " + "; ".join(self.reasons)


def judge(relative: ErrorSummary, *, condition: float = 1.0, rounding: float = 0.0, unverified: int = 0) -> Verdict:
    """Judge an inverse by what it reconstructs, and by how much it could amplify rounding.

    Broken: a sample does not come back finite, or the 99 % quantile of the relative error is above 1 %.
    Fragile: it is above 0.01 %, or the condition number times the rounding unit is above 1 %, or the Jacobian of the
    inverse does not fit the Jacobian.  Otherwise stable.

    Args:
        relative: summary of the reconstruction errors, each divided by the norm of its sample.
        condition: largest condition number seen.
        rounding: rounding unit of the block's dtype.
        unverified: samples whose smallest singular value did not pass the cross-check.

    Returns:
        `Verdict`.

    Source: inntf.

    Example:
        >>> judge(ErrorSummary(1e-7, 1e-6, 1e-6, 0.0, 100)).level
        'stable'
    """
    broken, fragile = [], []
    if relative.nonfinite_share > 0:
        broken.append(f"{100 * relative.nonfinite_share:.3g} % of the samples do not come back finite")
    if relative.p99 > VISIBLE:
        broken.append(f"the inverse misses by {100 * relative.p99:.3g} % of a sample's norm (99 % quantile)")
    elif relative.p99 > FRAGILE:
        fragile.append(f"the inverse misses by {100 * relative.p99:.3g} % of a sample's norm (99 % quantile)")
    if not condition * rounding <= VISIBLE:
        fragile.append(f"a condition number of {condition:.3g} can turn rounding into visible errors")
    if unverified:
        fragile.append(f"the Jacobian of the inverse does not fit the forward one for {unverified} samples")
    if broken:
        return Verdict("broken", tuple(broken + fragile))
    if fragile:
        return Verdict("fragile", tuple(fragile))
    return Verdict("stable", (f"the inverse returns every sample to {100 * relative.max:.2g} % of its norm",))
