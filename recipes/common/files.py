"""Files that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

PARTIAL = ".partial-"  # begins the names of what is being written; what a killed process left of them is nobody's


@contextlib.contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    >>> with tempfile.TemporaryDirectory() as d, atomic(pathlib.Path(d) / "a.txt") as beside:
    ...     _ = beside.write_text("whole")
    """
    handle, name = tempfile.mkstemp(prefix=f"{PARTIAL}{path.stem}-", suffix="".join(path.suffixes), dir=path.parent)
    os.close(handle)
    beside = pathlib.Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: pathlib.Path, data: Any) -> pathlib.Path:
    """Write plain data as JSON, atomically.

    Arrays and numpy numbers become lists and numbers, paths strings, dataclasses objects.  JSON has no infinity and
    no NaN: they are written as the strings `"inf"`, `"-inf"` and `"nan"`.
    """
    with atomic(path) as beside:
        beside.write_text(json.dumps(plain(data), indent=2) + "\n")
    return path


def plain(data: Any) -> Any:
    """Data that every JSON reader takes.

    >>> plain({"a": np.float32(0.5), "b": (1, float("nan"))})
    {'a': 0.5, 'b': [1, 'nan']}
    """
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return plain({f.name: getattr(data, f.name) for f in dataclasses.fields(data)})
    if isinstance(data, Mapping):
        return {str(k): plain(v) for k, v in data.items()}
    if isinstance(data, list | tuple | set):
        return [plain(v) for v in data]
    if hasattr(data, "numpy"):
        data = data.numpy()
    if isinstance(data, np.ndarray | np.generic):
        return plain(data.tolist())
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return data if isinstance(data, str | int | float | bool) or data is None else str(data)


def restored(data: Any) -> Any:
    """Plain data with the floats that JSON has no numbers for: what `plain` made strings.

    >>> restored({"a": ["inf", "nan", 1.0]})
    {'a': [inf, nan, 1.0]}
    """
    if isinstance(data, Mapping):
        return {k: restored(v) for k, v in data.items()}
    if isinstance(data, list):
        return [restored(v) for v in data]
    return float(data) if isinstance(data, str) and data in ("inf", "-inf", "nan") else data


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a file of `write_json`.

    Raises:
        OSError: if the file cannot be read; ValueError: if it holds anything but an object.
    """
    try:
        data = json.loads(path.read_text())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError(f"received {type(data).__name__}, expected an object")
    return restored(data)


def sweep(folder: pathlib.Path) -> None:
    """Remove what killed processes left half-written, in the folder and below."""
    for path in sorted(folder.rglob(f"{PARTIAL}*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
