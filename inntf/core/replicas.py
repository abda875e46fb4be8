"""Gradients of several replicas, and those that are not finite: what comes between a tape and an optimizer's step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core.whole_batch import several_replicas


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
    if isinstance(getattr(optimizer, "inner_optimizer", optimizer), keras.optimizers.Optimizer):
        _stand_in(optimizer)
    return optimizer


def skip_nonfinite(optimizer: keras.optimizers.Optimizer) -> tf.Variable:
    """Let an optimizer take a gradient with NaN or infinite entries for zero; returns how often it did, a counter.

    One such batch would make weights NaN for ever.  Momentum still moves them, as after any small gradient.  On several
    replicas all skip together.  Call it in the scope of the model's strategy, before the first step.

    Args:
        optimizer: a Keras optimizer.  One that scales the loss skips such steps by itself; of it the inner one is meant.

    Returns:
        An int32 variable, 0 at first.

    Source: inntf.

    Example:
        >>> optimizer, w = keras.optimizers.SGD(1.0), keras.Variable([1.0])
        >>> skipped = skip_nonfinite(optimizer)
        >>> optimizer.apply([tf.constant([float("nan")])], [w])
        >>> float(w[0]), int(skipped)
        (1.0, 1)
    """
    stand_in = _stand_in(optimizer)
    if stand_in.skipped is None:
        once = tf.VariableAggregation.ONLY_FIRST_REPLICA  # all replicas count the same
        stand_in.skipped = tf.Variable(0, trainable=False, aggregation=once, name="skipped")
    return stand_in.skipped


def _stand_in(optimizer: keras.optimizers.Optimizer) -> _Gradients:
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner._clip_gradients, _Gradients):
        object.__setattr__(inner, "_clip_gradients", _Gradients(inner))
    return inner._clip_gradients


class _Gradients:
    """Stands in for `optimizer._clip_gradients`."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self._optimizer = optimizer
        self.skipped: tf.Variable | None = None

    def __call__(self, grads: Any) -> list[Any]:
        context = several_replicas()
        grads = list(grads) if self.skipped is None else _without_nonfinite(list(grads), context, self.skipped)
        optimizer = self._optimizer
        clip = type(optimizer)._clip_gradients
        wanted = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
        if not wanted or context is None:
            return clip(optimizer, grads)
        here = [i for i, g in enumerate(grads) if g is not None]
        for i, g in zip(here, context.all_reduce(tf.distribute.ReduceOp.SUM, [grads[i] for i in here]), strict=True):
            grads[i] = g
        return [_mapped(g, lambda values: values / context.num_replicas_in_sync) for g in clip(optimizer, grads)]


def _without_nonfinite(grads: list[Any], context: Any, skipped: tf.Variable) -> list[Any]:
    values = [g.values if isinstance(g, tf.IndexedSlices) else g for g in grads if g is not None]
    bad = 1 - tf.cast(tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in values]), tf.int32)
    if context is not None:
        bad = tf.minimum(context.all_reduce(tf.distribute.ReduceOp.SUM, bad), 1)
    skipped.assign_add(bad)
    return [_mapped(g, lambda v: tf.where(tf.equal(bad, 0), v, tf.zeros_like(v))) for g in grads]


def _mapped(gradient: Any, function: Any) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return None if gradient is None else function(gradient)
