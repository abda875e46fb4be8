"""The truncated power series of the log-determinant with Hutchinson's trace estimator."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from inntf.core.arguments import checked_count, typed
from inntf.numerics.log_dets.base import Probe, Seed, SeriesEstimator, checked_choice, checked_seed, probes
from inntf.numerics.log_dets.weighted_series import weighted_series
from inntf.numerics.pullback import Function, Pullback


@keras.saving.register_keras_serializable("inntf")
class PowerSeries(SeriesEstimator):
    r"""$\sum_{k=1}^{n} \frac{(-1)^{k+1}}{k} v^\top J^k v$: the power series of the log-determinant, cut after n terms.

    Unbiased for the truncated series; what is cut is bounded by `truncation_bound(lipschitz, terms, dim)`.

    Args:
        terms: n, at least 1.
        noise: "rademacher" (signs, the smaller variance) or "gaussian".
        samples: independent probes to average over; each costs as much as the first.
        gradient: "autodiff", the exact gradient of the returned number, which keeps n products; or "neumann", whose mean is
            that of the truncated series' gradient and which keeps one product, $w^\top J v$ with
            $w = \sum_{k<n} (-J^\top)^k v$.  The value returned is the same.
        dense: whether to form the whole Jacobian and take the products from it: the same number, cheaper where the event
            is smaller than about n; `None` decides by cost.

    Call arguments: a function `(batch, *event) -> (batch, *event)` that works sample by sample; `x`, `(batch, *event)`; a
    seed, int32 of shape `(2,)`; or, in its place, `probe=`, see `LogDetEstimator`.

    Returns:
        `function(x)` and `log_det`, `(batch,)`.

    Raises:
        ValueError: on other arguments, without a seed, or if the function changes the shape.

    Source: Behrmann et al., "Invertible Residual Networks" (2019), algorithm 2; the gradient is Chen et al., "Residual
    Flows for Invertible Generative Modeling" (2019), theorem 2, here with a weight of its own for every sample.

    Example:
        >>> g, log_det = PowerSeries(terms=20)(lambda x: 0.5 * x, tf.ones([3, 2]), seed=[1, 2])
        >>> log_det.numpy().round(4).tolist()  # 2 ln 1.5
        [0.8109, 0.8109, 0.8109]
    """

    @typed
    def __init__(
        self,
        terms: int = 10,
        noise: str = "rademacher",
        samples: int = 1,
        gradient: str = "autodiff",
        dense: bool | None = None,
    ):
        checked_count("PowerSeries", terms=terms, samples=samples)
        checked_choice("PowerSeries", noise=noise, gradient=gradient, dense=dense)
        self.terms, self.noise, self.samples, self.gradient, self.dense = terms, noise, samples, gradient, dense

    def _estimate(
        self, function: Function, x: tf.Tensor, seed: Seed, probe: Probe | None = None, cayley: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = checked_seed("PowerSeries", seed) if probe is None or seed is not None else None
        pull = Pullback(function, x)
        v = probes(pull.x, seed, self.noise, self.samples, probe)
        return pull.value, weighted_series(pull, v, np.ones(self.terms), self.terms, self.gradient, self.dense, cayley)
