"""What a block's method returns, compared with what it has to."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.errors import explain


def checked_pair(block: Any, function: Any, result: Any, forward: bool) -> tuple[Any, Any]:
    """What a block's method returns must be the value, of the shape that the block says, and a log-determinant a sample.

    Raises:
        TypeError: for something else than a pair; ValueError: for values or log-determinants of other shapes.
    """
    who = f"{type(block).__name__}.{function.__name__}"
    if not isinstance(result, tuple | list) or len(result) != 2 or result[1] is None:
        got = f"{len(result)} results" if isinstance(result, tuple | list) else type(result).__name__
        got = "a log_det of None" if isinstance(result, tuple | list) and len(result) == 2 else got
        remedy = "Return the value and its log-determinant; where the volume does not change, tf.zeros([])."
        raise TypeError(explain(who, received=got, expected="a pair of tensors", remedy=remedy))
    out, log_det = tf.convert_to_tensor(result[0]), tf.convert_to_tensor(result[1])
    event = block._z_event_shape if forward else block._x_event_shape
    if event is not None and not out.shape[1:].is_compatible_with(event):
        expected = f"(batch, {', '.join('any' if n is None else str(n) for n in event)})"
        remedy = "A block that changes the shape overrides _forward_event_shape and _inverse_event_shape."
        raise ValueError(explain(who, received=f"values of shape {out.shape}", expected=expected, remedy=remedy))
    wrong_size = (
        log_det.shape.rank == 1 and None not in (log_det.shape[0], out.shape[0]) and log_det.shape[0] not in (1, out.shape[0])
    )
    if (log_det.shape.rank or 0) > 1 or wrong_size:
        received = f"a log_det of shape {log_det.shape} for values of shape {out.shape}"
        remedy = "Sum the logarithms over all dimensions of an event: one number per sample."
        raise ValueError(explain(who, received=received, expected="(batch,), or a scalar", remedy=remedy))
    return out, log_det
