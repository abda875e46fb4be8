"""The protocol of a worker: one request a line on standard input, one line of JSON on standard output.

It imports no library, so that it runs under every Python that is measured.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable


def claim_output():
    """Standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


_loaded: list[float] = []


def libraries_loaded() -> float:
    """Say that what follows is the model's own; MiB so far."""
    _loaded[:] = [time.process_time(), peak_mib()]
    return _loaded[1]


def timed(action: Callable[[], object]) -> tuple[float, float, object]:
    """Wall seconds, CPU seconds of all threads, result."""
    wall, cpu = time.perf_counter(), time.process_time()
    out = action()
    return time.perf_counter() - wall, time.process_time() - cpu, out


def serve(answers, actions: dict[str, Callable[[], object]], **about: object) -> None:
    """Say what is known, then answer `NAME COUNT` until the input ends: seconds, memory, and the last result if a float."""
    # From the libraries to here: model, initialization and the first step.
    ready = {"ready_cpu": time.process_time() - _loaded[0], "loaded_mib": _loaded[1]} if _loaded else {}
    _say(answers, about | ready)
    for line in sys.stdin:
        name, count = line.split()
        walls, cpus, out = [], [], None
        for _ in range(int(count)):
            wall, cpu, out = timed(actions[name])
            walls.append(wall)
            cpus.append(cpu)
        value = out if isinstance(out, float) else None
        _say(answers, {"wall": walls, "cpu": cpus, "peak_mib": peak_mib(), "value": value})


def serve_training(answers, step: Callable[[], float], more: dict[str, Callable[[], object]] | None = None, **about: object):
    """Take the first training step, tell its time and the memory before it, and serve the others as `step`, and `more`."""
    start = peak_mib()
    seconds, cpu, loss = timed(step)
    actions = {"step": step, **(more or {})}
    serve(answers, actions, start_mib=start, first_step_seconds=seconds, first_step_cpu=cpu, loss=loss, **about)


def peak_mib() -> float:
    """The largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(answers, what: dict) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()
