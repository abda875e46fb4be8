"""The like steps of a flow: scanned, or one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inntf.compose.chain import Chain
from inntf.compose.repeat import Repeat
from inntf.core import Block


def one_block(step: Callable[[int], Block], n: int, *, repeat: bool, backprop: str, dtype: Any) -> Block:
    """The steps `step(0)` to `step(n - 1)` as one block."""
    if repeat and n > 1:
        return Repeat(step, n, backprop=backprop)
    return Chain([step(i) for i in range(n)], dtype=dtype, backprop=backprop)


def part_of_a_chain(step: Callable[[int], Block], n: int, *, repeat: bool, backprop: str, dtype: Any) -> list[Block]:
    """The same for a chain around them: in a composition of their own only where a scan or a backward pass wants it."""
    if backprop == "stored" and not (repeat and n > 1):
        return [step(i) for i in range(n)]
    return [one_block(step, n, repeat=repeat, backprop=backprop, dtype=dtype)]
