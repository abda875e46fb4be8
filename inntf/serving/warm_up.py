"""Requests that TensorFlow Serving plays to a version before it takes others: no client waits for the first pass."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

PLACE = "assets.extra/tf_serving_warmup_requests"


def write_warm_up(path: pathlib.Path, name: str, inputs: Mapping[str, np.ndarray]) -> None:
    """Write a request for each signature where TensorFlow Serving looks for them.

    Args:
        path: folder of the version.
        name: of the model, as the server knows it.
        inputs: by `SIGNATURE/INPUT`.

    Source: TensorFlow Serving, "SavedModel Warmup"; messages `PredictionLog`, `PredictLog`, `PredictRequest`, `ModelSpec` of
        its API.
    """
    by_signature: dict[str, dict[str, np.ndarray]] = {}
    for key, value in inputs.items():
        signature, _, entry = key.partition("/")
        by_signature.setdefault(signature, {})[entry] = value
    (path / PLACE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / PLACE)) as writer:
        for signature, values in sorted(by_signature.items()):
            writer.write(_log_of_request(name, signature, values))


def _log_of_request(name: str, signature: str, values: Mapping[str, np.ndarray]) -> bytes:
    """A `PredictionLog` with a `PredictRequest`, by hand: the package that has these messages brings a client along."""
    spec = _field(1, name.encode()) + _field(3, signature.encode())
    request = _field(1, spec)
    for key, value in sorted(values.items()):
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes: its number and kind, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
