"""A block that is built keeps its shapes."""

from __future__ import annotations

from typing import Any

from inntf.core.errors import explain
from inntf.core.shapes import Shape, compatible


def agree(block: Any, event_shape: Shape, condition_shape: Shape | None) -> None:
    """Shapes asked of a block that is built must be its own, where both are known.

    Raises:
        ValueError: if they are not.
    """
    pairs = {"events": (event_shape, block.event_shape), "conditions": (condition_shape, block.condition_shape)}
    for what, (given, own) in pairs.items():
        if given is None or own is None:
            continue
        if not compatible(given, own):
            raise ValueError(
                explain(
                    block.name,
                    received=f"{what} of shape {tuple(given)}",
                    expected=f"{own}, for which it is built",
                    remedy="Make a new block for another shape.",
                )
            )
