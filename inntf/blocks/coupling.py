"""One-sided additive and affine couplings."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.coupling_base import Coupling
from inntf.core import LipschitzBounds
from inntf.core.bounds import unknown
from inntf.nets.lipschitz import lipschitz_constant
from inntf.numerics.boxes import NO_FINITE_BOX, largest_magnitude
from inntf.numerics.scales import ExpScale, Scale
from inntf.numerics.triangular import lower_triangular_norm
from inntf.numerics.upper_bounds import upper_product, upper_reciprocal


@keras.saving.register_keras_serializable("inntf")
class AdditiveCoupling(Coupling):
    """`z_kept = x_kept`, `z_moved = x_moved + shift(x_kept, condition)`; volume preserving, `log_det = 0`.

    Inverse: `x_moved = z_moved - shift`.  With `L = Lip(shift)` both directions have the exact worst case
    `L/2 + sqrt(1 + L^2/4)`, the norm of `[[1, 0], [L, 1]]`.

    Args:
        conditioner: a Keras layer, or a function of the output channels that makes one; its output is the shift.
            By default an MLP (vectors) or a 3x3-1x1-3x3 ConvNet (images), with a last layer of zeros.
        split: `"channels"`, `"halves"`, `"checkerboard"`, a list of channels to keep, or a `Split`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`; `condition`:
    `(batch, dim)` or feature maps of the kept part's height and width.

    Raises:
        ValueError: for a split that leaves a part empty, or a conditioner of the wrong width.

    Source: Dinh et al., "NICE" (2015), eq. 9; bound: inntf, sharper than Table 1 of "On the Invertibility of
    Invertible Neural Networks" (`1 + L`).

    Example:
        >>> z, log_det = AdditiveCoupling().forward_and_log_det(tf.ones([2, 4]))
        >>> log_det.numpy().tolist()
        [0.0, 0.0]
    """

    def transform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Add the shift."""
        return moved + raw, None

    def untransform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Subtract the shift."""
        return moved - raw, None

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """`L/2 + sqrt(1 + L^2/4)` both ways, everywhere; infinite if the conditioner has no bound."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        lipschitz, reason = lipschitz_constant(self.conditioner)
        bound = lower_triangular_norm(lipschitz, 1.0)
        return LipschitzBounds(bound, bound, "global", reason)


@keras.saving.register_keras_serializable("inntf")
class AffineCoupling(Coupling):
    """`z_kept = x_kept`, `z_moved = x_moved * scale(raw) + shift` with `[shift, raw] = conditioner(x_kept, condition)`.

    `log_det = sum log scale(raw)`.  Inverse: `x_moved = (z_moved - shift) / scale(raw)`.

    Args:
        conditioner: a Keras layer, or a function of the output channels that makes one.  The first half of its output
            channels is the shift, the second half the raw scale.  By default an MLP (vectors) or a ConvNet (images).
        scale: a scale object with a declared range, such as `ExpScale(2.0)` (default), `SigmoidScale()`,
            `SigmoidScale(low=0.5)`, `SoftplusScale()`, or your own `Scale`.
        split: `"channels"`, `"halves"`, `"checkerboard"`, a list of channels to keep, or a `Split`.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`; `condition`:
    `(batch, dim)` or feature maps of the kept part's height and width.

    Raises:
        ValueError: for a split that leaves a part empty, or a conditioner of the wrong width; TypeError: if `scale`
            is no `Scale`.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), eq. 4-8; local bounds: "On the Invertibility of
    Invertible Neural Networks", Table 1, with the 2x2 norm in place of the sum.

    Example:
        >>> block = AffineCoupling(scale=ExpScale(clamp=1.0))
        >>> x = tf.random.normal([8, 4]); z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5)
        True
    """

    parameters_per_channel = 2

    def __init__(self, *, scale: Scale | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = checked_scale(self, scale)

    def transform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale, then shift."""
        shift, raw = tf.split(raw, 2, -1)
        log_scale = self.scale.log_scale(raw)
        return moved * tf.exp(log_scale) + shift, log_scale

    def untransform(self, moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Undo the shift, then the scale."""
        shift, raw = tf.split(raw, 2, -1)
        log_scale = self.scale.log_scale(raw)
        return (moved - shift) * tf.exp(-log_scale), -log_scale

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Norms of `[[1, 0], [M, c]]` and its inverse, with `M` from the box: without one there is no bound."""
        if not self.built:
            return unknown(f"{self.name} is not built")
        if domain is None:
            return unknown(f"{self.name}: an affine coupling is only locally Lipschitz (Table 1); pass domain=(low, high)")
        lipschitz, reason = lipschitz_constant(self.conditioner)
        magnitude, low, high = largest_magnitude(domain), self.scale.low, self.scale.high
        # [shift, raw] together have Lipschitz constant L, so |dx_moved * d scale + d shift| <= L sqrt(1 + slope^2).
        mixed = upper_product(lipschitz, math.hypot(1.0, upper_product(magnitude, self.scale.lipschitz)))
        if math.isinf(magnitude):
            reason = reason or f"{self.name}: {NO_FINITE_BOX}"
        if math.isinf(self.scale.lipschitz):
            reason = reason or f"{self.scale!r} has no bounded slope"
        if low == 0:
            reason = reason or f"{self.scale!r} comes arbitrarily close to zero"
        if math.isinf(high):
            reason = reason or f"{self.scale!r} has no upper end"
        forward = lower_triangular_norm(mixed, high)
        inverse = lower_triangular_norm(upper_product(mixed, upper_reciprocal(low)), upper_reciprocal(low))
        if math.isinf(max(forward, inverse)):
            reason = reason or f"{self.name}: a bound beyond float range"
        return LipschitzBounds(forward, inverse, "local", reason)


def checked_scale(block: Any, scale: Scale | None) -> Scale:
    """The default for `None`; refuse what is no scale."""
    if scale is None:
        return ExpScale(2.0)
    if not isinstance(scale, Scale):
        raise TypeError(
            f"{block.name}: received scale of type {type(scale).__name__}, expected a Scale. For example "
            "inntf.numerics.SigmoidScale(low=0.5), or a subclass of inntf.numerics.Scale."
        )
    return scale
