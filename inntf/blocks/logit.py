"""The logit transform: from the unit interval to the real line."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import NO_FINITE_BOX, Box, check_box, finite_box, is_finite
from inntf.core.domain import in_range
from inntf.core.errors import explain
from inntf.core.local_maps import LocalMap, entrywise_map
from inntf.core.shapes import sum_event
from inntf.numerics.intervals import logistic


@keras.saving.register_keras_serializable("inntf")
class Logit(Block):
    """`z = logit(y) = log(y) - log(1 - y)` with `y = alpha + (1 - 2 alpha) x`, entry by entry.

        log_det = sum(log(1 - 2 alpha) - log(y) - log(1 - y))

    Nothing is clamped: the inverse of any real `z` is defined and lies in `(-alpha, 1 - alpha) / (1 - 2 alpha)`, which
    contains [0, 1] and, for `alpha > 0`, a little more.  An `x` outside of that range is an error (under XLA, which drops
    errors, NaN).

    Args:
        alpha: how far [0, 1] is squeezed away from the ends, in [0, 1/2); 0 sends 0 and 1 to infinity.
        event_ndims, name, dtype, trainable, validate_args: as in `Block`.

    Shapes: `x`, `z`: `(batch, dim)` or `(batch, height, width, channels)`; `log_det`: `(batch,)`.

    Raises:
        ValueError: for an `alpha` outside of [0, 1/2), or an `x` outside of the range
            (`tf.errors.InvalidArgumentError` where a graph runs).

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 4.1.

    Example:
        >>> z, log_det = Logit(alpha=0.05).forward_and_log_det(tf.constant([[0.5]]))
        >>> float(z[0, 0]), round(float(log_det[0]), 4)
        (0.0, 1.2809)
    """

    uses_condition = False

    def __init__(self, alpha: float = 0.05, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0.0 <= alpha < 0.5:
            raise ValueError(
                explain(
                    self.name,
                    received=f"alpha={alpha!r}",
                    expected="a number in [0, 1/2)",
                    remedy="Use 0.05 for natural images.",
                )
            )
        self.alpha = float(alpha)

    def forward_and_log_det(self, x: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Squeeze, then the logit."""
        keep = 1.0 - 2.0 * self.alpha
        low, high = -self.alpha / keep, (1.0 - self.alpha) / keep
        x = in_range(self, x, low, high, "Bring the data to [0, 1] first, by Dequantize or Rescale.")
        # 1 - y from 1 - x: no digits are lost near 1.
        log_y, log_rest = tf.math.log(self.alpha + keep * x), tf.math.log(self.alpha + keep * (1.0 - x))
        return log_y - log_rest, sum_event(math.log(keep) - log_y - log_rest, x)

    def inverse_and_log_det(self, z: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The logistic function, then stretch."""
        keep = 1.0 - 2.0 * self.alpha
        log_slope = -tf.math.softplus(z) - tf.math.softplus(-z) - math.log(keep)
        return (tf.sigmoid(z) - self.alpha) / keep, sum_event(log_slope, z)

    def lipschitz_bounds(self, domain: tuple[Any, Any] | None = None) -> LipschitzBounds:
        """Exact on a box `(low, high)`: the slope `(1 - 2 alpha) / (y (1 - y))` is largest at an end, smallest nearest to 1/2.

        Without a box (all `x` that are defined) the forward slope has no bound; ask for `domain=(0, 1)`.
        """
        keep = 1.0 - 2.0 * self.alpha
        if domain is None:
            return LipschitzBounds(math.inf, 0.25 / keep, "global", f"{self.name} is steep at its ends; pass domain=(0, 1)")
        if not is_finite(domain):
            return LipschitzBounds(math.inf, 0.25 / keep, "global", f"{self.name}: {NO_FINITE_BOX}")
        low, high = check_box(domain)
        middle = _slope(self.alpha, keep, np.clip(0.5, low, high))
        ends = np.maximum(_slope(self.alpha, keep, low), _slope(self.alpha, keep, high))
        reason = f"{self.name} is not bounded up to the ends of that domain" if np.isinf(ends).any() else ""
        return LipschitzBounds(float(ends.max()), float(1.0 / middle.min()), "local", reason)

    def local_map(self, x: np.ndarray, radius: np.ndarray, condition: Any = None, inverse: bool = False) -> LocalMap:
        """As in `Block`: the slope is smallest (of the inverse, largest) in the middle, and monotone on either side."""
        keep = 1.0 - 2.0 * self.alpha
        reach = radius.reshape(-1, *[1] * (x.ndim - 1))
        way = self.inverse_and_log_det if inverse else self.forward_and_log_det
        value = way(tf.constant(x, tf.float64))[0].numpy()
        if inverse:
            slope, middle = (lambda z: logistic(z) * logistic(-z) / keep), 0.0
        else:
            slope, middle = (lambda x: _slope(self.alpha, keep, x)), 0.5
        inner, ends = np.clip(middle, x - reach, x + reach), [slope(x - reach), slope(x + reach)]
        all_slopes = [*ends, slope(inner)]
        return entrywise_map(value, np.min(all_slopes, 0), np.max(all_slopes, 0))

    def image_box(self, domain: Box | None) -> Box | None:
        """The images of the ends, all of space where one of them has none."""
        if domain is None:
            return None
        keep = 1.0 - 2.0 * self.alpha
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = tuple(np.log(self.alpha + keep * x) - np.log(self.alpha + keep * (1.0 - x)) for x in check_box(domain))
        return finite_box(*ends)


def _slope(alpha: float, keep: float, x: np.ndarray) -> np.ndarray:
    product = (alpha + keep * x) * (alpha + keep * (1.0 - x))
    with np.errstate(divide="ignore"):
        return np.where(product > 0.0, keep / np.maximum(product, 0.0), math.inf)
