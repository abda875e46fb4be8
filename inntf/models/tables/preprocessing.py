"""From encoded rows to the real line and the circle: what a flow on a table begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inntf.blocks.asinh import Asinh
from inntf.blocks.bounded import Bounded
from inntf.blocks.dequantize import Dequantize
from inntf.blocks.rescale import Rescale
from inntf.compose.blockwise import Blockwise
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.models.tables.column import Column

_STRAIGHT = 2.0  # spreads from the middle, within which Asinh is about straight


def preprocessing(columns: Sequence[Column], *, seed: int | None = None, dtype: Any = None) -> Block:
    """Noise within the levels of integers and categories, then ranges to the real line, then tails drawn in; angles to radians.

        x -> (x + u) / levels -> Bounded(low, high) -> Asinh(median, 2 spreads)
        angle -> 2 pi angle / period - pi

    Nothing is learned here and every block has its inverse: what comes back lies within the ranges, integers and categories
    are whole again.

    Args:
        columns: of the table.
        seed: of the noise.
        dtype: dtype or policy of the blocks.

    Returns:
        A block on `(batch, columns)`.

    Source: inntf; Theis et al., "A note on the evaluation of generative models" (2016), section 3.1, for the noise.

    Example:
        >>> columns = [Column("a", "positive", "<f4", low=0.0), Column("b", "categorical", "<U1", labels=("x", "y"))]
        >>> preprocessing(columns, seed=0)([[2.0, 1.0], [3.0, 0.0]]).shape
        TensorShape([2, 2])
    """
    blocks: list[Block] = []
    groups: dict[int, list[int]] = {}
    for i, column in enumerate(columns):
        groups.setdefault(column.levels, []).append(i)
    if set(groups) != {0}:

        def rounded(levels: int) -> Block:
            own = None if seed is None else seed + levels
            return Dequantize(levels, seed=own, dtype=dtype) if levels else Rescale(dtype=dtype)

        blocks.append(Blockwise([rounded(levels) for levels in groups], list(groups.values()), dtype=dtype))
    ranges = np.array([_range(column) for column in columns])
    if np.isfinite(ranges).any():
        blocks.append(Bounded(ranges[:, 0], ranges[:, 1], dtype=dtype))
    periods = [column.period for column in columns]
    if any(periods):
        scale, shift = zip(*((2 * math.pi / period, -math.pi) if period else (1.0, 0.0) for period in periods), strict=True)
        blocks.append(Rescale(list(scale), list(shift), dtype=dtype))
    # Quantiles have the tails of a normal distribution; what is not bounded on both sides may have heavier ones.
    open_ended = [i for i, column in enumerate(columns) if not column.levels and not math.isfinite(sum(column.range))]
    if open_ended:
        shift, scale = zip(*((columns[i].shift, _STRAIGHT * columns[i].scale) for i in open_ended), strict=True)
        tails: Block = Asinh(list(shift), list(scale), dtype=dtype)
        rest = [i for i in range(len(columns)) if i not in open_ended]
        if rest:
            tails = Blockwise([tails, Rescale(dtype=dtype)], [open_ended, rest], dtype=dtype)
        blocks.append(tails)
    return Chain(blocks, dtype=dtype)


def _range(column: Column) -> tuple[float, float]:
    if column.period:
        return -math.inf, math.inf
    return (0.0, 1.0) if column.levels else column.range
