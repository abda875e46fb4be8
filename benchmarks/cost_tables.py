"""Costs as multiples of one pass measured beside them, and the columns of docs/ that show them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Call = Callable[[], Any]


def one_thread() -> None:
    """Operations of TensorFlow in one thread, one after the other; before its first operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def multiples(
    calls: Mapping[str, Call], reference: Call, turns: int = 9, least: float = 0.05
) -> tuple[dict[str, float], float]:
    """Median over turns of a call's CPU time by that of the reference in the same turn.

    A busy machine slows both.  Before each turn of a call its reference runs; a cheap call runs until `least` seconds are over.

    Args:
        calls: each has run before: what is traced at a first call is not counted.
        reference: what they are compared with.
        turns: of each.
        least: seconds of one turn of one call.

    Returns:
        The multiples by name, and the reference's median in milliseconds.
    """
    found, references = {}, []
    for name, call in calls.items():
        ratios = []
        for _ in range(turns):
            one = seconds(reference, least)
            ratios.append(seconds(call, least) / one)
            references.append(one)
        found[name] = statistics.median(ratios)
        print(f"{name:60s}{figure(found[name])}", flush=True)
    return found, 1000 * statistics.median(references)


def seconds(call: Call, least: float) -> float:
    """CPU seconds of one call."""
    start, count = time.process_time(), 0
    while True:
        call()
        count += 1
        if (spent := time.process_time() - start) >= least:
            return spent / count


def figure(value: float) -> str:
    """Two digits."""
    return f"{float(f'{value:.2g}'):g}"


def with_column(text: str, cells: Mapping[str, str], key: int, column: int) -> str:
    """A page whose tables have these cells in a column, in the rows whose cell in column `key` names them.

    Raises:
        ValueError: if a row is not there.
    """
    left, lines = dict(cells), text.splitlines()
    for i, line in enumerate(lines):
        row = line.split("|")
        if line.startswith("|") and len(row) > max(key, column) + 2 and (cell := left.pop(row[key + 1].strip(), None)):
            row[column + 1] = f" {cell} "
            lines[i] = "|".join(row)
    if left:
        raise ValueError(f"no row of the page is called {', '.join(left)}")
    return "\n".join(lines) + "\n"


def record(path: Path, costs: Mapping[str, float], milliseconds: float) -> dict[str, Any]:
    """Keep what was measured, and where."""
    about = {"python": platform.python_version(), "tensorflow": version("tensorflow"), "cpus": os.cpu_count(), "threads": 1}
    result = {"about": about, "reference_ms": round(milliseconds, 3), "costs": {k: float(f"{v:.3g}") for k, v in costs.items()}}
    path.write_text(json.dumps(result, indent=1) + "\n")
    return result
