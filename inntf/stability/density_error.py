"""How wrong a density is for the sake of rounding: the log-density as computed, beside that of a float64 copy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.shapes import known_sizes
from inntf.models.flow_shapes import standard_normal
from inntf.stability.find_block import find_subject
from inntf.stability.reconstruction import ErrorSummary, summarize


class DensityError(NamedTuple):
    """`|log p(x) - log p64(x)|` over a batch.

    Attributes:
        nats: summary of the errors, nats per sample.
        dim: numbers in an event: `nats / dim` are the errors a dimension.

    Source: inntf; that densities can be right where reconstructions are lost: Xu and Campbell, "Embracing the Chaos:
    Analysis and Diagnosis of Numerical Instability in Variational Flows" (2023).

    Example:
        >>> DensityError(summarize([0.02, 0.04]), dim=2).wrong
        False
    """

    nats: ErrorSummary
    dim: int

    @property
    def tolerance(self) -> float:
        """Errors above are wrong: a tenth of a nat a sample, or a thousandth a dimension if that is more."""
        return max(0.1, 1e-3 * self.dim)

    @property
    def wrong(self) -> bool:
        """Whether 1 % of the samples or more have an error above the tolerance, or none."""
        return self.nats.nonfinite_share >= 0.01 or self.nats.p99 > self.tolerance


def log_density(model: Any, block: Block, z: tf.Tensor, log_det: tf.Tensor) -> np.ndarray:
    """`log p_base(z) + log_det`, `(batch,)` in float64, in the precision of `z` up to the sum.

    A base of the model's own is evaluated in its own dtype, the standard normal in that of `z`.
    """
    subject = find_subject(model)
    default = isinstance(subject, Block) or subject.parameters.get("base") is None
    base = standard_normal(known_sizes(block._z_event_shape), z.dtype) if default else subject.base
    batch = base.batch_shape.as_list() or []
    shaped = tf.reshape(z, [-1, *batch, *known_sizes(block._z_event_shape)]) if batch else z
    prior = base.log_prob(tf.cast(shaped, base.dtype))
    return tf.reshape(prior, [-1]).numpy().astype(np.float64) + log_det.numpy().astype(np.float64)


def density_error(narrow: np.ndarray, wide: np.ndarray, dim: int) -> DensityError:
    """Of two arrays of log-densities; where both are the same infinity, they agree."""
    with np.errstate(invalid="ignore"):
        error = np.where(narrow == wide, 0.0, np.abs(narrow - wide))
    return DensityError(summarize(error), dim)
