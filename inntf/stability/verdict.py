"""A judgement in words, the same wherever stability is reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inntf.stability.density_error import DensityError
from inntf.stability.reconstruction import ErrorSummary
from inntf.stability.two_sides import Side

VISIBLE = 1e-2  # error over the norm of the sample, or the spread of a column: one percent can be seen in an image
FRAGILE = 1e-4  # over the norm
FRAGILE_COLUMN = 1e-3  # over the spread of a column, which is smaller than the norm
LOST = 1e-2  # share of values that are not finite


class Verdict(NamedTuple):
    """A judgement in words; `str` gives it in one line.

    Attributes:
        level: `"stable"`, `"fragile"` or `"broken"`; `judge` has the thresholds.
        reasons: why, worst first.
        case: of `which_case`, where both sides and the density were measured.

    Source: inntf.

    Example:
        >>> print(judge(ErrorSummary(median=0.01, p99=0.05, max=0.06, nonfinite_share=0.0, count=100)))
        broken: the inverse misses by 5 % of a sample's norm (99 % quantile)
    """

    level: str
    reasons: tuple[str, ...]
    case: str = ""

    def __str__(self) -> str:
        return f"{self.level}: " + "; ".join(self.reasons)


def judge(
    relative: ErrorSummary,
    *,
    condition: float = 1.0,
    rounding: float = 0.0,
    unverified: int = 0,
    columns: tuple[int, ErrorSummary] | None = None,
    samples: Side | None = None,
    wide: Sequence[Side] = (),
    density: DensityError | None = None,
) -> Verdict:
    """Judge an inverse by what comes back on both sides, by the density, and by how much it could amplify rounding.

    Broken: a datum does not come back finite, 1 % of the model's own samples are not finite or do not come back so, the
    99 % quantile of a relative error is above 1 % (of the norm, or of the spread of a column), 1 % of the values are lost in
    float64, too, or log-densities are off by ten times the tolerance of `DensityError`.
    Fragile: a relative error is above 0.01 % of the norm or 0.1 % of a column's spread, a sample is not finite, the
    condition number times the rounding unit is above 1 %, the Jacobian of the inverse does not fit the Jacobian, or
    log-densities are off by more than the tolerance.  Otherwise stable.

    Args:
        relative: summary of the reconstruction errors, each divided by the norm of its sample.
        condition: largest condition number seen.
        rounding: rounding unit of what the block computes in.
        unverified: samples whose smallest singular value did not pass the cross-check.
        columns: the worst column and the summary of its errors over its spread.
        samples: what comes back of the model's own latents.
        wide: the sides as a float64 copy has them.
        density: error of the log-density.

    Returns:
        `Verdict`.

    Source: inntf.

    Example:
        >>> judge(ErrorSummary(1e-7, 1e-6, 1e-6, 0.0, 100)).level
        'stable'
    """
    found: list[tuple[bool, str]] = []  # whether it breaks, and why
    if relative.nonfinite_share > 0:
        found.append((True, f"{_percent(relative.nonfinite_share)} of the samples do not come back finite"))
    _size(found, relative.p99, FRAGILE, f"the inverse misses by {_percent(relative.p99)} of a sample's norm (99 % quantile)")
    if columns is not None:
        number, error = columns
        _size(found, error.p99, FRAGILE_COLUMN, f"column {number} comes back wrong by {_percent(error.p99)} of its own spread")
    if samples is not None:
        lost, back = samples.middle_nonfinite, samples.relative.nonfinite_share
        if lost > 0:
            found.append((lost >= LOST, f"{_percent(lost)} of the model's own samples are not finite"))
        if back > lost:
            found.append((back >= LOST, f"{_percent(back)} of the model's latents do not come back finite"))
        text = f"latents of the model's own samples come back wrong by {_percent(samples.relative.p99)} of their norm"
        _size(found, samples.relative.p99, FRAGILE, text)
        if samples.columns.p99 > max(FRAGILE_COLUMN, 10 * samples.relative.p99):
            text = f"entry {samples.column} of the latents comes back wrong by {_percent(samples.columns.p99)} of its spread"
            _size(found, samples.columns.p99, FRAGILE_COLUMN, text)
    for side in wide:
        if side.nonfinite_share > 0:
            text = f"{_percent(side.nonfinite_share)} are lost in float64, too: not rounding, the map itself"
            found.append((side.nonfinite_share >= LOST, text))
        elif side.relative.p99 > VISIBLE:
            found.append((True, f"in float64, too, {_percent(side.relative.p99)} are missed: the inverse is not one"))
    if not condition * rounding <= VISIBLE:
        found.append((False, f"a condition number of {condition:.3g} can turn rounding into visible errors"))
    if unverified:
        found.append((False, f"the Jacobian of the inverse does not fit the forward one for {unverified} samples"))
    if density is not None and density.wrong:
        far = density.nats.nonfinite_share >= LOST or density.nats.p99 > 10 * density.tolerance
        text = f"log-densities are off by {density.nats.p99:.3g} nats (99 % quantile)"
        share = density.nats.nonfinite_share
        found.append((far, text + (f", {_percent(share)} of them not finite" if share else "")))
    if found:
        level = "broken" if any(breaks for breaks, _ in found) else "fragile"
        return Verdict(level, tuple(text for _, text in sorted(found, key=lambda one: not one[0])))
    more = "" if samples is None else f", and the latents of its own samples to {_percent(samples.relative.max, 2)} of theirs"
    return Verdict("stable", (f"the inverse returns every sample to {_percent(relative.max, 2)} of its norm{more}",))


def which_case(data: Side, samples: Side | None, density: DensityError | None) -> str:
    """Which of the four cases it is: `"inverse whole"` or `"lost"`, `"density right"` or `"wrong"`.

    A lost reconstruction does not make densities wrong: a flow may follow the true orbit of a point nearby.

    Source: Xu and Campbell, "Embracing the Chaos: Analysis and Diagnosis of Numerical Instability in Variational Flows" (2023).

    Example:
        >>> side = Side(None, ErrorSummary(0, 1, 1, 0.0, 9), 0, ErrorSummary(0, 1, 1, 0.0, 9), 0.0)
        >>> which_case(side, None, None)
        'inverse lost, density not known'
    """
    sides = [side for side in (data, samples) if side is not None]
    lost = any(side.nonfinite_share >= LOST or max(side.relative.p99, side.columns.p99) > VISIBLE for side in sides)
    right = "not known" if density is None else "wrong" if density.wrong else "right"
    return f"inverse {'lost' if lost else 'whole'}, density {right}"


def _size(found: list[tuple[bool, str]], error: float, fragile: float, text: str) -> None:
    if error > fragile and error != float("inf"):  # infinite: nothing came back at all, which is counted elsewhere
        found.append((error > VISIBLE, text))


def _percent(share: float, digits: int = 3) -> str:
    return f"{100 * share:.{digits}g} %"
