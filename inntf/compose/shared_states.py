"""Layers that several blocks use and that change as they compute, such as a dropout in a conditioner of two couplings."""

from __future__ import annotations

from typing import Any

from inntf.core import Block
from inntf.core.blocks_in_turn import BlocksInTurn


def shares_states(block: Block, updated: set[int]) -> bool:
    """Whether blocks inside of this one take turns with a state: undone in the opposite order, they would mix up its values.

    Args:
        block: a block.
        updated: ids of the variables that its forward call has changed.
    """
    if not updated:
        return False
    for part in block._flatten_layers():
        if isinstance(part, BlocksInTurn) and _used_twice(part, updated):
            return True
        template: Any = getattr(part, "_template", None)  # of a Repeat, which hides its block from Keras
        if template is not None:
            pairs = zip(template.variables, template.stacks, strict=True)
            if shares_states(template.block, {id(variable) for variable, stack in pairs if id(stack) in updated}):
                return True
    return False


def _used_twice(part: BlocksInTurn, updated: set[int]) -> bool:
    used = [id(v) for block in part.blocks_in_turn() for v in {id(v): v for v in block.variables}.values() if id(v) in updated]
    return len(used) > len(set(used))
