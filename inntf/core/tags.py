"""What generic tools must know of a block before they compare its values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


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


def joined(parts: Iterable[Tags]) -> Tags:
    """Of blocks that all compute: random if one is, exact and affine if all are.

    >>> joined([Tags(affine=True), Tags(stochastic=True, affine=True)])
    Tags(stochastic=True, exact_data_round_trip=True, exact_latent_round_trip=True, affine=True)
    """
    tags = list(parts)
    return Tags(
        stochastic=any(tag.stochastic for tag in tags),
        exact_data_round_trip=all(tag.exact_data_round_trip for tag in tags),
        exact_latent_round_trip=all(tag.exact_latent_round_trip for tag in tags),
        affine=all(tag.affine for tag in tags),
    )


def exchanged(of: Tags) -> Tags:
    """Of an inverted block: the round trips exchanged.

    >>> exchanged(Tags(exact_latent_round_trip=False)).exact_data_round_trip
    False
    """
    there, back = of.exact_latent_round_trip, of.exact_data_round_trip
    return dataclasses.replace(of, exact_data_round_trip=there, exact_latent_round_trip=back)
