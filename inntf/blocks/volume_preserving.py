"""The affine coupling that preserves volume: the log-scales of each sample sum to zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks.coupling import Coupling
from inntf.blocks.volume_preserving_local import CentringMap, ClippedAt
from inntf.core.shapes import Shape
from inntf.core.upper_bounds import upper_exp, upper_product
from inntf.nets.conditioning import dummy
from inntf.nets.linear_map_kinds import IdentityMap, LinearMap
from inntf.numerics.intervals import Interval
from inntf.numerics.transformers.affine import AffineTransform
from inntf.numerics.transformers.scales import ExpScale, Scale


@keras.saving.register_keras_serializable("inntf")
class VolumePreservingCoupling(Coupling):
    r"""GIN: `z_transformed = x_transformed * exp(s) + shift`, where the log-scales `s` of a sample sum to zero; `log_det = 0`.

    With `[shift, raw] = conditioner(x_identity, condition)` and `n` transformed entries,

        r_i = clamp * 2/pi * atan(raw_i),   s_i = r_i - (r_1 + ... + r_n) / n,   |s_i| < 2 clamp (n - 1) / n.

    Entries stretch at the cost of others, which an additive coupling cannot do; the density of a sample is that of its latent.
    With one transformed entry nothing is left to stretch, and it is an additive coupling.

    On the box where `|x| <= m` the shift and `s` move the output with the Lipschitz constant
    $\sqrt{1 + (m e^k \, 2c / \pi)^2}$, `k` the largest log-scale and `c` the clamp (centring is a projection, of norm 1);
    with it the bounds are those of `Coupling`.

    Args:
        clamp: of the log-scales before they are centred; `None` leaves them free, without bounds.
        conditioner: its first output channels are the shift, as many more the raw log-scale; the others as in `Coupling`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: as `Coupling`, or for a clamp that is not positive.

    Source: Sorrenson, Rother, Köthe, "Disentanglement by Nonlinear ICA with General Incompressible-flow Networks (GIN)" (2020),
    section 3.2; the centring of all log-scales, in place of one that makes up for the others, and the bounds: inntf.

    Example:
        >>> block = VolumePreservingCoupling(); x = tf.random.normal([8, 5])
        >>> z, log_det = block.forward_and_log_det(x)
        >>> bool(tf.reduce_max(tf.abs(block.inverse_and_log_det(z)[0] - x)) < 1e-5), float(tf.reduce_max(tf.abs(log_det)))
        (True, 0.0)
    """

    def __init__(self, *, clamp: float | None = 2.0, **kwargs: Any):
        clip = ExpScale(clamp)
        super().__init__(transformer=AffineTransform(CentredScale(clamp)), **kwargs)
        self.clamp, self._clip = clamp, clip

    def build(self, input_shape: Shape) -> None:
        """As in `Coupling`; how far a log-scale reaches depends on the number of transformed entries."""
        super().build(input_shape)
        if None not in input_shape[1:]:
            transformed = self.split.part(dummy(tuple(input_shape[1:]), self.variable_dtype))[1]
            self.transformer = AffineTransform(CentredScale(self.clamp, math.prod(transformed.shape[1:])))

    def constrain(self, raw: tf.Tensor) -> tf.Tensor:
        """The shift, and log-scales that sum to zero."""
        shift, raw_scale = tf.split(raw, 2, -1)
        log_scale = self._clip.log_scale(raw_scale)
        axes = list(range(1, raw.shape.rank))
        return tf.concat([shift, log_scale - tf.reduce_mean(log_scale, axes, keepdims=True)], -1)

    def constraint_maps(self, raw: Sequence[np.ndarray]) -> list[LinearMap]:
        """`constrain`, as maps of the conditioner's outputs."""
        nothing = np.zeros(1)
        return [IdentityMap(nothing, ClippedAt(raw[1], self.clamp)), CentringMap(nothing, None, raw[1])]

    def transform(self, u: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """As in `Coupling`; the log-derivatives sum to zero."""
        return super().transform(u, raw)[0], None

    def untransform(self, v: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """As in `Coupling`; the log-derivatives sum to zero."""
        return super().untransform(v, raw)[0], None

    def config_arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return super().config_arguments() | {"clamp": self.clamp}


@keras.saving.register_keras_serializable("inntf")
class CentredScale(Scale):
    r"""`exp(s)` of a log-scale `s` that was clipped at `clamp` and centred over `n` entries; in `(e^-k, e^k)`.

    $k = 2 c (n - 1) / n$; `lipschitz` is with respect to the number before the clip.

    Args:
        clamp: `c`, or `None` for no clip.
        count: `n`; as many as you like by default.

    Source: inntf.

    Example:
        >>> round(math.log(CentredScale(1.0, 4).high), 9)
        1.5
    """

    def __init__(self, clamp: float | None = 2.0, count: int | None = None):
        self.clamp, self.count = clamp, count
        if clamp is not None:
            reach = 2.0 * clamp * (1.0 if count is None else (count - 1) / count)
            self.low, self.high = math.exp(-reach), upper_exp(reach)
            self.lipschitz = upper_product(self.high, clamp * 2.0 / math.pi)

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """As it is."""
        return raw

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """The exponential and its slope are the same."""
        ends = np.exp(low), np.exp(high)
        return ends, ends
