"""The two directions of a block without their log-determinants."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.core.refusals import values_only

_MAPS = {"value": "forward_and_log_det", "inverse_value": "inverse_and_log_det"}


class Values:
    """Mixin of `Block`: `value` and `inverse_value`, which leave out what only a log-determinant needs.

    The exact or estimated log-determinant of a residual block and the trace of a continuous one cost more than the value;
    most blocks get theirs for nothing.  A class that defines its map anew is back at the defaults.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name, of in _MAPS.items():
            if of in cls.__dict__ and name not in cls.__dict__:
                setattr(cls, name, getattr(Values, name))

    def value(self, x: Any, condition: Any = None) -> tf.Tensor:
        """`z` alone, of a built block."""
        with values_only(weights=True):
            return self.forward_and_log_det(x, condition)[0]

    def inverse_value(self, z: Any, condition: Any = None) -> tf.Tensor:
        """`x` alone: what sampling needs."""
        with values_only(weights=True):
            return self.inverse_and_log_det(z, condition)[0]
