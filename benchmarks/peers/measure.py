"""Measures the rows of a workload of `benchmarks.peers`: one process a row, in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.environments import python_of, variables
from benchmarks.peers.ode_reference import reference_log_prob
from benchmarks.peers.rows import DEPTH, MEMORY, QUICK_DEPTH, WORKLOADS, Row, Workload
from benchmarks.speed import Worker
from benchmarks.workers.cases import case_of

ROOT = Path(__file__).parents[2]
_KEPT = ("library", "parameters", "tolerance", "log_prob_error", "evaluations")


def measure(name: str, environments: Path, threads: int, quick: bool = False, only: list[str] | None = None) -> dict[str, Any]:
    """Every number of a workload's table.

    Returns:
        `rows`: by name `library`, `parameters`; `cpu` and `wall`, by action the median milliseconds of every turn;
        `first_step` (CPU seconds of model, initialization and first step), `peak_mib`, `mib` (what came on top of the
        libraries) and `inverse_error`; `load`: the machine's, turn by turn.
    """
    work = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        more: list[str] = []
        if name == "ode":
            more = ["--reference", str(Path(folder) / "log_prob.npy")]
            np.save(more[1], reference_log_prob(case_of("ode")))
        wanted = {row: what for row, what in work.rows.items() if only is None or row in only}
        workers = {row: _start(what, environments, threads, more) for row, what in wanted.items()}
        try:
            return _race(work, workers, quick)
        finally:
            for worker in workers.values():
                worker.close()


def _start(row: Row, environments: Path, threads: int, more: list[str]) -> Worker:
    python = python_of(environments, row.environment)
    arguments = (*row.arguments, "--threads", str(threads), *more)
    return Worker(python, row.module, *arguments, env=variables(row.environment, threads))


def _race(work: Workload, workers: dict[str, Worker], quick: bool) -> dict[str, Any]:
    rows = {}
    for row, worker in workers.items():
        about = worker.about
        kept = {key: about[key] for key in _KEPT if about.get(key) is not None}
        rows[row] = {**kept, "cpu": {}, "wall": {}, "first_step": about["ready_cpu"]}
    load = []
    for action, (count, turns) in work.plan.items():
        count, turns = (1, 2) if quick else (count, turns)
        for turn in range(1 + turns):
            load.append(round(os.getloadavg()[0], 1))
            for row, worker in workers.items():
                answer = worker.run(action, count if turn else 1)  # the first turn warms up
                if turn:
                    for clock in ("cpu", "wall"):
                        rows[row][clock].setdefault(action, []).append(_short(1e3 * statistics.median(answer[clock])))
                    rows[row]["peak_mib"] = answer["peak_mib"]
                    rows[row]["mib"] = answer["peak_mib"] - worker.about["loaded_mib"]
    for row, worker in workers.items():
        if "inverse" not in worker.about.get("lacks", ()):  # hand-written models have none
            rows[row]["inverse_error"] = worker.run("inverse_error", 1)["value"]
        rows[row] = {key: _short(value) if isinstance(value, float) else value for key, value in rows[row].items()}
    return {"rows": rows, "load": load}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def measure_memory(environments: Path, threads: int, quick: bool = False, only: list[str] | None = None) -> dict[str, Any]:
    """Memory over depth 0 and the time of a step, every row in fresh processes; `rows` as `measure` has them, and `depth`."""
    depth, rows, load, bases = QUICK_DEPTH if quick else DEPTH, {}, [], {}
    for name, row in MEMORY.items():
        if only is not None and name not in only:
            continue
        load.append(round(os.getloadavg()[0], 1))
        if row.environment not in bases:
            bases[row.environment] = _fresh(row, 0, environments, threads)["peak_mib"]
        found = _fresh(row, depth, environments, threads)
        rows[name] = {
            "library": row.environment,
            "cpu": {"step": [_short(1e3 * found["step_cpu"])]},
            "wall": {"step": [_short(1e3 * found["step_seconds"])]},
            "first_step": _short(found["first_step_cpu"]),
            "peak_mib": _short(found["peak_mib"]),
            "mib": _short(found["peak_mib"] - bases[row.environment]),
        }
    return {"rows": rows, "load": load, "depth": depth}


def _fresh(row: Row, depth: int, environments: Path, threads: int) -> dict[str, Any]:
    command = [python_of(environments, row.environment), "-m", row.module, *row.arguments, str(depth)]
    done = subprocess.run(
        [*command, "--threads", str(threads)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | variables(row.environment, threads),
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
