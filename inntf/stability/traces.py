"""A function of a block that is traced once, for as long as the block is configured as it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import keras

from inntf.core import Block
from inntf.numerics.shared_traces import traced


def traced_once(block: Block, key: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(block, *tensors)` as a function of the tensors, traced once a block and key, for batches of any size.

    Args:
        block: the first argument.
        key: functions with an equal key compute the same.
        function: holds on to no block, which would keep the trace for ever.
    """
    config = keras.saving.serialize_keras_object(block)
    if block not in _traces or _traces[block][0] != config:
        _traces[block] = config, {}
    known = _traces[block][1]
    if key not in known:
        itself = weakref.ref(block)
        known[key] = traced(lambda *tensors: function(itself(), *tensors))
    return known[key]


_traces: weakref.WeakKeyDictionary[Block, tuple[Any, dict]] = weakref.WeakKeyDictionary()
