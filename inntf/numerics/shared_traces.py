"""One trace of a loop for all who would trace the same: eager loops cost a call an operation, and a trace costs seconds."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf

_ENTRIES = 64  # keys; of those not used for longest, the traces are dropped


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A `tf.function` for tensors of any batch size, quiet where it is traced again: that is a new block here, not a mistake.

    Source: inntf.

    Example:
        >>> float(traced(lambda x: x / 2)(tf.constant(3.0)))
        1.5
    """
    made = tf.function(function, autograph=False, reduce_retracing=True)
    made._omit_frequent_tracing_warning = True  # an attribute of TensorFlow's; another version that lacks it only warns
    return made


def run_shared(key: Hashable, function: Callable[..., Any], *tensors: Any) -> Any:
    """`function(*tensors)`, eagerly by a trace that all calls with an equal key share; as it is in a graph, or without a key.

    Args:
        key: whoever calls with an equal key has a function that computes the same of its tensors; `None` is no key.
        function: of tensors in any nesting.  One that reads other tensors or variables as well is found out at its
            first trace, and called as it is from then on.
        *tensors: its arguments.

    Returns:
        What the function returns.

    Source: inntf.

    Example:
        >>> [float(run_shared("half", lambda x: x / 2, tf.constant(x))) for x in (1.0, 3.0)]
        [0.5, 1.5]
    """
    if key is None or not tf.executing_eagerly() or tf.config.functions_run_eagerly():
        return function(*tensors)
    with _lock:
        shared = _known.pop(key, None) or _Shared()
        _known[key] = shared
        while len(_known) > _ENTRIES:
            _known.popitem(last=False)
    return shared(function, tensors)


class _Shared:
    """The trace of one key.  It holds on to no function: each call lends its own, in case it has to be traced."""

    def __init__(self) -> None:
        self._lent = threading.local()
        self._refused = False
        self._traced: Any = traced(lambda *tensors: self._lent.function(*tensors))

    def __call__(self, function: Callable[..., Any], tensors: tuple[Any, ...]) -> Any:
        if self._refused:
            return function(*tensors)
        before = self._traced.experimental_get_tracing_count()
        self._lent.function = function
        try:
            result = self._traced(*tensors)
            if self._traced.experimental_get_tracing_count() > before and self._reads_more(tensors):
                self._refused = True
                return function(*tensors)
        finally:
            del self._lent.function
        return result

    def _reads_more(self, tensors: tuple[Any, ...]) -> bool:
        """Whether the trace holds tensors or variables of the one who traced it."""
        return bool(self._traced.get_concrete_function(*tensors).captured_inputs)


_known: collections.OrderedDict[Hashable, _Shared] = collections.OrderedDict()
_lock = threading.Lock()
