"""LiteRT (TensorFlow Lite): written by TensorFlow, run by ai-edge-litert."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

TITLE, SUFFIX = "LiteRT", ".tflite"
FAULTS = (ValueError, RuntimeError, ConverterError)


def convert(frozen: Any, name: str) -> bytes:
    """The file's content.

    Args:
        frozen: a concrete function without variables: of others the converter makes a file that computes something else.
        name: of the function; not kept.
    """
    del name
    with _quiet():
        return tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()


def runner(content: bytes) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function of one input that runs the file, its outputs in their order."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("LiteRT: ai-edge-litert is missing. pip install inntf[portable]") from error
    interpreter = Interpreter(model_content=content)
    entry, outputs = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()

    def run(x: np.ndarray) -> list[np.ndarray]:
        interpreter.resize_tensor_input(entry, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, x)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in outputs]

    return run


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
