"""Which block loses what: each block of a composition, alone, there and back at what reaches it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.compose import Chain, Repeat
from inntf.compose.for_each_block import for_each_block
from inntf.core import Block
from inntf.core.refusals import marked_refusals, values_only
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.reconstruction import distance

_SMALLEST = 1e-12


def block_errors(block: Any, x: Any, condition: Any = None) -> dict[str, np.ndarray]:
    r"""`log10(|y - F_k^{-1}(F_k(y))| / |y|)` for each block `F_k` at what reaches it, `y = F_{k-1}(...F_1(x))`.

    The blocks of chains and of `Repeat` are taken one by one, other containers as one.  A zero counts as 1e-12; what is not
    finite is left out.  The error of the whole is at least that of its last block and can be far more than all of them: each
    error is amplified by the blocks on its way back.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`.
        condition: of the block, if it has one.

    Returns:
        By `number_name`, in order of application, `(batch,)` or fewer float64.

    Raises:
        ValueError: for data that the block refuses; TypeError: if there is no block.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Permutation, Rescale
        >>> errors = block_errors(Chain([Permutation.reverse(), Rescale(2.0, name="double")]), np.ones([2, 4], "float32"))
        >>> [name.split("_", 1)[1] for name in errors][1], errors["01_double"].tolist()
        ('double', [-12.0, -12.0])
    """
    found = {}

    def visit(name: str, part: Block, value: tf.Tensor, out: tf.Tensor, condition: tf.Tensor | None) -> None:
        relative = relative_error(part, value, out, condition)
        found[name] = relative[np.isfinite(relative)]

    for_each_reached(block, x, condition, visit)
    return found


def relative_error(part: Block, value: tf.Tensor, out: tf.Tensor, condition: tf.Tensor | None) -> np.ndarray:
    """`log10` of what a block loses there and back, by the length of its input; `(batch,)`, not finite where a value is not."""
    error = distance(value, part.inverse_and_log_det(out, condition=condition)[0]).numpy().astype(np.float64)
    norm = np.linalg.norm(value.numpy().astype(np.float64).reshape(len(error), -1), axis=1)
    with np.errstate(all="ignore"):
        return np.log10(np.maximum(error / np.maximum(norm, _SMALLEST), _SMALLEST))


def for_each_reached(block: Any, x: Any, condition: Any, function: Callable[..., None]) -> None:
    """Call `function(number_name, block, input, output, condition)` for each block of a composition, at what reaches it."""
    maps = BlockFunctions.of(block, x, condition)
    value, numbers = maps.x, itertools.count()

    def visit(part: Block) -> None:
        nonlocal value
        if isinstance(part, Chain):
            for inner in part:
                visit(inner)
            return
        if isinstance(part, Repeat):
            for_each_block(part, visit)
            return
        out = part.forward_and_log_det(value, condition=maps.condition)[0]
        function(f"{next(numbers):02d}_{part.name}", part, value, out, maps.condition)
        value = out

    with values_only(), marked_refusals():
        visit(maps.block)
