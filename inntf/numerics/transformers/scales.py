"""Scale activations with a declared range: from a raw network output to a positive scale.

A coupling multiplies by `scale(raw)`.  Its stability bound follows from three numbers that each activation
declares: the range `low <= scale <= high` and `lipschitz = sup |d scale / d raw|`.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from inntf.core.configured import Configured
from inntf.core.straight_line import is_straight_line
from inntf.core.upper_bounds import upper_exp, upper_product, upper_reciprocal
from inntf.numerics.intervals import Interval, logistic, monotone_ranges, multiplied, negated, reciprocal


@keras.saving.register_keras_serializable("inntf")
class Scale(Configured):
    """A positive function of a raw parameter, with its range.  Subclass it to use your own.

    Define `log_scale(raw)` (elementwise, any shape) and set `low`, `high` (the range of the scale, possibly 0 and
    infinity) and `lipschitz` (largest slope of the scale, possibly infinity).  Constructor arguments are recorded, so a
    registered subclass needs no `get_config` to be saved.

    Source: inntf; the scale of an affine coupling is that of Dinh et al., "Density estimation using Real NVP" (2017),
    equation 7, and its range gives the Lipschitz bounds of Behrmann et al., "Understanding and Mitigating Exploding
    Inverses in Invertible Neural Networks" (2021).

    Example:
        >>> class Cosh(Scale):
        ...     low, high, lipschitz = 1.0, math.inf, math.inf
        ...     def log_scale(self, raw):
        ...         return tf.math.log(tf.math.cosh(raw))
        >>> float(Cosh().scale(tf.constant(0.0)))
        1.0
    """

    low: float = 0.0
    high: float = math.inf
    lipschitz: float = math.inf

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """Natural logarithm of the scale, elementwise."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_scale.")

    def scale(self, raw: tf.Tensor) -> tf.Tensor:
        """The scale itself, elementwise."""
        return tf.exp(self.log_scale(raw))

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """Ranges of the scale and of its slope for raw parameters in `[low, high]`; by default what is declared."""
        shape = np.shape(low)
        scales = np.full(shape, self.low), np.full(shape, self.high)
        return scales, (np.full(shape, -self.lipschitz), np.full(shape, self.lipschitz))


@keras.saving.register_keras_serializable("inntf")
class ExpScale(Scale):
    """`scale = exp(clamp * f(raw))` with `f` a soft clip into (-1, 1); range `(e^-clamp, e^clamp)`.

    Args:
        clamp: largest absolute log-scale; `None` leaves the exponential unbounded.
        kind: the soft clip: `"atan"` is `2/pi * atan(raw)`, `"tanh"` is `tanh(raw)`.
        slope: factor on `raw` before the clip.  `slope=1/clamp` gives a clip of slope near one at zero.

    FrEIA's `exp(c * 0.636 * atan(raw))` is `ExpScale(0.636 * c * math.pi / 2)`.

    Raises:
        ValueError: for an unknown kind or a clamp that is not positive.

    Source: Ardizzone et al., "Guided Image Generation with Conditional Invertible Neural Networks" (2019), eq. 5
    (soft clamping of the exponent).

    Example:
        >>> ExpScale(clamp=2.0).high == math.exp(2.0)
        True
    """

    def __init__(self, clamp: float | None = 2.0, kind: str = "atan", slope: float = 1.0):
        if kind not in ("atan", "tanh"):
            raise ValueError(
                f"ExpScale: received kind={kind!r}, expected 'atan' or 'tanh'. Pass a Scale of your own for others."
            )
        if clamp is not None and not clamp > 0:
            raise ValueError(
                f"ExpScale: received clamp={clamp}, expected a positive number or None. Use AdditiveCoupling for no scale."
            )
        self.clamp, self.kind, self.slope = clamp, kind, slope
        if clamp is not None:
            self.low, self.high = math.exp(-clamp), upper_exp(clamp)
            # d/draw exp(c f) = c f' exp(c f), and f' <= its value at 0: a simple bound, not attained.
            self.lipschitz = clamp * self.high * abs(slope) * (2 / math.pi if kind == "atan" else 1.0)

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """`clamp * f(slope * raw)`."""
        raw = raw if self.slope == 1.0 else raw * self.slope
        if self.clamp is None:
            return raw
        if self.kind == "tanh":
            return self.clamp * tf.tanh(raw)
        angle = tf.atan2(raw, tf.ones_like(raw)) if is_straight_line() else tf.atan(raw)  # LiteRT has no arcus tangent of one
        return (self.clamp * 2 / math.pi) * angle

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """Exact: the scale is monotone, its slope has one peak."""
        return monotone_ranges(self._scale_and_slope, self._peak(), low, high)

    def _scale_and_slope(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = self.slope * raw
        if self.clamp is None:
            return np.exp(raw), self.slope * np.exp(raw)
        clipped = np.tanh(raw) if self.kind == "tanh" else 2 / math.pi * np.arctan(raw)
        steep = 1 - clipped**2 if self.kind == "tanh" else 2 / math.pi / (1 + raw**2)
        scale = np.exp(self.clamp * clipped)
        return scale, self.slope * self.clamp * steep * scale

    def _peak(self) -> float:
        """Where the slope is steepest: the root of the derivative of its logarithm."""
        if self.clamp is None:
            return math.inf
        at = self.clamp / math.pi
        if self.kind == "tanh":
            at = math.atanh(self.clamp / (1 + math.sqrt(1 + self.clamp**2)))
        return at / self.slope if self.slope else math.inf


@keras.saving.register_keras_serializable("inntf")
class SigmoidScale(Scale):
    """`scale = low + (high - low) * sigmoid(raw + offset)`, range `(low, high)`.

    `SigmoidScale()` is Glow's `sigmoid(raw + 2)`; `SigmoidScale(low=0.5)` squeezes it into (0.5, 1), which bounds the
    inverse scale by 2.

    Args:
        low, high: the range.
        offset: added to `raw`; 2 starts near the upper end.

    Raises:
        ValueError: unless `0 <= low < high`.

    Source: Kingma & Dhariwal, "Glow" (2018), released code; Behrmann et al., "Understanding and mitigating exploding
    inverses" (2021), section 5 and supplement C (the range (0.5, 1)).

    Example:
        >>> round(float(SigmoidScale(low=0.5).scale(tf.constant(-50.0))), 6)
        0.5
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, offset: float = 2.0):
        if not 0 <= low < high:
            raise ValueError(
                f"SigmoidScale: received the range ({low}, {high}), expected 0 <= low < high. Swap or shift the ends."
            )
        self.low, self.high, self.offset = float(low), float(high), float(offset)
        self.lipschitz = (self.high - self.low) / 4

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """Logarithm of the scale; exact far into the tails where `low` is zero."""
        raw = raw + self.offset
        if self.low == 0.0:
            return tf.math.log_sigmoid(raw) + (math.log(self.high) if self.high != 1.0 else 0.0)
        return tf.math.log(self.low + (self.high - self.low) * tf.sigmoid(raw))

    def scale(self, raw: tf.Tensor) -> tf.Tensor:
        """The scale itself."""
        out = tf.sigmoid(raw + self.offset)
        if (self.low, self.high) == (0.0, 1.0):
            return out
        return self.low + (self.high - self.low) * out

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """Exact: the scale is monotone, its slope has one peak."""
        return monotone_ranges(self._scale_and_slope, -self.offset, low, high)

    def _scale_and_slope(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s, width = logistic(raw + self.offset), self.high - self.low
        return self.low + width * s, width * s * logistic(-raw - self.offset)


@keras.saving.register_keras_serializable("inntf")
class SoftplusScale(Scale):
    """`scale = low + softplus(raw + offset)`, range `(low, inf)`; near 1 at zero by default.

    Args:
        low: smallest scale.
        offset: added to `raw`; the default makes `softplus(offset) = 1`.

    Raises:
        ValueError: if `low` is negative.

    Source: inntf; the usual positive reparametrization of Gaussian scales.

    Example:
        >>> round(float(SoftplusScale().scale(tf.constant(0.0))), 3)
        1.001
    """

    lipschitz = 1.0

    def __init__(self, low: float = 1e-3, offset: float = math.log(math.e - 1)):
        if low < 0:
            raise ValueError(f"SoftplusScale: received low={low}, expected a number >= 0. A negative scale has no logarithm.")
        self.low, self.offset = float(low), float(offset)

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """Logarithm of the scale."""
        return tf.math.log(self.scale(raw))

    def scale(self, raw: tf.Tensor) -> tf.Tensor:
        """The scale itself."""
        return self.low + tf.nn.softplus(raw + self.offset)

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """Exact: the scale and its slope are monotone."""
        return monotone_ranges(self._scale_and_slope, math.inf, low, high)

    def _scale_and_slope(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw = raw + self.offset
        return self.low + np.logaddexp(0.0, raw), logistic(raw)


@keras.saving.register_keras_serializable("inntf")
class ReciprocalScale(Scale):
    r"""`scale = 1 / of(raw)`, range `(1 / high, 1 / low)` of the other's: what bounded one direction bounds the other.

    A coupling divides by its scale on the way from latent to data.  `SigmoidScale(low, high)` keeps the forward map from
    growing and lets samples grow by `1 / low`; its reciprocal does the opposite: samples never grow by more than `high`.

    Args:
        of: another scale.

    Raises:
        TypeError: if `of` is no `Scale`.

    Source: inntf; scales are inverted in the same way by swapping the directions of a coupling (Papamakarios et al.,
    "Masked Autoregressive Flow for Density Estimation" (2017), section 3.4).

    Example:
        >>> scale = ReciprocalScale(SigmoidScale(low=0.5))
        >>> scale.low, scale.high
        (1.0, 2.0)
    """

    def __init__(self, of: Scale):
        if not isinstance(of, Scale):
            raise TypeError(f"ReciprocalScale: received {of!r}, expected a Scale, such as SigmoidScale(low=0.5).")
        self.of = of
        self.low, self.high = 1.0 / of.high, upper_reciprocal(of.low)
        # |(1/s)'| = |s'| / s^2: a simple bound, not attained.
        self.lipschitz = math.inf if math.isinf(self.high) else upper_product(of.lipschitz, upper_product(self.high, self.high))

    def log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """`-log of(raw)`."""
        return -self.of.log_scale(raw)

    def ranges(self, low: np.ndarray, high: np.ndarray) -> tuple[Interval, Interval]:
        """`1 / s` and `-s' / s^2` of the other's ranges."""
        scale, slope = self.of.ranges(low, high)
        divided = reciprocal(scale)
        return divided, negated(multiplied(slope, multiplied(divided, divided)))
