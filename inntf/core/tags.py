"""What generic tools must know of a block before they compare its values."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tags:
    """Whether calls are random, and which round trips are exact up to rounding errors.

    Args:
        stochastic: two calls on the same data may differ.
        exact_data_round_trip: `inverse(forward(x)) = x`.
        exact_latent_round_trip: `forward(inverse(z)) = z`.
        affine: `forward(x)` is an affine function of `x`, entry order and shape apart.
    """

    stochastic: bool = False
    exact_data_round_trip: bool = True
    exact_latent_round_trip: bool = True
    affine: bool = False
