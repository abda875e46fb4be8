"""A step of the MNIST autoencoder beside FrEIA's: `python -m benchmarks.autoencoder_step --peers /path/to/python`.

The paper's network (1,121,192 weights), loss (mean absolute error of the reconstruction and mean square of the padding,
bottleneck 12), Adam with betas (0.8, 0.8), batch 128; every model in a process of its own.  The processes wait and run a few
steps in turn, so that a busy machine slows all of them; times are medians.  Activation memory is the largest resident size
at that batch over that at a batch of 8, each in a fresh process: weights, code and the rest of the library cancel.

Bars: a step at most 0.8 of FrEIA's, activation memory of the reversible mode at most half of FrEIA's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed import Worker

OURS, TORCH = "benchmarks.workers.autoencoder_ours", "benchmarks.workers.autoencoder_pytorch"
MODELS = {
    "inntf": (OURS, "stored"),
    "inntf reversible": (OURS, "reversible"),
    "inntf checkpointed": (OURS, "checkpointed"),
    "FrEIA": (TORCH, "stored"),
}
PEER, SMALL_BATCH = "FrEIA", 8


def start(name: str, threads: int, batch: int, peers: str) -> Worker:
    """A process of one model, after its first step."""
    module, mode = MODELS[name]
    python = peers if module == TORCH else sys.executable
    return Worker(python, module, mode, "--threads", str(threads), "--batch", str(batch))


def race(names: list[str], threads: int, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Times of steps, in turn."""
    workers = {name: start(name, threads, args.batch, args.peers) for name in names}
    rows: dict[str, dict[str, Any]] = {name: {**worker.about, "wall": [], "cpu": []} for name, worker in workers.items()}
    for turn in range(1 + args.turns):
        for name, worker in workers.items():
            answer = worker.run("step", args.steps)
            rows[name]["peak_mib"] = answer["peak_mib"]
            if turn:  # the first turn warms up
                for clock in ("wall", "cpu"):
                    rows[name][clock] += answer[clock]
    for worker in workers.values():
        worker.close()
    return rows


def activations(name: str, args: argparse.Namespace) -> float:
    """MiB by which the batch exceeds the small one."""
    peaks = []
    for batch in (args.batch, SMALL_BATCH):
        worker = start(name, args.threads[0], batch, args.peers)
        peaks.append(worker.run("step", 3)["peak_mib"])
        worker.close()
    return peaks[0] - peaks[1]


def table(rows: dict[str, dict[str, Any]], threads: int) -> str:
    """Medians, and ratios to FrEIA's."""
    lines = [f"{threads} thread{'s' * (threads > 1)}; milliseconds, medians; ratios to {PEER}'s"]
    lines.append(f"{'':20}{'CPU':>9}{'ratio':>7}{'wall':>9}{'ratio':>7}{'first s':>9}{'weights':>10}")
    medians = {name: {clock: statistics.median(row[clock]) for clock in ("cpu", "wall")} for name, row in rows.items()}
    for name, row in rows.items():
        cells = ""
        for clock in ("cpu", "wall"):
            ratio = f"{medians[name][clock] / medians[PEER][clock]:7.2f}" if PEER in medians else f"{'':7}"
            cells += f"{1e3 * medians[name][clock]:9.1f}{ratio}"
        lines.append(f"{name:20}{cells}{row['build_seconds'] + row['first_step_seconds']:9.1f}{row['parameters']:10d}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.environ.get("INNTF_PEERS"), help="a Python with torch and FrEIA")
    parser.add_argument("--only", nargs="+", choices=list(MODELS), help="models to run")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5, help="steps a turn")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--no-memory", action="store_true", help="times alone")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    args = parser.parse_args()
    names = [name for name in args.only or MODELS if name != PEER or args.peers]
    result: dict[str, Any] = {"batch": args.batch, "load_average": os.getloadavg(), "times": {}, "activations_mib": {}}
    for threads in args.threads:
        result["times"][threads] = rows = race(names, threads, args)
        print(table(rows, threads), end="\n\n", flush=True)
    for name in () if args.no_memory else names:
        result["activations_mib"][name] = mib = activations(name, args)
        print(f"{name:20} activations {mib:7.0f} MiB", flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
