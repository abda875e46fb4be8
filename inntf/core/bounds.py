"""What a block knows about its own stability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class LipschitzBounds:
    """Upper bounds on the Lipschitz constants of a block and of its inverse.

    `forward >= Lip(F)` and `inverse >= Lip(F^-1)` in the l2 norm, over all inputs (`scope == "global"`)
    or over the box that was asked about (`scope == "local"`; the inverse bound then holds on the image
    of the box).  Infinity means that no bound is known, and `reason` says why.

    Example:
        >>> forward, inverse = LipschitzBounds(2.0, 4.0)
        >>> LipschitzBounds(2.0, 4.0).condition_number
        8.0
    """

    forward: float
    inverse: float
    scope: str = "global"
    reason: str = ""

    def __iter__(self) -> Iterator[float]:
        """Unpack as `forward, inverse = bounds`."""
        return iter((self.forward, self.inverse))

    @property
    def condition_number(self) -> float:
        """Bound on the condition number of the Jacobian, `forward * inverse`."""
        return self.forward * self.inverse

    def then(self, other: LipschitzBounds) -> LipschitzBounds:
        """Bounds of this map followed by `other`: constants multiply (Lip(G o F) <= Lip(G) Lip(F))."""
        scope = "local" if "local" in (self.scope, other.scope) else "global"
        reason = "; ".join(dict.fromkeys(r for r in (self.reason, other.reason) if r))
        return LipschitzBounds(_product(self.forward, other.forward), _product(self.inverse, other.inverse), scope, reason)

    def inverted(self) -> LipschitzBounds:
        """The bounds of the inverse map."""
        return dataclasses.replace(self, forward=self.inverse, inverse=self.forward)


def unknown(reason: str) -> LipschitzBounds:
    """No bound either way, and why."""
    return LipschitzBounds(math.inf, math.inf, "global", reason)


def _product(a: float, b: float) -> float:
    # inf * 0 is nan in IEEE arithmetic; a map without a bound stays without one.
    return math.inf if math.isinf(a) or math.isinf(b) else a * b
