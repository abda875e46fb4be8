"""Batches of images as tf.data pipelines: repeatable, and able to start in the middle of a run."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.image_data import check_images


def batches(
    images: np.ndarray,
    batch_size: int,
    seed: int,
    augment: bool = False,
    *,
    crop: int = 0,
    labels: np.ndarray | None = None,
    start: int = 0,
) -> tf.data.Dataset:
    """Endless batches, shuffled anew every pass; the same seed gives the same batches.

    Args:
        images: `(n, height, width, channels)` uint8.
        batch_size: images per batch; what is left over at the end of a pass is dropped (it differs from pass to pass).
        seed: of the order and of the mirroring.
        augment: mirror each image left to right with probability 1/2; see `ImageData.mirrors` for whether it may.
        crop: move each image by up to so many pixels in both directions, zeros coming in at the edges.
        labels: `(n,)`; then batches are pairs.
        start: number of batches to leave out, at no cost: where a resumed run goes on.

    Returns:
        A dataset of `(batch_size, height, width, channels)` uint8, or of pairs with `(batch_size,)` labels.

    Raises:
        UserError: if the images are not images, or fewer than a batch.
    """
    check_images(images)
    per_pass = len(images) // batch_size if batch_size > 0 else 0
    if not per_pass:
        raise UserError(
            f"batches: received a batch size of {batch_size} for {len(images)} images",
            remedy=f"Choose a batch size from 1 to {len(images)}.",
        )
    pixels = tf.constant(images)
    targets = None if labels is None else tf.constant(labels)

    def one_pass(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(images), dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        rows = tf.reshape(order[: per_pass * batch_size], [per_pass, batch_size])
        return tf.data.Dataset.from_tensor_slices(rows)

    def fetch(step: tf.Tensor, rows: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        batch = tf.gather(pixels, rows)
        if augment:
            coin = tf.random.stateless_uniform([batch_size, 1, 1, 1], seed=tf.stack([tf.cast(seed, tf.int64) + 1, step]))
            batch = tf.where(coin < 0.5, batch, tf.reverse(batch, [2]))
        if crop:
            batch = _moved(batch, crop, tf.stack([tf.cast(seed, tf.int64) + 2, step]))
        return batch if targets is None else (batch, tf.gather(targets, rows))

    first_pass, within = divmod(start, per_pass)
    passes = tf.data.Dataset.range(first_pass, tf.int64.max).flat_map(one_pass).skip(within)
    numbered = passes.enumerate(start)
    return _sharded_by_element(numbered.map(fetch, num_parallel_calls=2).prefetch(2))


def eval_batches(images: np.ndarray, batch_size: int, *, labels: np.ndarray | None = None) -> tf.data.Dataset:
    """All images once, in order; the last batch may be smaller.

    Args:
        images: `(n, height, width, channels)` uint8.
        batch_size: images per batch.
        labels: `(n,)`; then batches are pairs.

    Returns:
        A dataset of `(up to batch_size, height, width, channels)` uint8, or of pairs with labels.

    Raises:
        UserError: if the images are not images.
    """
    check_images(images)
    tensors = images if labels is None else (images, labels)
    return _sharded_by_element(tf.data.Dataset.from_tensor_slices(tensors).batch(batch_size).prefetch(2))


def _moved(batch: tf.Tensor, most: int, seed: tf.Tensor) -> tf.Tensor:
    count, (height, width) = batch.shape[0], batch.shape[1:3]
    padded = tf.pad(batch, [[0, 0], [most, most], [most, most], [0, 0]])
    corners = tf.random.stateless_uniform([count, 2], seed, 0, 2 * most + 1, tf.int32)
    rows, columns = corners[:, :1] + tf.range(height), corners[:, 1:] + tf.range(width)
    padded = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(padded, columns[:, None, :] + tf.zeros([1, height, 1], tf.int32), axis=2, batch_dims=2)


def _sharded_by_element(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """There are no files to share out among workers: let them take turns."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
