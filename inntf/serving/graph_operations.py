"""What the graph of a SavedModel may do when it is loaded and called: calculate, and nothing else."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

# TensorFlow counts these as having a state, or their names hold one of the words below; none reaches beyond the model.
_VARIABLES = """
    VarHandleOp VarIsInitializedOp ReadVariableOp AssignVariableOp AssignAddVariableOp AssignSubVariableOp DisableCopyOnRead
    ResourceGather ResourceGatherNd
"""
_CONTROL = "StatefulPartitionedCall If While Case Assert"
_RANDOM = """
    RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal RandomShuffle RandomGamma RandomGammaGrad
    RngReadAndSkip StatefulUniform StatefulStandardNormalV2 StatefulUniformInt StatefulUniformFullInt StatefulTruncatedNormal
"""
_STRINGS = "ShardedFilename"  # no file, but the text of its name
_HARMLESS = frozenset(" ".join((_VARIABLES, _CONTROL, _RANDOM, _STRINGS)).split())
# Without a state by TensorFlow's count, and yet out of the model: files, other machines, Python.
_WORDS = ("File", "Dataset", "Checkpoint", "Debug", "Rpc", "PyFunc", "Reader", "Remote", "Summary", "Custom", "Tpu")
_SAVERS = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints"))
_NAMES_OF_SAVERS = ("__inference__traced_save", "__inference__traced_restore")


def fault_of_graph(path: pathlib.Path) -> str | None:
    """What of a SavedModel reaches beyond the model, in words; `None` if nothing.

    Its operations must calculate on tensors and the model's own variables.  Those that save and restore them may only be in
    the functions that TensorFlow makes for it, and nothing may call these.

    Args:
        path: of `saved_model.pb`.
    """
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        return "a saved_model.pb that is none"
    return next(_faults(model), None)


def _faults(model: Any) -> Iterator[str]:
    for graph in model.meta_graphs:
        if not graph.object_graph_def.nodes:
            yield "a SavedModel of TensorFlow 1, which runs as it is loaded"
        for item in graph.object_graph_def.nodes:
            if item.registered_name and not item.registered_name.startswith("tf."):
                yield f"an object of the class {item.registered_name[:80]}"
        if graph.asset_file_def:
            yield "files beside it (assets)"
        functions = graph.graph_def.library.function
        savers = {f.signature.name for f in functions if f.signature.name.startswith(_NAMES_OF_SAVERS)}
        for node in graph.graph_def.node:
            yield from _fault(node, frozenset(), set())
        for function in functions:
            saver = function.signature.name in savers
            for node in function.node_def:
                yield from _fault(node, _SAVERS if saver else frozenset(), set() if saver else savers)


def _fault(node: Any, more: frozenset[str], out_of_bounds: set[str]) -> Iterator[str]:
    if not _calculates(node.op) and node.op not in more:
        yield f"the operation {node.op[:80]} ({node.name[:80]})"
    for value in node.attr.values():
        for called in (value.func.name, *(f.name for f in value.list.func)):
            if called in out_of_bounds:
                yield f"a call of {called[:80]}, which reads or writes files ({node.name[:80]})"


def _calculates(operation: str) -> bool:
    if operation in _HARMLESS:
        return True
    definition = op_def_registry.get(operation)
    return definition is not None and not definition.is_stateful and not any(word in operation for word in _WORDS)
