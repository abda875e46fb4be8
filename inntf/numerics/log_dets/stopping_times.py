"""Distributions of the random number of terms of a Russian roulette."""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.configured import Configured
from inntf.numerics.stateless_draws import uniform

_TAIL = 1e-12  # terms rarer than this are never drawn; float64 uniforms resolve it to 2e-4


class StoppingTime(Configured):
    """A distribution on 0, 1, 2, ..., given by its survival function `P(N >= k)`.

    Subclasses define `survival_at(k)`, `finite_variance` and `remedy`.
    """

    def survival_at(self, k: int) -> float:
        """`P(N >= k)`."""
        raise NotImplementedError

    def finite_variance(self, lipschitz: float) -> bool:
        """Whether the log-determinant of every branch of that Lipschitz constant is estimated with finite variance."""
        raise NotImplementedError

    def remedy(self, lipschitz: float) -> str:
        """What to do where it is not."""
        raise NotImplementedError

    @functools.cached_property
    def survival(self) -> np.ndarray:
        """`P(N >= 1), P(N >= 2), ...` as far as they are not negligible, below 1e-12."""
        values, k = [], 1
        while (value := self.survival_at(k)) >= _TAIL:
            values.append(value)
            k += 1
        return np.asarray(values, np.float64)

    def sample(self, shape: Any, seed: tf.Tensor) -> tf.Tensor:
        """int32 draws of a given shape: `N >= k` exactly where a uniform number falls below `P(N >= k)`."""
        u = uniform(tf.concat([tf.cast(shape, tf.int32), [1]], 0), seed)
        return tf.reduce_sum(tf.cast(u < tf.constant(self.survival, tf.float64), tf.int32), -1)


@keras.saving.register_keras_serializable("inntf")
class Geometric(StoppingTime):
    r"""$P(N \ge k) = (1 - p)^{k-1}$ on `1, 2, ...`: the number of throws up to the first success; mean 1/p.

    The estimate has finite variance for every branch with $L^2 < 1 - p$; at p = 0.5, L < 0.707.

    Args:
        p: probability to stop after each term, in (0, 1); at least 0.001.

    Raises:
        ValueError: for other p.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), section 3.1.

    Example:
        >>> Geometric(p=0.5).survival[:3].tolist()
        [1.0, 0.5, 0.25]
    """

    def __init__(self, p: float = 0.5):
        if not 1e-3 <= p < 1:
            raise ValueError(f"Geometric: received p={p}, expected 0.001 <= p < 1. A smaller p takes more than 1000 terms.")
        self.p = float(p)

    def survival_at(self, k: int) -> float:
        """`(1 - p)^(k - 1)`."""
        return (1 - self.p) ** (max(k, 1) - 1)

    def finite_variance(self, lipschitz: float) -> bool:
        """Whether `lipschitz^2 < 1 - p`."""
        return lipschitz**2 < 1 - self.p

    def remedy(self, lipschitz: float) -> str:
        """What to do where it is not."""
        if 1 - lipschitz**2 > 1e-3:
            return f"choose p < {1 - lipschitz**2:.3g} or a smaller Lipschitz constant."
        return "choose a smaller Lipschitz constant, or PowerSeries with its bounded bias."


@keras.saving.register_keras_serializable("inntf")
class Poisson(StoppingTime):
    r"""$P(N \ge k) = 1 - e^{-\lambda} \sum_{j<k} \lambda^j / j!$ on `0, 1, 2, ...`; mean $\lambda$.

    Its tail is lighter than any geometric one, so weights grow like k! and in the worst case the variance is infinite
    for every L > 0, in draws so rare that they are seldom met: unbiased, but trust no error bar at a large L.

    Args:
        rate: the mean, above 0 and at most 100.

    Raises:
        ValueError: for another rate.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), appendix E.

    Example:
        >>> round(float(Poisson(rate=2.0).survival[0]), 4)  # 1 - e^-2
        0.8647
    """

    def __init__(self, rate: float = 2.0):
        if not 0 < rate <= 100:
            raise ValueError(f"Poisson: received rate={rate}, expected 0 < rate <= 100. It is the mean number of terms.")
        self.rate = float(rate)

    def survival_at(self, k: int) -> float:
        """The upper tail, summed from its small end so that nothing cancels."""
        tail = [
            math.exp(j * math.log(self.rate) - self.rate - math.lgamma(j + 1)) for j in range(k, k + 60 + int(2 * self.rate))
        ]
        return math.fsum(tail)

    def finite_variance(self, lipschitz: float) -> bool:
        """Only for a constant branch."""
        return lipschitz == 0

    def remedy(self, lipschitz: float) -> str:
        """What to do where it is not."""
        return "choose more exact_terms so that the random ones are small, or Geometric(p) with lipschitz**2 < 1 - p."
