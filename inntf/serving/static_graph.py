"""A frozen function whose graph says the shapes that were known when it was traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def static_graph(frozen: Any, outputs: Sequence[tf.Tensor] | None = None) -> Any:
    """The same function, each `Reshape` by a constant, one in front of every convolution, and nothing that only compares.

    What a converter reads of a shape is worked out from constants alone: of `reshape(x, [batch, 4, 4, 2])` it knows nothing,
    and a convolution behind it cannot be converted.  With the batch as -1 the shape is a constant.

    Args:
        frozen: a concrete function without variables, whose nodes are not inlined loops.
        outputs: those of it that the other one has, in this order; all in theirs by default.

    Returns:
        Another concrete function.
    """
    definition = frozen.graph.as_graph_def()
    made = []
    for node in definition.node:
        operation = frozen.graph.get_operation_by_name(node.name)
        if node.op in ("Reshape", "EnsureShape") and _known(operation.outputs[0].shape):
            made.append(_shape_of(node.name, operation.outputs[0].shape))
            kind = node.attr["T"].type
            node.op = "Reshape"
            node.attr.clear()
            node.attr["T"].type = kind
            node.attr["Tshape"].type = tf.int32.as_datatype_enum
            del node.input[1:]
            node.input.append(made[-1].name)
        elif node.op in ("Conv2D", "DepthwiseConv2dNative") and _known(operation.inputs[0].shape):
            made.append(_shape_of(node.name, operation.inputs[0].shape))
            made.append(tf.compat.v1.NodeDef(name=f"{node.name}/shaped", op="Reshape", input=[node.input[0], made[-1].name]))
            made[-1].attr["T"].type = node.attr["T"].type
            made[-1].attr["Tshape"].type = tf.int32.as_datatype_enum
            node.input[0] = made[-1].name
    definition.node.extend(made)
    results = frozen.outputs if outputs is None else outputs
    return _pruned(definition, [t.name for t in frozen.inputs], [t.name for t in results])


def _pruned(definition: Any, inputs: list[str], outputs: list[str]) -> Any:
    def imported() -> None:
        tf.graph_util.import_graph_def(definition, name="")

    wrapped = tf.compat.v1.wrap_function(imported, [])
    graph = wrapped.graph
    return wrapped.prune([graph.get_tensor_by_name(n) for n in inputs], [graph.get_tensor_by_name(n) for n in outputs])


def _known(shape: tf.TensorShape) -> bool:
    """Whether a reshape can say it: all sizes but one."""
    return shape.rank is not None and sum(size is None for size in shape) <= 1


def _shape_of(name: str, shape: tf.TensorShape) -> Any:
    """A constant node."""
    node = tf.compat.v1.NodeDef(name=f"{name}/static_shape", op="Const")
    value = np.array([-1 if size is None else size for size in shape], np.int32)
    node.attr["dtype"].type = tf.int32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node
