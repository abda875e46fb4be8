"""The `batch` and the `condition` of an export, as arrays of the model's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.models import TableModel
from inntf.serving.served import Served


def batch_and_condition(model: Any, served: Served, batch: Any, condition: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What the export measures on, `(n, ...)` each, or `None`; of a `TableModel` a table is encoded.

    Args:
        model: what is exported.
        served: what of it is served.
        batch: samples, or `None`.
        condition: a condition for each sample, or one for all, with or without a batch dimension; or `None`.

    Raises:
        TypeError: for what is no array of numbers, such as a dataset; ValueError: for a condition without a batch, or
        another number of conditions than samples.
    """
    if condition is not None and batch is None:
        raise ValueError(explain("export", received="condition without batch", expected="both", remedy="Pass batch=..., too."))
    if isinstance(model, TableModel):
        batch = model.encoded(batch)
    x, given = _array("batch", batch, served.dtype), _array("condition", condition, served.dtype)
    if x is not None and not x.ndim:
        raise _refused("batch", batch)
    if given is not None and served.condition_shape is not None and given.ndim == len(served.condition_shape):
        given = given[None]
    if x is not None and given is not None and given.ndim and len(given) not in (1, len(x)):
        received, expected = f"{len(given)} conditions for {len(x)} samples", "a condition for each sample, or one for all"
        raise ValueError(explain("export", received=received, expected=expected, remedy="Cut or repeat the conditions."))
    return x, given


def _array(name: str, value: Any, dtype: str) -> np.ndarray | None:
    if value is None:
        return None
    try:
        return np.asarray(value).astype(tf.as_dtype(dtype).as_numpy_dtype)
    except (TypeError, ValueError) as error:
        raise _refused(name, value) from error


def _refused(name: str, value: Any) -> TypeError:
    received, remedy = f"{name} of type {type(value).__name__}", "Pass one batch as an array; of a dataset next(iter(dataset))."
    return TypeError(explain("export", received=received, expected="numbers, (n, ...)", remedy=remedy))
