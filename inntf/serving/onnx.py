"""ONNX: written by tf2onnx, run by onnxruntime."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

TITLE, SUFFIX, OPSET = "ONNX", ".onnx", 18


_NAMES = (r'In Node, \("[^"]*", (\w+)', r"operator \((\w+)\)", r"node\.name='[^']*?([A-Za-z0-9]+)'", r"Op \((\w+)\)")


class _NoRuntimeError(Exception):
    """Stands for an error of a package that is not there."""


FAULTS = (ValueError, RuntimeError, KeyError, AttributeError, TypeError, _NoRuntimeError)


def convert(frozen: Any, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file's content.

    Args:
        frozen: a concrete function without variables.
        name: of the graph.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
    """
    try:
        from tf2onnx import convert as converter
    except ImportError as error:
        raise ImportError("ONNX: tf2onnx is missing. pip install inntf[portable]") from error
    given, made = [t.name for t in frozen.inputs], [t.name for t in frozen.outputs]
    names = dict(zip((*given, *made), (*inputs, *outputs), strict=True))
    definition = frozen.graph.as_graph_def()
    _without_erfc(definition)
    _without_log1p(definition)
    with _quiet():
        found, _ = converter.from_graph_def(
            definition, name=name, input_names=given, output_names=made, opset=OPSET, tensors_to_rename=names
        )
    return found.SerializeToString()


def _without_erfc(definition: Any) -> None:
    """`1 - Erf` in its place: ONNX has no other (the exact GELU)."""
    for node in [node for node in definition.node if node.op == "Erfc"]:
        kind = node.attr["T"].type
        one = definition.node.add(name=f"{node.name}/one", op="Const")
        one.attr["dtype"].type = kind
        one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0, tf.as_dtype(kind)))
        erf = definition.node.add(name=f"{node.name}/erf", op="Erf", input=list(node.input))
        erf.attr["T"].type = kind
        node.op = "Sub"
        node.input[:] = [one.name, erf.name]


def _without_log1p(definition: Any) -> None:
    """`log(w) + (x - (w - 1)) / w` in its place, with `w = 1 + x`: ONNX has no other, and that is right for small x."""
    for node in [node for node in definition.node if node.op == "Log1p"]:
        kind, x = node.attr["T"].type, node.input[0]
        one = definition.node.add(name=f"{node.name}/one", op="Const")
        one.attr["dtype"].type = kind
        one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0, tf.as_dtype(kind)))
        names = {what: f"{node.name}/{what}" for what in ("sum", "excess", "lost", "log", "rest")}
        parts = [
            ("sum", "AddV2", [x, one.name]),
            ("excess", "Sub", [names["sum"], one.name]),
            ("lost", "Sub", [x, names["excess"]]),
            ("log", "Log", [names["sum"]]),
            ("rest", "RealDiv", [names["lost"], names["sum"]]),
        ]
        for what, op, inputs in parts:
            definition.node.add(name=names[what], op=op, input=inputs).attr["T"].type = kind
        node.op = "AddV2"
        node.input[:] = [names["log"], names["rest"]]


def runner(content: bytes) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A function of one input that runs the file, its outputs by name."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("ONNX: onnxruntime is missing. pip install inntf[portable]") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are those of a compiled module, which share no base
        raise _NoRuntimeError(str(error)) from error
    key, outputs = session.get_inputs()[0].name, [one.name for one in session.get_outputs()]
    return lambda x: dict(zip(outputs, session.run(outputs, {key: x}), strict=True))


def operation(message: str) -> str:
    """What a message says is the matter."""
    words = " ".join(message.split())
    found = next(filter(None, (re.search(pattern, words) for pattern in _NAMES)), None)
    return f"{found[1]} ({words[:200]})" if found else words[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
