"""What an iterative inverse says about its accuracy, and the error where it does not reach it."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class InverseCertificate:
    """How good an inverse found by iteration is, a number per sample.

    Attributes:
        error_bound: `(batch,)`, no less than the l2 distance of `x` to the true inverse; infinite where nothing is known.
        reached: `(batch,)` bool, whether the bound is within the tolerance (without one: as far as rounding lets it).
        evaluations: `(batch,)` int32, evaluations of the network that the sample took.
        lipschitz: scalar, the certified Lipschitz constant that was used.
    """

    error_bound: tf.Tensor
    reached: tf.Tensor
    evaluations: tf.Tensor
    lipschitz: tf.Tensor


class InverseNotReached(tf.errors.InvalidArgumentError):
    """The inverse did not reach its tolerance, or has no certificate because the branch is no contraction.

    A `tf.errors.InvalidArgumentError`, which is what the same failure raises inside a graph: one `except` serves both.
    The branch must satisfy `Lip(g) < 1`.

    Source: inntf.

    Example:
        >>> issubclass(InverseNotReached, tf.errors.InvalidArgumentError)
        True
    """

    def __init__(self, message: str):
        super().__init__(None, None, message)
