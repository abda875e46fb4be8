"""Where a network is likely to break: the block that loses or stretches most, in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.stability.block_errors import for_each_reached, relative_error
from inntf.stability.certificate import CertificateRow, certify
from inntf.stability.find_block import find_block


def weakest_block(model: Any, x: Any = None, condition: Any = None) -> str:
    """One sentence on the block that is likely to have broken a training, for messages that say more than "the loss is NaN".

    Of blocks whose weights are not finite the smallest is named.  Of a whole model, with data, the one that loses most of what
    reaches it, there and back, with its certified bounds in the box of what reaches it; without data the one with the largest
    bounds for all inputs.

    Args:
        model: a built block, or a model around one, with the weights of the last step that was whole.
        x: data, `(n, *event)`.
        condition: of the block, if it has one.

    Returns:
        The sentence, with the block's name, its class and its bounds of both directions.

    Raises:
        TypeError: if there is no block.

    Source: inntf; the bounds of `certify`.

    Example:
        >>> from inntf.blocks import ActNorm, Permutation
        >>> from inntf.compose import Chain
        >>> chain = Chain([ActNorm(name="norm"), Permutation.reverse()]).ensure_built((2,))
        >>> _ = chain[0].trainable_weights[1].assign([0.0, 3.0])
        >>> weakest_block(chain)
        'norm (ActNorm) stretches most: Lipschitz bounds 20.09 forward, 1 inverse'
    """
    block = find_block(model)
    broken = _smallest_nonfinite(block)
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return f"{broken[0].name}{more} ({type(broken[0]).__name__}): weights are NaN or infinite"
    if x is not None:
        return _of_data(model, x, condition)
    rows = certify(block).rows
    smallest = [row for i, row in enumerate(rows) if i + 1 == len(rows) or rows[i + 1].depth <= row.depth]
    worst = max(smallest, key=_stretch)
    return f"{worst.name} ({worst.kind}) stretches most: {_words(worst.bounds)}"


def _of_data(model: Any, x: Any, condition: Any) -> str:
    worst, found = -math.inf, "no block"

    def visit(name: str, part: Block, value: tf.Tensor, out: tf.Tensor, condition: tf.Tensor | None) -> None:
        nonlocal worst, found
        errors = relative_error(part, value, out, condition)
        lost = float(np.max(errors, initial=-math.inf)) if np.all(np.isfinite(errors)) else math.inf
        if lost > worst:
            values = value.numpy().astype(np.float64)
            box = values.min(0), values.max(0)
            bounds = part.lipschitz_bounds(box) if np.all(np.isfinite(box)) else part.lipschitz_bounds()
            share = f"{10**lost:.2g} of its input" if math.isfinite(lost) else "all of it, by values that are not finite"
            worst, found = lost, f"{name} ({type(part).__name__}) loses most at the data, {share}: {_words(bounds)} there"

    for_each_reached(model, x, condition, visit)
    return found


def _words(bounds: LipschitzBounds) -> str:
    reason = f" ({bounds.reason})" if bounds.reason and not math.isfinite(max(bounds.forward, bounds.inverse)) else ""
    return f"Lipschitz bounds {bounds.forward:.4g} forward, {bounds.inverse:.4g} inverse{reason}"


def _stretch(row: CertificateRow) -> float:
    return max(row.bounds.forward, row.bounds.inverse)


def _smallest_nonfinite(block: Block) -> list[Block]:
    """The blocks with such weights that hold no other block with some."""
    found = [part for part in block._flatten_layers() if isinstance(part, Block) and _nonfinite(part)]
    return [p for p in found if not any(o is not p and o in p._flatten_layers() for o in found)]


def _nonfinite(block: Block) -> bool:
    return any(not np.all(np.isfinite(np.asarray(w.value, np.float64))) for w in block.weights)
