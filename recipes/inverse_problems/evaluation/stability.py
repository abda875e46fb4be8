"""Whether the map behind a posterior is invertible in practice: condition numbers and reconstruction errors."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from inntf.stability import condition_number, reconstruction_error, summarize
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.training import Pairs

_CONDITIONED, _RECONSTRUCTED = 64, 1000


def stability(method: Method, held_out: Pairs) -> dict[str, float | None]:
    """Of an invertible model on unseen pairs, in standardized coordinates; `None` for a model that is none.

    Args:
        method: the trained model.
        held_out: unseen pairs.
    """
    block = method.invertible_block()
    if block is None:
        return {"condition_median": None, "condition_max": None, "reconstruction_max": None, "not_finite": None}

    x, y = (tf.constant(a[:_RECONSTRUCTED]) for a in (held_out.x, held_out.y))
    value, condition = method.block_input(x, y)
    few = None if condition is None else condition[:_CONDITIONED]
    conditions = condition_number(block, value[:_CONDITIONED], few).numpy()
    errors = summarize(reconstruction_error(block, value, condition))
    return {
        "condition_median": float(np.median(conditions)),
        "condition_max": float(np.max(conditions)),
        "reconstruction_max": float(errors.max),
        "not_finite": float(errors.nonfinite_share),
    }
