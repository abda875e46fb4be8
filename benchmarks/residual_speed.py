"""Training a residual flow beside residual-flows' own code: `python -m benchmarks.residual_speed --peers /path/to/python`.

The same network in both: 10 residual blocks on 2-dimensional data, four hidden layers of 128 with LipSwish before every
layer, a Lipschitz constant of 0.9 a block, batch 500.  A step is the negative log-likelihood, its gradient, Adam, and five
power iterations on every layer.  The peer is normflows' copy of residual-flows in PyTorch.  Every row runs in a process of
its own; they take turns of a few steps, so that a busy machine slows all of them; figures are medians over all steps, of
wall and of CPU seconds (all threads).  Memory is the largest resident size after the steps, and beside it what came on top
of the libraries and the model.

Ours is `inntf.models.residual_flow`, by default a scan over the blocks (`Repeat`), in a `tf.function`.  There are two kinds of
it, both the same random variable as the peer's: "products" takes one vector-Jacobian product a term as the peer does; "auto",
the default, sees that two products give the whole 2x2 Jacobian and takes the terms from it.  "checkpointed" keeps the inputs of
the blocks alone.  "images" is the residual flow of `recipes.iresnet` on 28x28 images, stored and checkpointed, without a peer.
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

OURS, TORCH = "benchmarks.workers.residual_ours", "benchmarks.workers.residual_pytorch"
IMAGES = "benchmarks.workers.residual_images"


def _ours(estimator: str) -> dict[str, tuple[str, ...]]:
    return {
        "inntf auto": (OURS, estimator, "autodiff", "auto", "repeat"),
        "inntf auto, Neumann": (OURS, estimator, "neumann", "auto", "repeat"),
        "inntf auto, checkpointed": (OURS, estimator, "autodiff", "auto", "checkpointed"),
        "inntf auto, Neumann, checkpointed": (OURS, estimator, "neumann", "auto", "checkpointed"),
        "inntf auto, unrolled": (OURS, estimator, "autodiff", "auto", "unrolled"),
        "inntf auto, XLA": (OURS, estimator, "autodiff", "auto", "xla"),
        "inntf products, autodiff": (OURS, estimator, "autodiff", "products", "repeat"),
        "inntf products, Neumann": (OURS, estimator, "neumann", "products", "repeat"),
        "inntf products, Neumann, XLA": (OURS, estimator, "neumann", "products", "xla"),
    }


def _peers(estimator: str) -> dict[str, tuple[str, ...]]:
    return {
        "normflows, autodiff": (TORCH, estimator, "autodiff"),
        "normflows, Neumann in forward": (TORCH, estimator, "neumann"),
    }


RACES = {
    "10 terms": _peers("series") | _ours("series"),
    "roulette": _peers("roulette") | _ours("roulette"),
    "exact": {
        "normflows, brute force": (TORCH, "exact", "autodiff"),
        "inntf": (OURS, "exact", "autodiff", "auto", "repeat"),
        "inntf, unrolled": (OURS, "exact", "autodiff", "auto", "unrolled"),
        "inntf, XLA": (OURS, "exact", "autodiff", "auto", "xla"),
    },
    "images": {"inntf, stored": (IMAGES, "stored"), "inntf, checkpointed": (IMAGES, "checkpointed")},
}


def race(name: str, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """All rows of one estimator, in turn."""
    workers: dict[str, Worker] = {}
    for row, (module, *arguments) in RACES[name].items():
        python = args.peers if module == TORCH else sys.executable
        if python and (args.only is None or row in args.only):
            sizes = ("--threads", threads, *(("--blocks", args.blocks, "--batch", args.batch) if module != IMAGES else ()))
            workers[row] = Worker(python, module, *arguments, *map(str, sizes))
    rows = {row: {**worker.about, "walls": [], "cpus": []} for row, worker in workers.items()}
    loads = []
    for turn in range(args.turns + 1):
        for row, worker in workers.items():
            answer = worker.run("step", args.steps)
            rows[row]["peak_mib"] = answer["peak_mib"]
            if turn:  # the first turn warms up
                rows[row]["walls"] += answer["wall"]
                rows[row]["cpus"] += answer["cpu"]
        loads.append(os.getloadavg()[0])
    for row, worker in workers.items():
        worker.close()
        for clock in ("wall", "cpu"):
            rows[row][clock] = statistics.median(rows[row][clock + "s"])
            rows[row][clock + "_best"] = min(rows[row][clock + "s"])
    return {"race": name, "threads": threads, "blocks": args.blocks, "batch": args.batch, "load_average": loads, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """Times, memory, and ratios of CPU and wall to each peer."""
    rows = result["rows"]
    peers = [row for row in rows if row.startswith("normflows")]
    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    load = statistics.median(result["load_average"])
    what = f"{result['race']}, {next(iter(rows.values()))['size']}, {threads}"
    lines = [f"{what}; milliseconds a step (medians), load {load:.1f}"]
    head = f"{'':32}{'CPU':>8}{'wall':>8}{'best':>8}{'first s':>9}{'MiB':>7}{'on top':>8}"
    lines.append(head + "".join(f"{'/ ' + peer.removeprefix('normflows, ') + ' (CPU, wall)':>38}" for peer in peers))
    for row, found in rows.items():
        cells = f"{1e3 * found['cpu']:8.1f}{1e3 * found['wall']:8.1f}{1e3 * found['wall_best']:8.1f}"
        cells += f"{found['first_step_seconds']:9.1f}{found['peak_mib']:7.0f}{found['peak_mib'] - found['start_mib']:8.0f}"
        for peer in peers:
            ratios = [found[clock] / rows[peer][clock] for clock in ("cpu", "wall")]
            cells += f"{ratios[0]:29.2f} {ratios[1]:8.2f}"
        lines.append(f"{row:32}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", nargs="*", default=list(RACES), choices=list(RACES))
    parser.add_argument("--only", nargs="+", help="rows to run")
    parser.add_argument("--peers", default=os.environ.get("INNTF_PEERS"), help="a Python with normflows and torch")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="steps a turn")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    args = parser.parse_args()
    results = []
    for threads in args.threads:
        for name in args.races:
            results.append(race(name, threads, args))
            print(table(results[-1]), end="\n\n", flush=True)
            if args.json:
                args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
