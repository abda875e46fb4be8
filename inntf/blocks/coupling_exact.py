"""The additive coupling in fixed-point numbers: its inverse is exact to the bit."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.coupling import Coupling
from inntf.core import Block, LipschitzBounds
from inntf.core.bounds import unknown
from inntf.core.boxes import Box, check_box
from inntf.core.local_maps import LocalMap
from inntf.core.shapes import is_open, known_sizes
from inntf.nets.conditioning import dummy
from inntf.nets.lipschitz import lipschitz_constant
from inntf.numerics.grids import check_in_range, check_on_grid, grid_limit, round_to_grid
from inntf.numerics.norms.triangular import lower_triangular_norm
from inntf.numerics.transformers.affine import ShiftTransform


@keras.saving.register_keras_serializable("inntf")
class ExactAdditiveCoupling(Coupling):
    """`z_transformed = x_transformed + round(shift(x_identity, condition) 2^bits) 2^-bits`, on a grid; `log_det = 0`.

    Data and rounded shifts are multiples of `2^-bits`, whose sums are exact below `2^(24 - bits)` (float32; 53 in place
    of 24 for float64).  So `inverse(forward(x))` returns the very bits of `x` (but for the sign of zero), whatever the
    Lipschitz constant of the conditioner, through any chain of these blocks, permutations and `Squeeze`.  Gradients ignore the
    rounding.  Data come onto the grid by `snap_to_grid` or the block `SnapToGrid`; images divided by 256 are there.

    The conditioner must answer the same bits both ways: it does with the same batch size in the same kind of call (eager,
    graph or XLA); across those a matrix product may sum in another order, and a shift be rounded the other way.

    Args:
        bits: the grid holds the multiples of `2^-bits`.
        conditioner: its output is the shift; the others as in `Coupling`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: as `Coupling`; for `bits` that the dtype cannot hold; for an input off the grid or not finite, a shift or a
            sum out of range (in a graph an `InvalidArgumentError`; XLA drops assertions, there the entries become NaN).

    Source: Dinh et al., "NICE" (2015), eq. 9; rounded shifts: Hoogeboom et al., "Integer Discrete Flows" (2019), eq. 5;
    the grid in floating point: inntf.

    Example:
        >>> block = ExactAdditiveCoupling(bits=8, conditioner=lambda n: keras.layers.Dense(n, activation="tanh"))
        >>> x = tf.constant([[3 / 256, 1.0, -200 / 256, 0.5]])
        >>> block.inverse(tf.identity(block(x))).numpy().tobytes() == x.numpy().tobytes()
        True
    """

    def __init__(self, bits: int = 10, **kwargs: Any):
        super().__init__(transformer=ShiftTransform(), **kwargs)
        grid_limit(bits, self.variable_dtype)
        self.bits = int(bits)

    def raw_parameters(self, identity: tf.Tensor, condition: tf.Tensor | None, network: Any = None) -> tf.Tensor:
        """The shift, rounded to the grid."""
        identity = check_on_grid(identity, self.bits, f"{self.name}: the identity part")
        shift = round_to_grid(super().raw_parameters(identity, condition, network), self.bits)
        return check_in_range(shift, self.bits, f"{self.name}: the shift")

    def transform(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Add the shift: exact."""
        return self._exactly(tf.add, u, raw), None

    def untransform(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Subtract the shift: exact."""
        return self._exactly(tf.subtract, v, raw), None

    def _exactly(self, operation: Any, entries: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        entries = check_on_grid(entries, self.bits, f"{self.name}: the transformed part")
        # A sum past the limit rounds to the limit or more, never back below it.
        return check_in_range(operation(entries, shift), self.bits, f"{self.name}: the shifted part")

    def lipschitz_bounds(self, domain: Box | None = None) -> LipschitzBounds:
        """`M/2 + sqrt(1 + M^2/4)` both ways, with `M = Lip(shift) + sqrt(transformed entries)`, between points of the grid.

        Rounding makes the shift a step function, but two different points of the grid are at least `2^-bits` apart,
        and rounding adds at most `2^-bits` to the distance of two shifts, entry by entry.
        """
        if not self.built:
            return unknown(f"{self.name} is not built")
        if is_open(self.event_shape):
            return unknown(f"{self.name}: the rounding of an image of unknown size has no bound")
        lipschitz, reason = lipschitz_constant(self.conditioner)
        entries = self.split.part(dummy(known_sizes(self.event_shape), self.variable_dtype))[1].shape.num_elements()
        bound = lower_triangular_norm(lipschitz + math.sqrt(entries), 1.0)
        return LipschitzBounds(bound, bound, "global", reason or "between points of the grid, rounding included")

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: rounding makes it a step function, of which only the bound between points of the grid is known."""
        return Block.local_map(self, x, radius, condition, inverse)

    def image_box(self, domain: Box | None) -> Box | None:
        """As in `Block`, around a centre on the grid."""
        if domain is None:
            return None
        # The mean of two even multiples is on the grid.
        step, end = 2.0 ** (1 - self.bits), grid_limit(self.bits, self.variable_dtype)
        low, high = (np.clip(e, -end + step, end - step) for e in check_box(domain))
        return super().image_box((np.floor(low / step) * step, np.ceil(high / step) * step))
