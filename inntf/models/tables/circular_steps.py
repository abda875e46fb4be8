"""The parts of a table's flow that turn its angles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inntf.blocks.autoregressive import MaskedAutoregressive
from inntf.blocks.coupling import Coupling
from inntf.blocks.rescale import Rescale
from inntf.compose.blockwise import Blockwise
from inntf.core import Block
from inntf.nets.masked import MaskedMLP
from inntf.nets.mlp import MLP
from inntf.numerics.transformers.circular_spline import CircularSplineTransform


def turned_by_couplings(size: int, angles: Sequence[int], hidden: Sequence[int], bins: int, dtype: Any) -> list[Block]:
    """Circular splines of the angles, first every other one given all the rest, then those left; no network sees a seam.

    Args:
        size: number of entries, two or more.
        angles: which of them are angles in radians.
        hidden: widths of the networks.
        bins: of the splines.
        dtype: dtype or policy of the blocks.

    Returns:
        A coupling or two; none without angles.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), section 2.2.

    Example:
        >>> [block.split.identity for block in turned_by_couplings(3, [0, 2], (8,), 4, None)]
        [[1, 2], [0, 1]]
    """

    def turned(moved: Sequence[int]) -> Block:
        identity = [i for i in range(size) if i not in moved]
        seen = [place for place, i in enumerate(identity) if i in angles]
        net = MLP(hidden, activation="silu", angles=seen or False, dtype=dtype)
        return Coupling(transformer=CircularSplineTransform(bins), conditioner=net, split=identity, dtype=dtype)

    return [turned(moved) for moved in (angles[::2], angles[1::2]) if moved]


def turned_one_by_one(size: int, reverse: bool, hidden: Sequence[int], bins: int, dtype: Any) -> Block:
    """Circular splines of entries that are all angles, each given those before it.

    Args:
        size: number of entries.
        reverse: whether the last one is the first in the order.
        hidden: widths of the network.
        bins: of the splines.
        dtype: dtype or policy of the block.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres" (2020), section 2.2 (autoregressive flows on tori).

    Example:
        >>> import math
        >>> import tensorflow as tf
        >>> block = turned_one_by_one(2, False, (8,), 4, None)
        >>> bool(tf.reduce_all(tf.abs(block(tf.constant([[3.0, 4.0]]))) <= math.pi))
        True
    """
    ordering = "right-to-left" if reverse else "left-to-right"
    net = MaskedMLP(hidden=hidden, activation="silu", direct=True, ordering=ordering, angles=True, dtype=dtype)
    return MaskedAutoregressive(conditioner=net, transformer=CircularSplineTransform(bins), dtype=dtype)


def on_entries(block: Block, entries: Sequence[int], size: int, dtype: Any) -> Block:
    """A block on some entries, the others left as they are.

    Source: inntf.

    Example:
        >>> import tensorflow as tf
        >>> on_entries(Rescale(2.0), [1], 3, None)(tf.ones([1, 3])).numpy().tolist()
        [[1.0, 2.0, 1.0]]
    """
    rest = [i for i in range(size) if i not in entries]
    return Blockwise([block, Rescale(dtype=dtype)], [list(entries), rest], dtype=dtype) if rest else block
