"""The unbiased log-determinant: a power series cut at random, its terms weighted for the risk."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.numerics.log_dets.base import Probe, Seed, SeriesEstimator, checked_choice, checked_seed, probes
from inntf.numerics.log_dets.stopping_times import Geometric, StoppingTime
from inntf.numerics.log_dets.weighted_series import weighted_series
from inntf.numerics.pullback import Function, Pullback
from inntf.numerics.stateless_draws import random_bits


@keras.saving.register_keras_serializable("inntf")
class RussianRoulette(SeriesEstimator):
    r"""$\sum_{k=1}^{m+N} \frac{(-1)^{k+1}}{k} W_k\, v^\top J^k v$ with N drawn at random: without bias, at finite cost.

    The first m terms always count, $W_k = 1$; term k is reached with probability $P(N \ge k - m)$ and weighs
    $W_k = 1 / P(N \ge k - m)$.

    Args:
        distribution: of N: `Geometric(p)` or `Poisson(rate)`; `Geometric(0.5)` by default.
        exact_terms: m, at least 0.
        noise: "rademacher" (signs, the smaller variance) or "gaussian".
        samples: independent probes to average over; each costs as much as the first.  N is the same for all.
        gradient: "autodiff", the exact gradient of the returned number, which keeps every product; or "neumann", also
            unbiased, which keeps one: see `PowerSeries`.  The value returned is the same.
        per_sample: whether every sample of the batch draws an N of its own: less variance of a batch mean, for as many
            products as the largest N asks for.
        dense: whether to form the whole Jacobian first; see `PowerSeries`.

    Call arguments: a function `(batch, *event) -> (batch, *event)` that works sample by sample; `x`, `(batch, *event)`; a
    seed, int32 of shape `(2,)`; perhaps `probe=`, see `LogDetEstimator`: the seed then draws N alone.

    Returns:
        `function(x)` and `log_det`, `(batch,)`.

    Raises:
        ValueError: on other arguments, without a seed, or if the function changes the shape.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), theorems 1 and 2, here with a weight of
    its own for every sample's gradient.

    Example:
        >>> estimator = RussianRoulette(Geometric(p=0.5), exact_terms=20)
        >>> g, log_det = estimator(lambda x: 0.5 * x, tf.ones([3, 2]), seed=[1, 2])
        >>> log_det.numpy().round(3).tolist()  # 2 ln 1.5
        [0.811, 0.811, 0.811]
    """

    @typed
    def __init__(
        self,
        distribution: StoppingTime | None = None,
        exact_terms: int = 2,
        noise: str = "rademacher",
        samples: int = 1,
        gradient: str = "autodiff",
        per_sample: bool = False,
        dense: bool | None = None,
    ):
        distribution = Geometric() if distribution is None else distribution
        if not isinstance(distribution, StoppingTime):
            raise ValueError(
                f"RussianRoulette: received distribution={distribution!r}, expected Geometric(p) or Poisson(rate)."
            )
        checked_count("RussianRoulette", samples=samples)
        checked_count("RussianRoulette", least=0, exact_terms=exact_terms)
        checked_choice("RussianRoulette", noise=noise, gradient=gradient, dense=dense)
        self.distribution, self.exact_terms, self.noise, self.samples = distribution, exact_terms, noise, samples
        self.gradient, self.per_sample, self.dense = gradient, per_sample, dense
        self._table = np.concatenate([np.ones(exact_terms), 1 / distribution.survival])

    def _estimate(
        self, function: Function, x: tf.Tensor, seed: Seed, probe: Probe | None = None, cayley: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = random_bits([2, 2], checked_seed("RussianRoulette", seed))
        pull = Pullback(function, x)
        v = probes(pull.x, seeds[0], self.noise, self.samples, probe)
        drawn = self.distribution.sample(tf.shape(pull.x)[:1] if self.per_sample else [], seeds[1])
        terms = self.exact_terms + drawn
        return pull.value, weighted_series(pull, v, self._table, terms, self.gradient, self.dense, cayley)

    def variance_warning(self, lipschitz: float) -> str:
        r"""Why a branch of that Lipschitz constant can give the estimate an infinite variance; empty where it cannot.

        In the worst case, $J = L I$, the k-th term varies as $L^{2k} W_k$ and the sum must converge.
        """
        if self.distribution.finite_variance(lipschitz):
            return ""
        return (
            f"RussianRoulette: with {self.distribution!r} and a Lipschitz constant of {lipschitz:.4g} the variance may be "
            f"infinite; {self.distribution.remedy(lipschitz)}"
        )

    def warn_of_variance(self, lipschitz: float) -> bool:
        """Warn of what `variance_warning` says, if it says something; returns whether."""
        sentence = self.variance_warning(lipschitz)
        if sentence:
            warnings.warn(sentence, stacklevel=2)
        return bool(sentence)
