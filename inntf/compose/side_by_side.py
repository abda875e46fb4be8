"""What is known of maps side by side from what is known of each: the Jacobian is block-diagonal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from inntf.compose.multiscale_in_turn import MapInTurn
from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import EVERYWHERE, Box, broadcast_box, finite_box
from inntf.core.local_maps import LocalMap
from inntf.core.tags import Tags

Columns = Sequence[Sequence[int]]


def bounds_beside(bounds: Sequence[LipschitzBounds]) -> LipschitzBounds:
    """The largest of both directions.

    Source: the norm of a block-diagonal matrix is the largest of its blocks'.

    Example:
        >>> bounds_beside([LipschitzBounds(1.0, 3.0), LipschitzBounds(2.0, 1.0)]).condition_number
        6.0
    """
    scope = "local" if any(found.scope == "local" for found in bounds) else "global"
    reason = "; ".join(dict.fromkeys(found.reason for found in bounds if found.reason))
    return LipschitzBounds(max(b.forward for b in bounds), max(b.inverse for b in bounds), scope, reason)


def box_beside(boxes: Sequence[Box | None], columns: Columns) -> Box:
    """The box of all entries; all of space where one of the parts is not known.

    Source: inntf.

    Example:
        >>> [end.tolist() for end in box_beside([(0.0, 1.0), (2.0, [3.0])], [[1], [0]])]
        [[2.0, 0.0], [3.0, 1.0]]
    """
    size = sum(map(len, columns))
    ends = np.empty([2, size])
    for box, part in zip(boxes, columns, strict=True):
        if box is None:
            return EVERYWHERE
        ends[:, list(part)] = broadcast_box(box, (len(part),))
    return finite_box(*ends)


def maps_beside(maps: Sequence[LocalMap], columns: Columns) -> LocalMap:
    """The block-diagonal Jacobian; the deviation is the largest.

    Source: inntf.

    Example:
        >>> one = LocalMap(np.zeros([1, 1]), np.full([1, 1, 1], 2.0), np.array([0.5]))
        >>> found = maps_beside([one, one], [[1], [0]])
        >>> found.jacobian[0].tolist(), found.deviation.tolist()
        ([[2.0, 0.0], [0.0, 2.0]], [0.5])
    """
    size, n = sum(map(len, columns)), max(len(found.jacobian) for found in maps)
    value = np.empty([len(maps[0].value), size])
    jacobian = np.zeros([n, size, size])
    for found, part in zip(maps, columns, strict=True):
        value[:, list(part)] = found.value
        jacobian[:, np.asarray(part)[:, None], np.asarray(part)[None]] = found.jacobian
    deviation = np.max([found.deviation for found in maps], 0)
    reason = "; ".join(dict.fromkeys(found.reason for found in maps if found.reason))
    error = np.sqrt(sum(np.square(found.error) for found in maps))
    return LocalMap(value, jacobian, deviation, reason, max(found.bound for found in maps), error)


def blocks_beside_in_turn(whole: Any, in_turn: Callable[[Block], Iterable[MapInTurn]]) -> Iterator[MapInTurn]:
    """A `Blockwise` as maps of all entries, one after the other; whole, where none of its blocks is made of others.

    Args:
        whole: built.
        in_turn: takes a block apart.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Rescale
        >>> from inntf.compose import Blockwise, Chain
        >>> block = Blockwise([Rescale(2.0), Chain([Rescale(), Rescale()])], columns=[0, 1]).ensure_built((2,))
        >>> len(list(blocks_beside_in_turn(block, lambda part: getattr(part, "blocks", [part]))))
        3
    """
    apart = [list(in_turn(block)) for block in whole.blocks]
    if all(len(parts) == 1 for parts in apart):
        yield whole
        return
    for parts, columns in zip(apart, whole.columns, strict=True):
        for part in parts:
            yield OnColumns(part, tuple(columns))


@dataclasses.dataclass(frozen=True)
class OnColumns:
    """A map of some entries, the identity of the others.

    Attributes:
        part: the map.
        columns: the entries.
    """

    part: MapInTurn
    columns: tuple[int, ...]

    @property
    def tags(self) -> Tags:
        """The map's."""
        return self.part.tags

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """The map's, beside an identity."""
        places = np.asarray(self.columns)
        found = self.part.local_map(x[:, places], radius, condition, inverse)
        value, size = x.copy(), x.shape[1]
        value[:, places] = found.value
        jacobian = np.tile(np.eye(size), [len(found.jacobian), 1, 1])
        jacobian[:, places[:, None], places[None]] = found.jacobian
        # Of the identity beside it 1 is a bound, too.
        return dataclasses.replace(found, value=value, jacobian=jacobian, bound=max(1.0, found.bound))
