"""The way onto the grid on which `ExactAdditiveCoupling` is exact, from both ends of a chain."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import Box, check_box
from inntf.core.tags import Tags
from inntf.numerics.grids import grid_limit, snap_to_grid


@keras.saving.register_keras_serializable("inntf")
class SnapToGrid(Block):
    """`z = round(x 2^bits) 2^-bits` forward, and the same in the inverse; the identity on the grid, `log_det = 0`.

    At the start of a chain of exact couplings it brings data onto the grid, at its end latent samples.  Off the grid it is
    no bijection: what lay between grid numbers is lost, and `inverse(forward(x))` is the grid number next to `x`.
    The gradient and the log-determinant are those of the identity.  `tags` says this to generic tools.

    Args:
        bits: the grid holds the multiples of `2^-bits`.
        rounding: `"nearest"` (ties to even), or `"down"`, which after `Dequantize` keeps every level, given 8 bits or more.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for NaN, infinity and numbers of `2^(24 - bits)` and more (float32); for `bits` that the dtype cannot
            hold, or another rounding.

    Source: inntf.

    Example:
        >>> SnapToGrid(bits=1)(tf.constant([[0.3, -1.0]])).numpy().tolist()
        [[0.5, -1.0]]
    """

    uses_condition = False
    tags = Tags(exact_data_round_trip=False, exact_latent_round_trip=False)

    def __init__(self, bits: int = 10, *, rounding: str = "nearest", **kwargs: Any):
        super().__init__(**kwargs)
        grid_limit(bits, self.variable_dtype)
        if rounding not in ("nearest", "down"):
            raise ValueError(f"{self.name}: received rounding={rounding!r}, expected 'nearest' or 'down'.")
        self.bits, self.rounding = int(bits), rounding

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Round."""
        return snap_to_grid(x, self.bits, self.rounding), tf.zeros([], x.dtype)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Round."""
        return snap_to_grid(z, self.bits, self.rounding), tf.zeros([], z.dtype)

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """None: it jumps half way between grid numbers."""
        return unknown(f"{self.name} rounds to multiples of 2^-{self.bits}")

    def image_box(self, domain: Box | None) -> Box | None:
        """The box of the values, rounding included."""
        if domain is None:
            return None
        low, high = check_box(domain)
        return low - 2.0**-self.bits, high + 2.0**-self.bits
