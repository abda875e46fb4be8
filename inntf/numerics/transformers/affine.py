"""Shift and affine transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.upper_bounds import upper_product
from inntf.numerics.intervals import Interval, added, multiplied, negated, reciprocal
from inntf.numerics.transformers.scales import ExpScale, Scale
from inntf.numerics.transformers.transformer import Transformer


@keras.saving.register_keras_serializable("inntf")
class ShiftTransform(Transformer):
    """`v = u + raw`; `log dv/du = 0`: volume preserving.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (1,)`.

    Source: Dinh et al., "NICE" (2015), eq. 9.

    Example:
        >>> ShiftTransform().forward(tf.ones([2]), tf.ones([2, 1]))[0].numpy().tolist()
        [2.0, 2.0]
    """

    def forward(self, u: tf.Tensor, raw: Any) -> tuple[tf.Tensor, None]:
        """Add the shift."""
        return u + _parts(raw)[0], None

    def inverse(self, v: tf.Tensor, raw: Any) -> tuple[tf.Tensor, None]:
        """Subtract the shift."""
        return v - _parts(raw)[0], None

    def from_channels(self, raw: tf.Tensor, like: tf.Tensor) -> tuple[tf.Tensor]:
        """The shift as it is."""
        return (raw,)

    def slopes(self, magnitude: float) -> tuple[float, float]:
        """1, everywhere."""
        return 1.0, 1.0

    def sensitivity(self, magnitude: float) -> float:
        """1, everywhere."""
        return 1.0

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """1, and 1 or -1."""
        one = np.ones(np.shape(entries[0]))
        return (one, one), [(-one, -one) if inverse else (one, one)]


@keras.saving.register_keras_serializable("inntf")
class AffineTransform(Transformer):
    """`v = u * scale(raw[1]) + raw[0]`; `log dv/du = log scale(raw[1])`.

    Args:
        scale: a scale object with a declared range, `ExpScale(2.0)` by default.

    Shapes: `u`, `v`: any shape `S`; `raw`: `S + (2,)`.

    Raises:
        TypeError: if `scale` is no `Scale`.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017), eq. 3.

    Example:
        >>> AffineTransform().forward(tf.ones([2]), tf.zeros([2, 2]))[0].numpy().tolist()
        [1.0, 1.0]
    """

    parameters = 2

    def __init__(self, scale: Scale | None = None):
        if scale is not None and not isinstance(scale, Scale):
            raise TypeError(
                explain(
                    type(self).__name__,
                    received=f"scale of type {type(scale).__name__}",
                    expected="a Scale",
                    remedy="For example inntf.numerics.SigmoidScale(low=0.5), or a subclass of inntf.numerics.Scale.",
                )
            )
        self.scale = scale or ExpScale(2.0)

    def forward(self, u: tf.Tensor, raw: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale, then shift."""
        shift, log_scale = self._read(raw)
        return u * tf.exp(log_scale) + shift, log_scale

    def inverse(self, v: tf.Tensor, raw: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the shift, then the scale."""
        shift, log_scale = self._read(raw)
        return (v - shift) * tf.exp(-log_scale), -log_scale

    def slopes(self, magnitude: float) -> tuple[float, float]:
        """The range of the scale."""
        return self.scale.low, self.scale.high

    def sensitivity(self, magnitude: float) -> float:
        """`sqrt(1 + (magnitude * slope of the scale)^2)`: of shift and raw scale together."""
        return math.hypot(1.0, upper_product(magnitude, self.scale.lipschitz))

    def from_channels(self, raw: tf.Tensor, like: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All shifts, then all raw scales, as in Real NVP: left apart, for each is used as it is."""
        shift, raw_scale = tf.split(raw, 2, -1)
        return shift, raw_scale

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """`scale`, 1 and `u scale'`; of the inverse `1 / scale`, `-1 / scale` and `-(v - shift) scale' / scale^2`."""
        shift, raw_scale = raw
        scale, slope = self.scale.ranges(*raw_scale)
        if not inverse:
            one = np.ones(np.shape(entries[0]))
            return scale, [(one, one), multiplied(entries, slope)]
        divided = reciprocal(scale)
        by_scale = multiplied(multiplied(added(negated(entries), shift), slope), multiplied(divided, divided))
        return divided, [negated(divided), by_scale]

    def _read(self, raw: Any) -> tuple[tf.Tensor, tf.Tensor]:
        shift, raw_scale = _parts(raw)
        return shift, self.scale.log_scale(raw_scale)


def _parts(raw: Any) -> tuple[tf.Tensor, ...]:
    """The parameters of each entry: apart already (`from_channels`), or along the last axis."""
    return raw if isinstance(raw, tuple) else tuple(raw[..., i] for i in range(raw.shape[-1]))
