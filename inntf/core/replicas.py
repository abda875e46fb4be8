"""Gradients of several replicas: clipped as one device would clip them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def clip_what_replicas_add_up(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Let an optimizer clip the gradient of the whole batch under a `tf.distribute.Strategy`; returns it.

    Keras clips on each replica and adds up afterwards, so that `n` replicas take steps of up to `n` times the norm asked for,
    in another direction than one device.  Here the replicas' gradients are added up first:

        g = clip(sum_r g_r) / n on each of the n replicas, which Keras adds up to clip(sum_r g_r)

    Of a loss that was scaled, too.  On one device, and for an optimizer that does not clip, nothing changes.  `compile`
    of our models calls it; in a loop of your own call it once.

    Args:
        optimizer: a Keras optimizer; of one that scales the loss the inner one is meant.

    Returns:
        The optimizer.

    Source: inntf; keras-team/keras, `BaseOptimizer._backend_apply_gradients`, for the order of the two.

    Example:
        >>> optimizer = clip_what_replicas_add_up(keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
        >>> optimizer.global_clipnorm
        1.0
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(inner, keras.optimizers.Optimizer) and not isinstance(inner._clip_gradients, _Clip):
        object.__setattr__(inner, "_clip_gradients", _Clip(inner))
    return optimizer


class _Clip:
    """Stands in for `optimizer._clip_gradients`."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self._optimizer = optimizer

    def __call__(self, grads: Any) -> list[Any]:
        optimizer, context = self._optimizer, tf.distribute.get_replica_context()
        clip = type(optimizer)._clip_gradients
        wanted = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
        if not wanted or context is None or context.num_replicas_in_sync == 1:
            return clip(optimizer, grads)
        here = [i for i, g in enumerate(grads) if g is not None]
        grads = list(grads)
        for i, g in zip(here, context.all_reduce(tf.distribute.ReduceOp.SUM, [grads[i] for i in here]), strict=True):
            grads[i] = g
        return [_divided(g, context.num_replicas_in_sync) for g in clip(optimizer, grads)]


def _divided(gradient: Any, n: int) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / n, gradient.indices, gradient.dense_shape)
    return None if gradient is None else gradient / n
