"""The additive coupling in fixed-point numbers: its inverse is exact to the bit."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.coupling import AdditiveCoupling
from inntf.core import LipschitzBounds
from inntf.core.bounds import unknown
from inntf.nets.lipschitz import lipschitz_constant
from inntf.numerics.boxes import Box, check_box
from inntf.numerics.grids import check_in_range, check_on_grid, grid_limit, round_to_grid
from inntf.numerics.triangular import lower_triangular_norm


@keras.saving.register_keras_serializable("inntf")
class ExactAdditiveCoupling(AdditiveCoupling):
    """`z_kept = x_kept`, `z_moved = x_moved + round(shift(x_kept, condition) 2^bits) 2^-bits`, on a grid; `log_det = 0`.

    Data and rounded shifts are multiples of `2^-bits`, whose sums are exact below `2^(24 - bits)` (float32; 53 in place
    of 24 for float64).  So `inverse(forward(x))` returns the very bits of `x`, whatever the Lipschitz constant of the
    conditioner, through any chain of these blocks, permutations and `Squeeze`.  The gradient is the one without rounding
    (straight-through).  Data come onto the grid by `snap_to_grid` or the block `SnapToGrid`; images divided by 256 are there.

    Two things to know.  The conditioner must answer the same bits to the same bits in both directions: so it does
    with the same batch size in the same kind of call (eager, graph or XLA); across those a matrix product may sum
    in another order, and a shift that lies half way between two grid numbers may be rounded the other way.
    And `-0.0` counts as zero: it may come back as `0.0`.

    Args:
        bits: the grid holds the multiples of `2^-bits`.
        conditioner: a Keras layer, or a function of the output channels that makes one; its output is the shift.
            By default an MLP (vectors) or a 3x3-1x1-3x3 ConvNet (images), with a last layer of zeros.
        split: `"channels"`, `"halves"`, `"checkerboard"`, a list of channels to keep, or a `Split`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`; `condition`:
    `(batch, dim)` or feature maps of the kept part's height and width.

    Raises:
        ValueError: for an input off the grid, NaN or infinity, and for a shift or a sum beyond the representable range
            (in a graph it is an `InvalidArgumentError`; XLA drops assertions, there the entries become NaN); for `bits`
            that the dtype cannot hold; for a split that leaves a part empty, or a conditioner of the wrong width.

    Source: Dinh et al., "NICE" (2015), eq. 9; rounded shifts: Hoogeboom et al., "Integer Discrete Flows" (2019), eq. 5;
    the grid in floating point: inntf.

    Example:
        >>> block = ExactAdditiveCoupling(bits=8, conditioner=lambda n: keras.layers.Dense(n, activation="tanh"))
        >>> x = tf.constant([[3 / 256, 1.0, -200 / 256, 0.5]])
        >>> block.inverse(tf.identity(block(x))).numpy().tobytes() == x.numpy().tobytes()
        True
    """

    def __init__(self, bits: int = 10, **kwargs: Any):
        super().__init__(**kwargs)
        grid_limit(bits, self.variable_dtype)
        self.bits = int(bits)

    def raw_parameters(self, kept: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        """The shift, rounded to the grid."""
        kept = check_on_grid(kept, self.bits, f"{self.name}: the part kept")
        shift = round_to_grid(super().raw_parameters(kept, condition), self.bits)
        return check_in_range(shift, self.bits, f"{self.name}: the shift")

    def transform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Add the shift: exact."""
        return self._exactly(tf.add, moved, raw), None

    def untransform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Subtract the shift: exact."""
        return self._exactly(tf.subtract, moved, raw), None

    def _exactly(self, operation: Any, moved: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        moved = check_on_grid(moved, self.bits, f"{self.name}: the part moved")
        # A sum past the limit rounds to the limit or more, never back below it.
        return check_in_range(operation(moved, shift), self.bits, f"{self.name}: the shifted part")

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """`M/2 + sqrt(1 + M^2/4)` both ways, with `M = Lip(shift) + sqrt(moved entries)`, between points of the grid.

        Rounding makes the shift a step function, but two different points of the grid are at least `2^-bits` apart,
        and rounding adds at most `2^-bits` to the distance of two shifts, entry by entry.
        """
        if not self.built:
            return unknown(f"{self.name} is not built")
        if None in self.event_shape:
            return unknown(f"{self.name}: the rounding of an image of unknown size has no bound")
        lipschitz, reason = lipschitz_constant(self.conditioner)
        moved = self.split.part(tf.zeros([1, *self.event_shape], self.variable_dtype))[1]
        bound = lower_triangular_norm(lipschitz + math.sqrt(moved.shape.num_elements()), 1.0)
        return LipschitzBounds(bound, bound, "global", reason or "between points of the grid, rounding included")

    def image_box(self, domain: Box | None) -> Box | None:
        """As in `Block`, around a centre on the grid."""
        if domain is None:
            return None
        # The mean of two even multiples is on the grid.
        step, end = 2.0 ** (1 - self.bits), grid_limit(self.bits, self.variable_dtype)
        low, high = (np.clip(e, -end + step, end - step) for e in check_box(domain))
        return super().image_box((np.floor(low / step) * step, np.ceil(high / step) * step))
