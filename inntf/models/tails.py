"""Tails of the flows on vectors whose steps are affine: bounded densities of outliers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inntf.blocks.soft_tails import SoftTails
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.models.repeated_steps import one_block

BEND = 3.0  # spreads, beyond which networks see no further
# Where tails bend, and their slope far out: a thousand spreads become 5.5, and about one entry in 1e5 is drawn far out.
_TAILS, _FAR = 2.25, 1e-3


def with_tails(step: Callable[[int], Block], n: int, heavy_tails: bool, *, repeat: bool, backprop: str, dtype: Any) -> Block:
    """The steps `step(0)` to `step(n - 1)`, and behind them `SoftTails` where they are wanted.

    Args:
        step: makes a step.
        n: how many.
        heavy_tails: whether tails are drawn in.
        repeat: scan over the steps.
        backprop: as in `real_nvp`.
        dtype: dtype or policy of the blocks.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> made = with_tails(lambda i: ActNorm(), 2, True, repeat=True, backprop="stored", dtype=None)
        >>> [type(block).__name__ for block in made.blocks]
        ['Repeat', 'SoftTails']
    """
    steps = one_block(step, n, repeat=repeat, backprop=backprop, dtype=dtype)
    if not heavy_tails:
        return steps
    tails = SoftTails(_TAILS, slope=_FAR, dtype=dtype)
    inner = steps.blocks if isinstance(steps, Chain) and backprop == "stored" else [steps]
    return Chain([*inner, tails], dtype=dtype)
