"""A batch that stands for the data which `fit` is given, for the initialization from data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain

_ENTRIES = 2**18  # of all events together: enough for a mean and a variance, and soon computed
_ROWS = 1024
_FEW = 64
_APART = 16  # a dataset is read at most so many times as far as it is used


def representative(x: Any, sample_weight: Any, events: int) -> Any:
    """Some hundred events from all over the data, as `x`, `(x, condition)` or a dictionary, whatever `x` is.

    Arrays give rows drawn at random, the same each time and without any of Keras' or TensorFlow's random numbers; datasets
    that know their size and `PyDataset`s give batches from all over it, others the first batches.  Rows of weight zero are
    left out.

    Args:
        x: what `fit` takes.
        sample_weight: weights of the rows of arrays.
        events: entries of one event.

    Raises:
        ValueError: for an iterator, whose batches would be lost to the training; for data without a row.
    """
    rows = max(_FEW, min(_ROWS, _ENTRIES // max(1, events)))
    if isinstance(x, keras.utils.PyDataset):
        return _joined(_of_sequence(x), rows)
    if isinstance(x, tf.data.Dataset):
        return _joined(_of_dataset(x, rows), rows)
    if hasattr(x, "__iter__") and not hasattr(x, "shape") and not isinstance(x, dict | list | tuple):
        if isinstance(x, Iterator):
            raise ValueError(
                explain(
                    "DensityModel.fit",
                    received="a generator",
                    expected="arrays, a tf.data.Dataset or a keras.utils.PyDataset",
                    remedy="A batch taken for the initialization from data would be lost to the training. Call "
                    "model.initialize(batch) first, or make the model with data_init=False.",
                )
            )
        return _joined(x, rows)
    return _of_arrays(x, sample_weight, rows)


def _of_arrays(x: Any, sample_weight: Any, rows: int) -> Any:
    count = int(keras.tree.flatten(x)[0].shape[0])
    wanted = np.arange(count)
    if sample_weight is not None:
        weights = np.asarray(sample_weight).reshape(count, -1)
        wanted = wanted[np.any(weights > 0, 1)] if np.any(weights > 0) else wanted
    # A generator of its own: the training draws what it would draw without an initialization.
    chosen = np.sort(np.random.default_rng(0).permutation(wanted)[:rows])
    return keras.tree.map_structure(lambda array: _rows(array, chosen), x)


def _rows(array: Any, chosen: np.ndarray) -> Any:
    if tf.is_tensor(array):
        return tf.gather(array, chosen)
    return array.iloc[chosen].to_numpy() if hasattr(array, "iloc") else np.asarray(array[chosen])


def _of_sequence(x: keras.utils.PyDataset) -> Iterator[Any]:
    count = x.num_batches
    order = itertools.count() if count is None else np.random.default_rng(0).permutation(count)
    return (x[int(i)] for i in order)


def _of_dataset(x: tf.data.Dataset, rows: int) -> Iterable[Any]:
    count = int(x.cardinality())
    if count <= 1:  # unknown and infinite are negative
        return x
    size = _size(_inputs(next(iter(x.take(1)))))
    apart = min(_APART, -(-count * size // rows))
    return x.shard(apart, 0) if apart > 1 else x


def _joined(batches: Iterable[Any], rows: int) -> Any:
    found, have = [], 0
    for batch in batches:
        inputs = _weighted(keras.tree.map_structure(_local, batch))
        found.append(inputs)
        have += _size(inputs)
        if have >= rows:
            break
    if not have:
        raise ValueError(
            explain("DensityModel.fit", received="data without a row", expected="some", remedy="Look at the dataset.")
        )
    return keras.tree.map_structure(lambda *arrays: np.concatenate([np.asarray(a) for a in arrays])[:rows], *found)


def _weighted(batch: Any) -> Any:
    # Of (x, y, weights): x where the weights count; all of it where none does.
    inputs = _inputs(batch)
    if not isinstance(batch, tuple | list) or len(batch) < 3 or batch[2] is None:
        return inputs
    counts = np.any(np.asarray(batch[2]).reshape(_size(inputs), -1) > 0, 1)
    return keras.tree.map_structure(lambda array: np.asarray(array)[counts], inputs) if np.any(counts) else inputs


def _inputs(batch: Any) -> Any:
    # Keras reads (x, y, weights) from a tuple: the inputs are the first entry.
    return batch[0] if isinstance(batch, tuple) else batch


def _size(inputs: Any) -> int:
    return int(keras.tree.flatten(inputs)[0].shape[0])


def _local(value: Any) -> Any:
    return tf.concat(value.values, 0) if isinstance(value, tf.distribute.DistributedValues) else value
