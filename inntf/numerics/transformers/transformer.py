"""What a coupling or an autoregressive block applies to each entry: a monotone map with parameters from a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.configured import Configured
from inntf.core.upper_bounds import upper_product, upper_reciprocal
from inntf.numerics.intervals import Interval

SecondDerivatives = tuple[Interval, Iterable[tuple[np.ndarray, Interval]]]


class Transformer(Configured):
    """A monotone map `u -> v` of each entry, with `parameters` raw numbers per entry.  Subclass it to use your own.

    Define `forward(u, raw)` and `inverse(v, raw)` for `u`, `v` of any shape `S` and `raw` of shape `S + (parameters,)`; both
    return the new value and the log-derivative of the direction called, of shape `S`, or `None` where it is zero everywhere.
    With `raw = 0` the map should be close to the identity.  It then works in `Coupling` and in `MaskedAutoregressive`.
    They have Lipschitz bounds where it declares `slopes` and `sensitivity`.

    Source: inntf; the transformer of Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference"
    (2021), section 3.1.1.

    Example:
        >>> class Sinh(Transformer):
        ...     def forward(self, u, raw):  # v = sinh(asinh(u) + raw)
        ...         v = tf.sinh(tf.asinh(u) + raw[..., 0])
        ...         return v, (tf.math.log1p(v**2) - tf.math.log1p(u**2)) / 2
        ...     def inverse(self, v, raw):
        ...         return self.forward(v, -raw)
        >>> float(Sinh().forward(tf.ones([1]), tf.zeros([1, 1]))[0][0])
        1.0
    """

    parameters: int = 1

    def forward(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """`v` and `log dv/du`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def inverse(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """`u` and `log du/dv`."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse.")

    def slopes(self, magnitude: float) -> tuple[float, float]:
        """Smallest and largest `dv/du` for `|u| <= magnitude`, whatever the parameters; nothing is known by default."""
        return 0.0, math.inf

    def sensitivity(self, magnitude: float) -> float:
        """Lipschitz constant of `v` as a function of `raw` for `|u| <= magnitude`, in l2 over an entry's parameters."""
        return math.inf

    def derivative_ranges(
        self, entries: Interval, raw: Sequence[Interval], inverse: bool = False
    ) -> tuple[Interval, list[Interval]]:
        """Ranges of `dv/du` and of `dv/draw_k` for `u` and raw parameters in intervals; of `du/dv` and `du/draw_k` if inverse.

        Local certificates read them.  By default they follow from `slopes` and `sensitivity`.

        Args:
            entries: `(low, high)` of `u` (of `v` if inverse), arrays of any shape, float64.
            raw: the same for each of the parameters.
            inverse: of the inverse map.
        """
        shape = np.shape(entries[0])
        magnitude = math.inf if inverse else float(np.max(np.abs(entries), initial=0.0))
        low, high = self.slopes(magnitude)
        reach = self.sensitivity(magnitude)
        if inverse:
            low, high, reach = upper_reciprocal(high), upper_reciprocal(low), upper_product(reach, upper_reciprocal(low))
        return (np.full(shape, low), np.full(shape, high)), [(np.full(shape, -reach), np.full(shape, reach)) for _ in raw]

    def second_derivatives(self, entries: Interval, raw: Sequence[Interval], inverse: bool = False) -> SecondDerivatives | None:
        """First derivatives at the middle of each box, and second ones in every smooth piece that it reaches, if known.

        With them a local certificate weighs parameters that move together, where ranges take each at its worst.  The first
        derivatives must be continuous.

        Args:
            entries: as in `derivative_ranges`, `(n,)`.
            raw: as there.
            inverse: of the inverse map.

        Returns:
            `None` for nothing known; or intervals `(n, 1 + parameters)`, by value and raw parameters, and, for each piece, the
            entries `(m,)` that reach it and intervals `(m, 1 + parameters, 1 + parameters)`.
        """
        return None

    def from_channels(self, raw: tf.Tensor, like: tf.Tensor) -> Any:
        """`raw`, as `forward` takes it, from a conditioner's `(..., channels * parameters)`: those of a channel together."""
        shape = tf.concat([tf.shape(like), [self.parameters]], 0)
        return tf.ensure_shape(tf.reshape(raw, shape), like.shape.concatenate(self.parameters))
