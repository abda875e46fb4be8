"""What an iterative inverse says about its accuracy, and the error where it does not reach it."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from inntf.core.eager_failure import EagerFailure


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


def in_shape_of(log_det: tf.Tensor, found: InverseCertificate) -> InverseCertificate:
    """The certificate of flat samples, its entries in the shape of the batch; padding of an empty one is dropped.

    Args:
        log_det: of the shape of the batch.
        found: entries `(samples,)`.

    Source: inntf.

    Example:
        >>> flat = InverseCertificate(tf.zeros([6]), tf.ones([6], tf.bool), tf.ones([6], tf.int32), tf.constant(0.5))
        >>> in_shape_of(tf.zeros([2, 3]), flat).error_bound.shape
        TensorShape([2, 3])
    """
    size, shape = tf.size(log_det), tf.shape(log_det)
    names = ("error_bound", "reached", "evaluations")
    return dataclasses.replace(found, **{name: tf.reshape(getattr(found, name)[:size], shape) for name in names})


def with_rounding(
    certificate: InverseCertificate, image: tf.Tensor, event_ndims: int, scale: float = 1.0
) -> InverseCertificate:
    """The certificate of `image` where one of something else was rounded once more on the way: a sum, or a division by `scale`.

    Args:
        certificate: of what was found, its entries of the shape of the batch.
        image: `(..., *event)`, what was made of it.
        event_ndims: rank of one event.
        scale: by what it was divided; its error shrinks by as much.

    Returns:
        A certificate whose bound is `error_bound / scale` and an epsilon of the l2 norm of each image more.

    Source: inntf.

    Example:
        >>> exact = InverseCertificate(tf.zeros([2]), tf.ones([2], tf.bool), tf.ones([2], tf.int32), tf.constant(0.5))
        >>> with_rounding(exact, tf.ones([2, 4]), 1).error_bound.numpy().tolist() == [2.0**-22] * 2
        True
    """
    axes = list(range(image.shape.rank - event_ndims, image.shape.rank))
    rounding = float(np.finfo(image.dtype.as_numpy_dtype).eps) * tf.sqrt(tf.reduce_sum(tf.square(image), axes))
    return dataclasses.replace(certificate, error_bound=certificate.error_bound / scale + rounding)


class InverseNotReached(EagerFailure):
    """The inverse did not reach its tolerance, or has no certificate because the branch is no contraction.

    A `tf.errors.InvalidArgumentError`, which is what the same failure raises inside a graph: one `except` serves both.
    The branch must satisfy `Lip(g) < 1`.

    Source: inntf.

    Example:
        >>> issubclass(InverseNotReached, tf.errors.InvalidArgumentError)
        True
    """
