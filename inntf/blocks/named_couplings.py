"""Couplings by the names that the field gives them: additive, affine, spline."""

from __future__ import annotations

from typing import Any

import keras

from inntf.blocks.coupling import Coupling
from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.scales import Scale
from inntf.numerics.transformers.spline import SplineTransform


@keras.saving.register_keras_serializable("inntf")
class AdditiveCoupling(Coupling):
    """`z_transformed = x_transformed + shift(x_identity, condition)`; volume preserving, `log_det = 0`.

    With `L = Lip(shift)` both directions have the exact worst case `L/2 + sqrt(1 + L^2/4)`, the norm of `[[1, 0], [L, 1]]`.

    Arguments, shapes and errors are those of `Coupling`, but for `transformer`; the conditioner's output is the shift.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Source: Dinh et al., "NICE" (2015), eq. 9; bound: inntf, sharper than Table 1 of "On the Invertibility of
    Invertible Neural Networks" (`1 + L`).

    Example:
        >>> import tensorflow as tf
        >>> z, log_det = AdditiveCoupling().forward_and_log_det(tf.ones([2, 4]))
        >>> log_det.numpy().tolist()
        [0.0, 0.0]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(transformer=ShiftTransform(), **kwargs)


@keras.saving.register_keras_serializable("inntf")
class AffineCoupling(Coupling):
    """`z_transformed = x_transformed * scale(raw) + shift` with `[shift, raw] = conditioner(x_identity, condition)`.

    `log_det = sum log scale(raw)`.  Inverse: `x_transformed = (z_transformed - shift) / scale(raw)`.

    Args:
        scale: a scale object with a declared range: `ExpScale(2.0)` (default), `SigmoidScale(low=0.5)`, your own `Scale`, ...
        conditioner: its first output channels are the shift, as many more the raw scale; the others as in `Coupling`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: as `Coupling`; TypeError: if `scale` is no `Scale`.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), eq. 4-8; local bounds: "On the Invertibility of
    Invertible Neural Networks", Table 1, with the 2x2 norm in place of the sum.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.numerics import ExpScale
        >>> block = AffineCoupling(scale=ExpScale(clamp=1.0))
        >>> x = tf.random.normal([8, 4]); z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5)
        True
    """

    def __init__(self, *, scale: Scale | None = None, **kwargs: Any):
        transformer = AffineTransform(scale)
        super().__init__(transformer=transformer, **kwargs)
        self.scale = transformer.scale


@keras.saving.register_keras_serializable("inntf")
class SplineCoupling(Coupling):
    """`z_transformed = spline(x_transformed; conditioner(x_identity, condition))`, rational-quadratic, entry by entry.

    Inside `[-bound, bound]` the spline has `num_bins` bins; outside it is the identity, by default.
    `log_det = sum log spline'`.  With the conditioner's last layer at zero it starts as the identity: a knot's slope is
    `1e-3 + softplus(raw + c)` with `c = log(e^0.999 - 1)`, so a raw slope here is that of Durkan et al.'s code less `c`.

    Args:
        num_bins, bound, tails: as in `inntf.numerics.SplineTransform`.
        conditioner: its output holds, for each transformed channel in turn, `num_bins` raw widths, `num_bins` raw heights
            and `num_bins - 1` raw slopes (with other tails 2 more); the others as in `Coupling`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for fewer than two bins or a bound that is not positive.

    Source: Durkan et al., "Neural Spline Flows" (2019), eq. 4-8.

    Example:
        >>> import tensorflow as tf
        >>> block = SplineCoupling(num_bins=4); x = tf.random.normal([3, 4])
        >>> bool(tf.reduce_max(tf.abs(block.forward_and_log_det(x)[0] - x)) < 1e-5)
        True
    """

    def __init__(self, *, num_bins: int = 8, bound: float = 3.0, tails: str = "identity", **kwargs: Any):
        transformer = SplineTransform(num_bins, bound, tails)
        super().__init__(transformer=transformer, **kwargs)
        self.num_bins, self.bound = transformer.num_bins, transformer.bound
