"""A block linearized at given data: its Jacobian products as functions that are traced once a block."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.compose import backprop_mode
from inntf.core import Block
from inntf.core.refusals import marked_refusals, values_only
from inntf.nets.lipschitz_cache import settings_of
from inntf.numerics.extreme_singular_values import JacobianExtremes, lanczos_extremes, products_extremes
from inntf.numerics.shared_traces import traced
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.unrolling import with_repeated


class BlockProducts:
    """One direction of a block at given values, with the members of `inntf.numerics.Linearization`.

    What one evaluation has left (`Block.linearize`) goes into every product as an argument, so one trace serves all data and
    batch sizes; weights are read as they are.

    Args:
        maps: the block and its condition.
        value: `(batch, *event)`, an `x`, or a `z` if `inverse`.
        inverse: of the inverse map.

    Attributes:
        x: where, a fresh tensor.
        value: the image.

    Source: inntf.
    """

    def __init__(self, maps: BlockFunctions, value: tf.Tensor, inverse: bool = False, traces: _Traces | None = None):
        self._traces, self._condition, self._inverse = traces or _Traces.of(maps.block), maps.condition, inverse
        self.x = tf.identity(value)
        self.value, self._points = self._traces("linearize", self.x, self._condition, inverse=inverse)

    def jvp(self, v: tf.Tensor) -> tf.Tensor:
        """`J v`, of the shape of the image."""
        return self._product(tf.cast(v, self.x.dtype), False)

    def vjp(self, w: tf.Tensor) -> tf.Tensor:
        """`J^T w`, of the shape of `x`."""
        return self._product(tf.cast(w, self.value.dtype), True)

    def _product(self, vector: tf.Tensor, transposed: bool) -> tf.Tensor:
        way = {"inverse": self._inverse, "transposed": transposed}
        return self._traces("jacobian_product", self._points, vector, self._condition, **way)


def extremes(maps: BlockFunctions, **options: Any) -> JacobianExtremes:
    """`inntf.numerics.lanczos_extremes` of a block at its data.

    A block that iterates is evaluated once, on tapes; all others by traces, both directions at a time.
    """
    if maps.block.iterates:
        return lanczos_extremes(maps.forward, maps.inverse, maps.x, **options)
    traces = _Traces.of(maps.block)
    ahead = BlockProducts(maps, maps.x, traces=traces)
    return products_extremes(ahead, BlockProducts(maps, ahead.value, inverse=True, traces=traces), at_once=True, **options)


class _Traces:
    """The traced functions of one block, while everything but the values of its weights stays as it is."""

    def __init__(self, block: Block):
        self._block = weakref.ref(block)  # a strong one would keep the entry for ever
        self._functions: dict[Any, Callable] = {}

    @classmethod
    def of(cls, block: Block) -> _Traces:
        """Those known, or new ones."""
        settings = [settings_of(part, held=False) for part in with_repeated(block)]
        known = _known.get(block)
        if known is None or known[0] != settings:
            known = _known[block] = settings, cls(block)
        return known[1]

    def __call__(self, name: str, *tensors: Any, **way: bool) -> Any:
        key = name, tuple(way.items())
        if key not in self._functions:

            def function(*tensors: Any) -> Any:
                with backprop_mode("stored"), marked_refusals(), values_only():
                    return getattr(self._block(), name)(*tensors, **way)

            self._functions[key] = traced(function)
        return self._functions[key](*tensors)


_known: weakref.WeakKeyDictionary[Block, tuple[Any, _Traces]] = weakref.WeakKeyDictionary()
