"""Nested dictionaries of arrays in one small file; it needs NumPy alone, so that peers' environments and tests both read it."""

from __future__ import annotations

import json

import numpy as np


def pack(path, tree):
    """Write nested dictionaries of arrays and plain values as one array of numbers and an index: files stay small."""
    numbers, index = [], {}

    def put(node):
        if isinstance(node, dict):
            return {k: put(v) for k, v in node.items()}
        if isinstance(node, np.ndarray):
            at = sum(n.size for n in numbers)
            numbers.append(node.astype(np.float64).ravel())
            return {"at": at, "shape": node.shape, "integers": node.dtype.kind in "iub"}
        return {"value": node}

    index = put(tree)
    np.savez_compressed(path, index=json.dumps(index), numbers=np.concatenate(numbers))


def unpack(path):
    """What `pack` wrote."""
    with np.load(path) as file:
        index, numbers = json.loads(str(file["index"])), file["numbers"]

    def get(node):
        if set(node) == {"value"}:
            return node["value"]
        if set(node) == {"at", "shape", "integers"}:
            array = numbers[node["at"] : node["at"] + int(np.prod(node["shape"]))].reshape(node["shape"])
            return array.astype(np.int64) if node["integers"] else array
        return {k: get(v) for k, v in node.items()}

    return get(index)
