"""Runs of blocks of one make in a chain, each as a loop: a smaller graph of the same map."""

from __future__ import annotations

from typing import Any

from inntf.compose.chain import Chain, flat_blocks
from inntf.compose.repeat import Repeat
from inntf.compose.stacking import architecture
from inntf.core import Block
from inntf.core.shapes import built_shape

_LONGEST = 4  # blocks in one step


def runs_as_loops(chain: Chain, *, at_least: int = 3) -> Chain:
    """The same map, with a `Repeat` in the place of steps that follow each other and differ in their weights only.

    Args:
        chain: built.  Its weights are copied into the loops; blocks outside of them are shared.
        at_least: how many steps make a loop; one step is one to four blocks.

    Returns:
        Another chain, or the same where there is no such run.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm, Permutation
        >>> chain = Chain([Permutation.reverse(), ActNorm(), ActNorm(), ActNorm()]).ensure_built((2,))
        >>> [type(block).__name__ for block in runs_as_loops(chain)]
        ['Permutation', 'Repeat']
    """
    blocks = list(flat_blocks([chain]))
    keys = [_make_of(block) for block in blocks]
    parts, at = [], 0
    while at < len(blocks):
        period, count = max(((p, _steps(keys, at, p)) for p in range(1, _LONGEST + 1)), key=_covered)
        run = blocks[at : at + period * count]
        if count >= at_least and _keeps_shape(run, period):
            whole = Chain(run, dtype=chain.dtype_policy).ensure_built(built_shape(run[0].event_shape), chain.condition_shape)
            parts.append(Repeat.from_chain(whole, period))
            at += len(run)
        else:
            parts.append(blocks[at])
            at += 1
    if len(parts) == len(blocks):
        return chain
    return Chain(parts, name=chain.name, dtype=chain.dtype_policy).ensure_built(
        built_shape(chain.event_shape), chain.condition_shape
    )


def _make_of(block: Block) -> Any:
    """What blocks have in common that differ in their weights only."""
    return type(block), block.event_shape, [(tuple(v.shape), str(v.dtype)) for v in block.variables], architecture(block)


def _covered(run: tuple[int, int]) -> tuple[int, int]:
    """Blocks in a run; of as many, those of the shortest step come first."""
    period, count = run
    return period * count if count > 1 else 0, -period


def _steps(keys: list[Any], at: int, period: int) -> int:
    """How often `period` blocks from `at` on follow each other."""
    count = 1
    while keys[at + count * period : at + (count + 1) * period] == keys[at : at + period]:
        count += 1
    return count


def _keeps_shape(run: list[Block], period: int) -> bool:
    return run[0].event_shape == run[period - 1]._z_event_shape
