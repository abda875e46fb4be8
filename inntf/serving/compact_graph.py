"""A SavedModel's graph without what it holds twice: equal operations once, names no longer than the operation's."""

from __future__ import annotations

import collections
import pathlib
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model import fingerprinting_utils


def compact(folder: pathlib.Path) -> None:
    """Rewrite `saved_model.pb` so that it computes the same numbers with fewer operations and bytes.

    Tracing writes a constant at each place that names it, and the scopes of Python's calls into each name: half of the
    operations and three fifths of the bytes of a deep graph.  In each function, operations without a state that agree in
    inputs and attributes become one, those that nothing asks for go, and names become kind and number (`Conv2D_2`).  What
    has a state (variables, assertions, random numbers) stays, as do signatures and the functions that save and restore.

    Args:
        folder: of the SavedModel; its fingerprint is written anew.
    """
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    for graph in model.meta_graphs:
        library = graph.graph_def.library
        known = {*graph.object_graph_def.concrete_functions, *(g.gradient_func for g in library.registered_gradients)}
        held = collections.defaultdict(set)  # what gradient functions read of others, by name
        for item in graph.object_graph_def.nodes:
            if item.HasField("captured_tensor"):
                held[item.captured_tensor.concrete_function].add(_node(item.captured_tensor.name))
        for function in library.function:
            name = function.signature.name
            _share(function, held[name])
            _drop_unused(function, held[name])
            _rename(function, held[name], arguments=name not in known and not held[name])
    path.write_bytes(model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(folder))


def _share(function: Any, held: set[str]) -> None:
    """Of equal operations the first serves all."""
    first: dict[Any, str] = {}
    instead: dict[str, str] = {}
    for node in function.node_def:
        node.input[:] = [_referred(name, instead) for name in node.input]
        if node.op == "Const":
            node.attr.pop("_output_shapes", None)  # the value has a shape
        if not _has_state(node) and node.name not in held:
            attributes = sorted((key, value.SerializeToString(deterministic=True)) for key, value in node.attr.items())
            kept = first.setdefault((node.op, node.device, *node.input, *attributes), node.name)
            if kept != node.name:
                instead[node.name] = kept
    _keep(function, [node for node in function.node_def if node.name not in instead])
    _refer(function, instead)


def _drop_unused(function: Any, held: set[str]) -> None:
    """Operations without a state whose results nobody reads."""
    wanted = {*(_node(name) for name in function.ret.values()), *function.control_ret.values()}
    readers = {node.name: [_node(name) for name in node.input] for node in function.node_def}
    left = [*wanted, *held, *(node.name for node in function.node_def if _has_state(node))]
    reached: set[str] = set()
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += readers.get(name, [])  # an argument reads nothing
    _keep(function, [node for node in function.node_def if node.name in reached])


def _rename(function: Any, held: set[str], arguments: bool) -> None:
    """Kind and number; the arguments too of a function that is called by position alone."""
    counts: collections.Counter[str] = collections.Counter()
    instead: dict[str, str] = {}
    given = function.signature.input_arg
    taken = held if arguments else held | {argument.name for argument in given}

    def name_of(kind: str) -> str:
        while True:
            number = counts[kind]
            counts[kind] += 1
            if (name := f"{kind}_{number}" if number else kind) not in taken:
                return name

    for argument in given if arguments else ():
        instead[argument.name] = argument.name = name_of("argument")
    for result in function.signature.output_arg if arguments else ():
        source = function.ret.pop(result.name)
        result.name = name_of("result")
        function.ret[result.name] = source
    for node in function.node_def:
        if node.name not in held:
            instead[node.name] = node.name = name_of(node.op)
    _refer(function, instead)


def _refer(function: Any, instead: dict[str, str]) -> None:
    for node in function.node_def:
        node.input[:] = [_referred(name, instead) for name in node.input]
    for key, name in list(function.ret.items()):
        function.ret[key] = _referred(name, instead)
    for key, name in list(function.control_ret.items()):
        function.control_ret[key] = instead.get(name, name)


def _referred(name: str, instead: dict[str, str]) -> str:
    """`node:output:number`, or `^node`, with the other node."""
    mark = "^" if name.startswith("^") else ""
    node = _node(name)
    return mark + instead.get(node, node) + name[len(mark + node) :]


def _node(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _keep(function: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]  # removal ends what it removes
    del function.node_def[:]
    function.node_def.extend(copies)


def _has_state(node: Any) -> bool:
    definition = op_def_registry.get(node.op)
    return definition is None or definition.is_stateful
