"""Several replicas as one device: draws and statistics of the whole batch, of which each replica has a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def draw_rows(draw: Callable[[Any], tf.Tensor], shape: Any, *, copies: int = 1) -> tf.Tensor:
    """The rows of this replica among those that one device would draw for the whole batch.

    The same seed on each replica would give all of them the same numbers, another one for each would train something else
    than one device.  So each draws for the whole batch and keeps its own rows.  Parts must be of one size: where the last
    batch of a pass is divided unevenly, some samples of it share their numbers.

    Args:
        draw: makes random numbers of a shape, the same on each replica: by a seed.
        shape: of this replica's numbers, the batch first.
        copies: how many copies of the batch lie one after the other in these rows (samples for each of its entries).

    Returns:
        A tensor of that shape; outside of `strategy.run`, and on one replica, `draw(shape)`.

    Source: inntf.

    Example:
        >>> draw_rows(lambda shape: tf.random.stateless_uniform(shape, [1, 2]), [3, 2]).shape
        TensorShape([3, 2])
    """
    context = several_replicas()
    if context is None:
        return draw(shape)
    n, shape = context.num_replicas_in_sync, tf.convert_to_tensor(shape)
    whole = draw(tf.concat([shape[:1] * n, shape[1:]], 0))
    parts = tf.reshape(whole, tf.concat([[copies, n, shape[0] // copies], shape[1:]], 0))
    return tf.reshape(tf.gather(parts, context.replica_id_in_sync_group, axis=1), shape)


def whole_batch(*parts: tf.Tensor) -> Any:
    """The batch of all replicas, from each one's rows of it: for what is no mean over samples, such as a discrepancy.

    The gradient goes back to the rows of each replica; scaled by the number of replicas, as losses are for
    `tf.distribute`, and added up it is that of one device.

    Args:
        *parts: floating tensors `(rows, ...)`, of the same number of rows.

    Returns:
        Tensors `(all rows, ...)`, one alone for one part; outside of `strategy.run`, and on one replica, the parts themselves.

    Source: inntf; as `tf.distribute.ReplicaContext.all_gather`.

    Example:
        >>> whole_batch(tf.zeros([3, 2])).shape
        TensorShape([3, 2])
    """
    context = several_replicas()
    if context is None:
        return parts[0] if len(parts) == 1 else parts
    # By sums: gathering, as TensorFlow has it, does not run within a step of several workers.
    n, i, rows = context.num_replicas_in_sync, context.replica_id_in_sync_group, tf.shape(parts[0])[0]
    sizes = context.all_reduce(tf.distribute.ReduceOp.SUM, rows * tf.one_hot(i, n, dtype=tf.int32))
    before = tf.reduce_sum(sizes[:i])
    ends = [before, tf.reduce_sum(sizes) - before - rows]
    padded = [tf.pad(part, [ends, *[[0, 0]] * (part.shape.rank - 1)]) for part in parts]
    found = context.all_reduce(tf.distribute.ReduceOp.SUM, padded)
    return found[0] if len(found) == 1 else tuple(found)


def whole_moments(x: tf.Tensor, axes: list[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance over the batch of all replicas, of differences from its first row.

    Where all rows are the same, mean and variance are exact: `x - mean` is zero, and no rounding decides about its sign.

    Args:
        x: this replica's rows, at least one.
        axes: to take them over, the first axis among them.

    Returns:
        Mean and variance of the other axes.

    Source: inntf; Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance" (1983), section 3, for the shift.

    Example:
        >>> [value.numpy().tolist() for value in whole_moments(tf.constant([[1.0, 0.1], [3.0, 0.1], [2.0, 0.1]]), [0])]
        [[2.0, 0.10000000149011612], [0.6666666865348816, 0.0]]
    """
    context = several_replicas()
    shift = tf.stop_gradient(x[tuple(slice(1) if axis in axes else slice(None) for axis in range(x.shape.rank))])
    if context is None:
        mean, variance = tf.nn.moments(x - shift, axes)
        return mean + tf.squeeze(shift, axes), variance
    total = tf.distribute.ReduceOp.SUM
    shift = context.all_reduce(total, tf.where(tf.equal(context.replica_id_in_sync_group, 0), shift, tf.zeros_like(shift)))
    count = tf.cast(tf.reduce_prod(tf.gather(tf.shape(x), axes)), x.dtype)
    count, summed = context.all_reduce(total, [count, tf.reduce_sum(x - shift, axes, keepdims=True)])
    mean = summed / count
    variance = context.all_reduce(total, tf.reduce_sum(tf.square(x - shift - mean), axes)) / count
    return tf.squeeze(shift + mean, axes), variance


def several_replicas() -> Any:
    """The replica context within a step of several replicas; `None` outside of one, and on one replica."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def mean_of_part(values: tf.Tensor) -> tf.Tensor:
    """The mean of what a replica has, a scalar; 0 of nothing, which is what the last batch of a pass may leave it.

    Source: inntf.

    Example:
        >>> float(mean_of_part(tf.constant([1.0, 2.0]))), float(mean_of_part(tf.zeros([0])))
        (1.5, 0.0)
    """
    mean = tf.reduce_mean(values)
    return tf.where(tf.size(values) > 0, mean, tf.zeros_like(mean))
