"""What Keras' `fit`, `evaluate` and `predict` are given, as a density takes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import array_slicing
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter, can_convert_arrays

from inntf.core.errors import explain

_FORMS = (
    'Keras takes a second array for y: write (x, condition) or {"x": x, "condition": condition} as one argument, as in '
    "fit((x, condition)) and validation_data=((x, condition),), and let a dataset give ((x, condition),) or that dictionary."
)


def parts(inputs: Any, name: str = "DensityModel") -> tuple[Any, Any]:
    """`x` and `condition` (or `None`) of `x`, `(x,)`, `(x, condition)` or `{"x": x, "condition": condition}`.

    Raises:
        ValueError: for another structure.
    """
    if isinstance(inputs, dict):
        if "x" not in inputs or set(inputs) - {"x", "condition"}:
            raise ValueError(
                explain(name, received=f"a dictionary of {sorted(inputs)}", expected="x, and condition or not", remedy=_FORMS)
            )
        return inputs["x"], inputs.get("condition")
    if isinstance(inputs, list | tuple):
        if len(inputs) not in (1, 2):
            raise ValueError(explain(name, received=f"{len(inputs)} inputs", expected="x, or (x, condition)", remedy=_FORMS))
        return inputs[0], inputs[1] if len(inputs) == 2 else None
    return inputs, None


def check_condition(condition: Any, wanted: bool, name: str) -> None:
    """There must be a condition where the flow was made with one, and none where it was not.

    Raises:
        ValueError: otherwise, with the form that works.
    """
    if wanted and condition is None:
        raise ValueError(
            explain(name, received="x without a condition", expected="(x, condition), as the flow was made", remedy=_FORMS)
        )
    if condition is not None and not wanted:
        raise ValueError(
            explain(
                name,
                received="(x, condition)",
                expected="x alone, as the flow was made without a condition",
                remedy="Make it with condition_shape=..., or leave the condition out.",
            )
        )


def with_weights_seen(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """`y` and `sample_weight`: Keras drops weights that come without a `y`, so zeros stand in for it."""
    if isinstance(sample_weight, list | tuple):
        sample_weight = np.asarray(sample_weight)
    if y is None and sample_weight is not None and (leaves := keras.tree.flatten(x)) and hasattr(leaves[0], "shape"):
        y = np.zeros((int(leaves[0].shape[0]),), keras.config.floatx())
    return y, sample_weight


def are_arrays(*data: Any) -> bool:
    """Whether Keras takes these as arrays that it can slice."""
    return can_convert_arrays(data)


class UnroundedArrays(ArrayDataAdapter):
    """Arrays as Keras takes them, in the precision of the model: Keras would round them to `floatx`.

    Args:
        dtype: of the model.
        args, kwargs: as of the adapter.
    """

    def __init__(self, dtype: str, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._dtype = dtype

    def get_tf_dataset(self) -> tf.data.Dataset:
        """The batches."""
        with floatx(self._dtype):
            return super().get_tf_dataset()


def unrounded(
    dtype: tf.DType, x: Any, y: Any, weights: Any, batch_size: int | None = None, steps: int | None = None, **settings: Any
) -> tuple[Any, Any, Any]:
    """`x`, `y` and the sample weights for Keras: in an adapter that does not round where Keras would, else as they are."""
    if dtype != tf.float64 or dtype.name == keras.config.floatx() or not are_arrays(x, y, weights):
        return x, y, weights
    arguments = {"sample_weight": weights, "batch_size": batch_size, "steps": steps, **settings}
    return UnroundedArrays(dtype.name, x, y, **arguments), None, None


def split_off(given: dict[str, Any], dtype: tf.DType) -> dict[str, Any]:
    """The arguments of Keras' `fit` with validation data in place of a `validation_split` of arrays."""
    data = tuple(given.get(key) for key in ("x", "y", "sample_weight"))
    if not given.get("validation_split") or given.get("validation_data") is not None or not are_arrays(*data):
        return given  # of a split that is none of arrays Keras says what is wrong
    (x, y, weights), validation = split(data, given["validation_split"], dtype.name)
    rest = {key: value for key, value in given.items() if key != "validation_split"}
    return rest | {"x": x, "y": y, "sample_weight": weights, "validation_data": validation}


def fit_arguments(given: dict[str, Any], dtype: tf.DType) -> dict[str, Any]:
    """The arguments of Keras' `fit`, split by `split_off`, with data and validation data `unrounded`."""
    x, y, weights = (given.get(key) for key in ("x", "y", "sample_weight"))
    validation = given.get("validation_data")
    if validation is not None:
        whole = tuple(validation) if isinstance(validation, list | tuple) else validation
        val_x, val_y, val_weights = keras.utils.unpack_x_y_sample_weight(whole)
        size = given.get("validation_batch_size") or given.get("batch_size")
        validation = unrounded(dtype, val_x, val_y, val_weights, size, given.get("validation_steps"))
    settings = {"shuffle": given.get("shuffle", True), "class_weight": given.get("class_weight")}
    data = unrounded(dtype, x, y, weights, given.get("batch_size"), given.get("steps_per_epoch"), **settings)
    return given | dict(zip(("x", "y", "sample_weight"), data, strict=True)) | {"validation_data": validation}


def evaluate_arguments(given: dict[str, Any], dtype: tf.DType) -> dict[str, Any]:
    """The arguments of Keras' `evaluate` or `predict` with data `unrounded`."""
    x, y, weights = (given.get(key) for key in ("x", "y", "sample_weight"))
    data = unrounded(dtype, x, y, weights, given.get("batch_size"), given.get("steps"))
    return given | {key: value for key, value in zip(("x", "y", "sample_weight"), data, strict=True) if key in given}


def split(arrays: Any, share: float, dtype: str) -> tuple[Any, Any]:
    """Keras' split of arrays for validation, in the precision of the model."""
    with floatx(dtype):
        return array_slicing.train_validation_split(arrays, validation_split=share)


@contextlib.contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Within it Keras takes this dtype for floating data."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
