"""Fixed monotone maps of each entry: exponential, softplus, tanh, power, leaky ReLU."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from inntf.blocks.entrywise import Entrywise
from inntf.core.errors import explain
from inntf.core.shapes import sum_event
from inntf.numerics import entry_maps

_LOG_2 = math.log(2.0)
_POSITIVE = "Only positive latents have an inverse; for positive data use inntf.compose.Invert of this block."


@keras.saving.register_keras_serializable("inntf")
class Exp(Entrywise):
    """`z = exp(x)`, entry by entry, `log_det = sum(x)`: from the real line to positive numbers.

    The direction is that of the name.  For positive data `Invert(Exp())` is `z = log(x)`.  A `z` that is zero counts as the
    smallest normal number; a negative one is an error (under XLA, which drops errors, NaN).

    Args:
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for the inverse of a negative `z` (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: change of variables.

    Example:
        >>> z, log_det = Exp().forward_and_log_det(tf.constant([[0.0, 1.0]]))
        >>> z.numpy().round(4).tolist(), float(log_det[0])
        ([[1.0, 2.7183]], 1.0)
    """

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The exponential."""
        return tf.exp(x), sum_event(x, x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The logarithm."""
        x = tf.math.log(self._inside(z, 0.0, math.inf, _POSITIVE))
        return x, sum_event(-x, x)

    def entry_map(self) -> entry_maps.EntryMap:
        """As in `Entrywise`."""
        return entry_maps.EXP


@keras.saving.register_keras_serializable("inntf")
class Softplus(Entrywise):
    r"""`z = c log(1 + exp(x / c))`, entry by entry: from the real line to positive numbers, the identity far above 0.

        log_det = sum(log sigmoid(x / c)) = -sum(softplus(-x / c))

    The inverse is $x = z + c \log(1 - e^{-z/c})$, with the digits of small and of large `z`.  For positive data
    `Invert(Softplus())` goes to the real line.  A `z` that is zero counts as the smallest normal number; a negative one is an
    error (under XLA, which drops errors, NaN).

    Args:
        softness: c, positive: how wide the bend is.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a softness that is not positive, or the inverse of a negative `z` (`tf.errors.InvalidArgumentError`
            where a graph runs).

    Source: Dugas et al., "Incorporating Second-Order Functional Knowledge for Better Option Pricing" (2000); for
    log(1 - exp(-u)): Maechler, "Accurately Computing log(1 - exp(-|a|))" (2012).

    Example:
        >>> z, log_det = Softplus().forward_and_log_det(tf.constant([[0.0]]))
        >>> round(float(z[0, 0]), 4), round(float(log_det[0]), 4)
        (0.6931, -0.6931)
    """

    def __init__(self, softness: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not softness > 0:
            raise ValueError(explain(self.name, received=f"softness={softness!r}", expected="a positive number"))
        self.softness = float(softness)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Softplus."""
        u = x / self.softness
        return self.softness * tf.math.softplus(u), sum_event(-tf.math.softplus(-u), x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Its inverse."""
        u = self._inside(z / self.softness, 0.0, math.inf, _POSITIVE)
        # log(1 - exp(-u)) in the form that keeps its digits; the other one gets what is safe for its gradient.
        small, large = tf.minimum(u, _LOG_2), tf.maximum(u, _LOG_2)
        log_rest = tf.where(u < _LOG_2, tf.math.log(-tf.math.expm1(-small)), tf.math.log1p(-tf.exp(-large)))
        return self.softness * (u + log_rest), sum_event(-log_rest, z)

    def entry_map(self) -> entry_maps.EntryMap:
        """As in `Entrywise`."""
        return entry_maps.softplus(self.softness)


@keras.saving.register_keras_serializable("inntf")
class Tanh(Entrywise):
    r"""`z = tanh(x)`, entry by entry: from the real line to (-1, 1).

        log_det = sum(log(1 - tanh(x)^2)) = 2 sum(log 2 - |x| - softplus(-2 |x|))

    Where `|x|` is above 9 (in float64 19) `z` rounds to 1 and `x` is lost; the `log_det` of `forward` stays right.  For data in
    (-1, 1) use `Invert(Tanh())`.  A `z` at an end counts as one a rounding inside; one beyond is an error (under XLA,
    which drops errors, NaN).  The logistic function is `Invert(Logit(alpha=0))`.

    Args:
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for the inverse of a `z` outside of [-1, 1] (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: change of variables.

    Example:
        >>> z, log_det = Tanh().forward_and_log_det(tf.constant([[0.0, 40.0]]))
        >>> z.numpy().tolist(), round(float(log_det[0]), 4)
        ([[0.0, 1.0]], -78.6137)
    """

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The hyperbolic tangent."""
        size = tf.where(x < 0, -x, x)  # not |x|: its derivative is 0 at 0
        # TensorFlow's tanh is some roundings off near 1, where the inverse magnifies them.
        z = tf.where(size > 1, tf.sign(x) * (1 - 2 * tf.sigmoid(-2 * size)), tf.tanh(x))
        near = tf.math.log1p(-tf.square(tf.tanh(tf.minimum(size, 0.5))))
        return z, sum_event(tf.where(size < 0.5, near, 2 * (_LOG_2 - size - tf.math.softplus(-2 * size))), x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Half the logarithm of `(1 + z) / (1 - z)`."""
        z = self._inside(z, -1.0, 1.0, "Only latents in (-1, 1) have an inverse.")
        above, below = tf.math.log1p(z), tf.math.log1p(-z)
        return (above - below) / 2, sum_event(-(above + below), z)

    def entry_map(self) -> entry_maps.EntryMap:
        """As in `Entrywise`."""
        return entry_maps.TANH


@keras.saving.register_keras_serializable("inntf")
class Power(Entrywise):
    """`z = x^p` of positive entries, `log_det = sum(log|p| + (p - 1) log(x))`: a power compresses or spreads a scale.

    Zero counts as the smallest normal number, on both sides; what is negative is an error (under XLA, which drops errors, NaN).

    Args:
        exponent: p, not 0; below 1 it draws in large values, and a negative one turns the order round.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for an exponent of 0, or negative values (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: Tukey, "Exploratory Data Analysis" (1977), chapter 3 (the ladder of powers).

    Example:
        >>> z, log_det = Power(0.5).forward_and_log_det(tf.constant([[4.0]]))
        >>> float(z[0, 0]), round(float(log_det[0]), 4)
        (2.0, -1.3863)
    """

    def __init__(self, exponent: float, **kwargs: Any):
        super().__init__(**kwargs)
        if exponent == 0:
            raise ValueError(explain(self.name, received="exponent=0", expected="another number", remedy="x^0 has no inverse."))
        self.exponent = float(exponent)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The power."""
        x = self._inside(x, 0.0, math.inf, "Powers are those of positive numbers; shift the data first, by Rescale.")
        return x**self.exponent, sum_event(math.log(abs(self.exponent)) + (self.exponent - 1) * tf.math.log(x), x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The power with exponent `1 / p`."""
        z = self._inside(z, 0.0, math.inf, _POSITIVE)
        back = 1 / self.exponent
        return z**back, sum_event(math.log(abs(back)) + (back - 1) * tf.math.log(z), z)

    def entry_map(self) -> entry_maps.EntryMap:
        """As in `Entrywise`."""
        return entry_maps.power(self.exponent)


@keras.saving.register_keras_serializable("inntf")
class LeakyReLU(Entrywise):
    """`z = x` where `x >= 0`, `z = s x` where it is not; `log_det = log(s) * (number of negative entries)`.

    Args:
        negative_slope: s, positive.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for a slope that is not positive.

    Source: Maas, Hannun, Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013); as a flow: Papamakarios
    et al., "Normalizing Flows for Probabilistic Modeling and Inference" (2021), section 3.1.

    Example:
        >>> z, log_det = LeakyReLU(0.5).forward_and_log_det(tf.constant([[-2.0, 3.0]]))
        >>> z.numpy().tolist(), round(float(log_det[0]), 4)
        ([[-1.0, 3.0]], -0.6931)
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any):
        super().__init__(**kwargs)
        if not negative_slope > 0:
            raise ValueError(explain(self.name, received=f"negative_slope={negative_slope!r}", expected="a positive number"))
        self.negative_slope = float(negative_slope)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Negative entries times the slope."""
        return tf.where(x >= 0, x, self.negative_slope * x), self._log_volume(x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Negative entries over the slope."""
        return tf.where(z >= 0, z, z / self.negative_slope), -self._log_volume(z)

    def _log_volume(self, value: tf.Tensor) -> tf.Tensor:
        return math.log(self.negative_slope) * sum_event(tf.cast(value < 0, value.dtype), value)

    def entry_map(self) -> entry_maps.EntryMap:
        """As in `Entrywise`."""
        return entry_maps.leaky(self.negative_slope)
