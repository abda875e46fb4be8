"""Seeds of what a training step draws: by the seed and the step alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def step_seeds(seed: int | None, step: Any) -> Iterator[tf.Tensor | None]:
    """A seed for each draw of a step; `None` for each without a seed.

    A training that goes on from a checkpoint then draws what the uninterrupted one would have drawn.  Replicas have the same
    seeds: they draw by `inntf.core.whole_batch.draw_rows`.

    Args:
        seed: of the model.
        step: the optimizer's `iterations`.

    Returns:
        An endless iterator of two int32.

    Source: inntf.

    Example:
        >>> first, again = (next(step_seeds(3, 7)).numpy().tolist() for _ in range(2))
        >>> first == again, next(step_seeds(None, 7))
        (True, None)
    """
    if seed is None:
        return itertools.repeat(None)
    fold_in = functools.partial(tf.random.fold_in, alg="philox")  # what TensorFlow would choose differs within XLA
    first = tf.constant([seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF], tf.int32)
    here = fold_in(first, tf.cast(step, tf.int32))
    return (fold_in(here, i) for i in itertools.count())
