"""The blocks of a composition one after the other, those that a `Repeat` keeps out of sight among them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from inntf.compose import Blockwise, Chain, Invert, Multiscale, Repeat
from inntf.compose.multiscale_in_turn import MapInTurn, multiscale_in_turn
from inntf.compose.side_by_side import blocks_beside_in_turn
from inntf.core import Block
from inntf.core.blocks_in_turn import BlocksInTurn
from inntf.core.local_maps import LocalMap
from inntf.core.tags import Tags, exchanged
from inntf.nets.lipschitz_cache import settings_of


def in_turn(block: Block, whole: bool = False) -> Iterator[MapInTurn]:
    """The blocks that are applied one after the other, those of containers in their place; a `Multiscale` as one if `whole`."""
    if isinstance(block, Repeat):
        block = _unrolled(block)
    if isinstance(block, BlocksInTurn):
        for part in block.blocks_in_turn():
            yield from in_turn(part, whole)
    elif type(block) is Blockwise:
        yield from blocks_beside_in_turn(block, lambda part: in_turn(part, whole))
    elif type(block) is Invert and not whole:
        yield from (Backwards(part) for part in reversed(list(in_turn(block.block))))
    elif type(block) is Multiscale and not whole:
        yield from multiscale_in_turn(block, lambda level: in_turn(level, whole=True))
    else:
        yield block


@dataclasses.dataclass(frozen=True)
class Backwards:
    """A map of an inverted composition.

    Attributes:
        part: the map as it is in the composition.
    """

    part: MapInTurn

    @property
    def tags(self) -> Tags:
        """The map's, the round trips exchanged."""
        return exchanged(self.part.tags)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """The map's in the other direction."""
        return self.part.local_map(x, radius, condition, not inverse)


def with_repeated(block: Block) -> Iterator[Block]:
    """The block, and those that each `Repeat` in it keeps out of sight."""
    yield block
    for layer in block._flatten_layers():
        if isinstance(layer, Repeat):
            yield from with_repeated(layer.config_arguments()["make_block"])


def _unrolled(block: Repeat) -> Chain:
    """Its blocks with their weights of now, made once for as long as their settings are the same."""
    settings = [settings_of(part, held=False) for part in with_repeated(block)]
    known = _chains.get(block)
    chain = block.unroll(known[1] if known is not None and known[0] == settings else None)
    _chains[block] = settings, chain
    return chain


_chains: weakref.WeakKeyDictionary[Repeat, tuple[Any, Chain]] = weakref.WeakKeyDictionary()
