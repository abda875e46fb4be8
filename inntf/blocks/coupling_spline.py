"""The rational-quadratic spline coupling."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.coupling_base import Coupling
from inntf.core import LipschitzBounds
from inntf.core.bounds import unknown
from inntf.numerics.splines import spline_forward, spline_inverse


@keras.saving.register_keras_serializable("inntf")
class SplineCoupling(Coupling):
    """`z_moved = spline(x_moved; conditioner(x_kept, condition))`, a monotone rational-quadratic spline an entry.

    Inside `[-bound, bound]` the spline has `num_bins` bins; outside it is the identity.  `log_det = sum log spline'`.
    With the conditioner's last layer at zero it starts as the identity: a knot's slope is `1e-3 + softplus(raw + c)` with
    `c = log(e^0.999 - 1)`, so a raw slope here is that of Durkan et al.'s code less `c`.

    Args:
        num_bins: number of bins.
        bound: half-width of the interval.
        conditioner: a Keras layer, or a function of the output channels that makes one.  The output holds, for each
            moved channel in turn, `num_bins` raw widths, `num_bins` raw heights and `num_bins - 1` raw slopes.
        split: `"channels"`, `"halves"`, `"checkerboard"`, a list of channels to keep, or a `Split`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for fewer than two bins or a bound that is not positive.

    Source: Durkan et al., "Neural Spline Flows" (2019), eq. 4-8.

    Example:
        >>> block = SplineCoupling(num_bins=4); x = tf.random.normal([3, 4])
        >>> bool(tf.reduce_max(tf.abs(block.forward_and_log_det(x)[0] - x)) < 1e-5)
        True
    """

    def __init__(self, *, num_bins: int = 8, bound: float = 3.0, **kwargs: Any):
        if num_bins < 2 or not bound > 0:
            raise ValueError(
                f"SplineCoupling: received num_bins={num_bins}, bound={bound}, expected at least 2 bins and a positive bound. "
                "8 bins on [-3, 3] are usual for standardized data."
            )
        super().__init__(**kwargs)
        self.num_bins, self.bound = num_bins, float(bound)
        self.parameters_per_channel = 3 * num_bins - 1

    def transform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Through the spline."""
        return spline_forward(moved, self._per_channel(moved, raw), num_bins=self.num_bins, bound=self.bound)

    def untransform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Back through the spline."""
        return spline_inverse(moved, self._per_channel(moved, raw), num_bins=self.num_bins, bound=self.bound)

    def _per_channel(self, moved: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([tf.shape(moved), [self.parameters_per_channel]], 0)
        return tf.ensure_shape(tf.reshape(raw, shape), moved.shape.concatenate(self.parameters_per_channel))

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """None known: the slope of a spline with respect to its knots has no useful bound."""
        return unknown(f"{self.name}: the dependence of a spline on its knots has no bound here; use certified couplings")
