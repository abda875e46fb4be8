"""LiteRT (TensorFlow Lite): written by TensorFlow, run by ai-edge-litert."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.lite.tools import flatbuffer_utils

TITLE, SUFFIX = "LiteRT", ".tflite"
FAULTS = (ValueError, RuntimeError, ConverterError)


def convert(frozen: Any, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file's content.

    Args:
        frozen: a concrete function without variables: of others the converter makes a file that computes something else.
        name: of the signature.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
    """
    with _quiet():
        content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    return _named(content, name, inputs, outputs)


def _named(content: bytes, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """With a signature, and its names for the tensors: the converter writes one for SavedModels alone, in another order."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]

    def entries(names: Sequence[str], places: Sequence[int]) -> list[Any]:
        found = []
        for key, place in zip(names, places, strict=True):
            graph.tensors[place].name = key
            found.append(schema.TensorMapT(name=key, tensorIndex=int(place)))
        return found

    results = entries(outputs, graph.outputs)  # before the inputs, whose names stay where an output is one of them
    signature = schema.SignatureDefT(inputs=entries(inputs, graph.inputs), outputs=results, signatureKey=name)
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def runner(content: bytes) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function of one input that runs the file, its outputs by name."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("LiteRT: ai-edge-litert is missing. pip install inntf[portable]") from error
    run = Interpreter(model_content=content).get_signature_runner()
    (key,) = run.get_input_details()
    return lambda x: run(**{key: x})


def operation(message: str) -> str:
    """What a message says is the matter."""
    named = dict.fromkeys(re.findall(r"'tf\.(\w+)' op", message))
    words = " ".join(message.split())[:200]
    return ", ".join(named) if named else words


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter prints what it cannot convert beside raising it."""
    null, kept = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)
