"""What a block knows about its own stability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from inntf.core.upper_bounds import upper_product

_BEYOND = "a bound beyond float range"
_NOT_A_NUMBER = "weights or parameters that are not finite"


@dataclasses.dataclass(frozen=True)
class LipschitzBounds:
    """Upper bounds on the Lipschitz constants of a block and of its inverse.

    `forward >= Lip(F)` and `inverse >= Lip(F^-1)` in the l2 norm, over all inputs (`scope == "global"`)
    or over the box that was asked about (`scope == "local"`; the inverse bound then holds on the image
    of the box).  Infinity means that no bound is known, and `reason` says why: a number that floats cannot hold, or that
    is none (`NaN` weights), becomes infinity, too.

    Example:
        >>> forward, inverse = LipschitzBounds(2.0, 4.0)
        >>> LipschitzBounds(2.0, 4.0).condition_number
        8.0
    """

    forward: float
    inverse: float
    scope: str = "global"
    reason: str = ""

    def __post_init__(self) -> None:
        why = _NOT_A_NUMBER if math.isnan(self.forward) or math.isnan(self.inverse) else _BEYOND
        for name in ("forward", "inverse"):
            value = float(getattr(self, name))
            object.__setattr__(self, name, math.inf if math.isnan(value) else value)
        if not self.reason and math.isinf(max(self.forward, self.inverse)):
            object.__setattr__(self, "reason", why)

    def __iter__(self) -> Iterator[float]:
        """Unpack as `forward, inverse = bounds`."""
        return iter((self.forward, self.inverse))

    @property
    def condition_number(self) -> float:
        """Bound on the condition number of the Jacobian, `forward * inverse`."""
        return upper_product(self.forward, self.inverse)

    def then(self, other: LipschitzBounds) -> LipschitzBounds:
        """Bounds of this map followed by `other`: constants multiply (Lip(G o F) <= Lip(G) Lip(F))."""
        scope = "local" if "local" in (self.scope, other.scope) else "global"
        forward, inverse = upper_product(self.forward, other.forward), upper_product(self.inverse, other.inverse)
        reasons = [self.reason, other.reason]
        known = [max(self.forward, other.forward), max(self.inverse, other.inverse)]
        if any(math.isinf(new) and math.isfinite(old) for new, old in zip((forward, inverse), known, strict=True)):
            reasons.append("a product of bounds beyond float range")
        return LipschitzBounds(forward, inverse, scope, "; ".join(dict.fromkeys(reason for reason in reasons if reason)))

    def inverted(self) -> LipschitzBounds:
        """The bounds of the inverse map."""
        return dataclasses.replace(self, forward=self.inverse, inverse=self.forward)


def unknown(reason: str) -> LipschitzBounds:
    """No bound either way, and why."""
    return LipschitzBounds(math.inf, math.inf, "global", reason)
