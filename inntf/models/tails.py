"""Tails of the flows on vectors whose steps are affine: bounded densities of outliers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from inntf.blocks.radial_tails import RadialTails
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.models.repeated_steps import one_block, part_of_a_chain

BEND = 3.0  # spreads, beyond which networks see no further
# Lengths are as they are up to one more than the square root of the dimension, about their mean under a normal base, and
# hardly beyond four more: a sample in a million is longer.
_BEYOND, _WIDTH, _FAR = 1.0, 3.0, 1e-3


def with_tails(
    step: Callable[[int], Block], n: int, size: int, heavy_tails: bool, *, repeat: bool, backprop: str, dtype: Any
) -> Block:
    """The steps `step(0)` to `step(n - 1)`, and behind them `RadialTails` where they are wanted.

    Args:
        step: makes a step.
        n: how many.
        size: of the vectors.
        heavy_tails: whether tails are drawn in.
        repeat: scan over the steps.
        backprop: as in `real_nvp`.
        dtype: dtype or policy of the blocks.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> made = with_tails(lambda i: ActNorm(), 2, 5, True, repeat=True, backprop="stored", dtype=None)
        >>> [type(block).__name__ for block in made.blocks]
        ['Repeat', 'RadialTails']
    """
    if not heavy_tails:
        return one_block(step, n, repeat=repeat, backprop=backprop, dtype=dtype)
    tails = RadialTails(math.sqrt(size) + _BEYOND, _WIDTH, _FAR, dtype=dtype)
    return Chain([*part_of_a_chain(step, n, repeat=repeat, backprop=backprop, dtype=dtype), tails], dtype=dtype)
