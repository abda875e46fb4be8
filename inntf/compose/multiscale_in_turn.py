"""A `Multiscale` as maps of all entries, one after the other, each with what is known of it in balls."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from inntf.compose.multiscale import Multiscale
from inntf.core import Block
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import Shape, Sizes, known_sizes
from inntf.core.tags import Tags


class MapInTurn(Protocol):
    """What a block has, and a part of a `Multiscale`."""

    @property
    def tags(self) -> Tags:
        """Whether it is affine."""
        ...

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`."""
        ...


def multiscale_in_turn(whole: Multiscale, in_turn: Callable[[Block], Iterable[MapInTurn]]) -> Iterator[MapInTurn]:
    """The blocks of the levels, one after the other, as maps of all entries, and between them those that move what leaves.

    A block of a level acts on what has not left yet, and leaves the rest as it is; what is known of it in a ball of all is what
    is known in the ball of its own part, of the same radius.

    Args:
        whole: built.
        in_turn: takes a block of a level apart.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Squeeze
        >>> block = Multiscale([Squeeze(), Squeeze()]).ensure_built((4, 4, 1))
        >>> [type(part).__name__ for part in multiscale_in_turn(block, lambda level: [level])]
        ['OnTail', 'Leaving', 'OnTail']
    """
    # The state is flat, in the order of the latent: what has left, level after level, then what is still moved.
    start, shape = 0, known_sizes(whole.event_shape)
    size = math.prod(shape)
    for i in range(len(whole.levels)):
        for block in whole.stage(i):
            for part in in_turn(block):
                yield OnTail(whole, i, part, start, shape)  # type: ignore[arg-type]
                shape, out = (size,), part._z_event_shape  # type: ignore[attr-defined]
        if i < len(whole.levels) - 1:
            yield Leaving(start, out)
            start += math.prod(out) // 2


@dataclasses.dataclass(frozen=True)
class OnTail:
    """A block of a level: it moves the entries of the state from `start` on.

    Attributes:
        whole: the `Multiscale`, which tells each level its condition.
        level: which one.
        block: what is applied.
        start: how many entries have left.
        outer: shape of the state before it: that of the image for the first block, flat for the others.
    """

    whole: Multiscale
    level: int
    block: Block
    start: int
    outer: Shape

    @property
    def tags(self) -> Tags:
        """The block's."""
        return self.block.tags

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """The block's, beside an identity."""
        flat = x.reshape(len(x), -1)
        event = self.block._z_event_shape if inverse else self.block.event_shape
        part = flat[:, self.start :].reshape(len(x), *known_sizes(event))
        found = self.block.local_map(part, radius, self.whole.level_conditions(condition)[self.level], inverse)
        size = flat.shape[1]
        jacobian = np.tile(np.eye(size), [len(found.jacobian), 1, 1])
        jacobian[:, self.start :, self.start :] = found.jacobian
        value = np.concatenate([flat[:, : self.start], found.value.reshape(len(x), -1)], 1)
        value = value.reshape(-1, *self.outer) if inverse else value
        # Of the identity beside it 1 is a bound, too.
        return dataclasses.replace(found, value=value, jacobian=jacobian, bound=max(1.0, found.bound))


@dataclasses.dataclass(frozen=True)
class Leaving:
    """Half of the channels go before those that stay.

    Attributes:
        start: how many entries have left before.
        shape: of what a level returned.
    """

    start: int
    shape: Sizes
    tags = Tags(affine=True)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """A permutation."""
        numbers = np.arange(math.prod(self.shape)).reshape(self.shape)
        stays, leaves = np.split(numbers, 2, axis=-1)
        order = np.concatenate([np.arange(self.start), self.start + leaves.ravel(), self.start + stays.ravel()])
        matrix = np.eye(len(order))[order]
        order, matrix = (np.argsort(order), matrix.T) if inverse else (order, matrix)
        return LocalMap(x[:, order], matrix[None], np.zeros(len(x)))
