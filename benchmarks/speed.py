"""Speed of training, densities and samples beside the peers': `python -m benchmarks.speed --peers /path/to/python`.

Two workloads: a Glow on 32x32x3 images (3 levels of 8 steps, 64 hidden channels, batch 32), and 8 affine couplings on
4-dimensional data (two hidden layers of 256, batch 1000); both minimize the negative log-likelihood with Adam.  Every
model runs in a process of its own.  The processes wait, and run blocks of a few steps in turn, so that a busy machine slows
all of them; the figures are medians over all steps, of wall and of CPU seconds (all threads), and ratios of CPU seconds.
`--first-step` measures the time to the first training step of ours by depth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

OURS, RAW, TORCH = "benchmarks.workers.ours", "benchmarks.workers.raw_tensorflow", "benchmarks.workers.pytorch"
RACES = {
    "glow": {
        "inntf": (OURS, "repeat"),
        "inntf unrolled": (OURS, "unrolled"),
        "inntf reversible": (OURS, "reversible"),
        "raw TensorFlow": (RAW, "keras-adam"),
        "raw TensorFlow, fused Adam": (RAW, "fused-adam"),
        "FrEIA AllInOneBlock": (TORCH, "freia"),
        "normflows Glow": (TORCH, "normflows"),
    },
    "couplings": {
        "inntf": (OURS, "repeat"),
        "inntf unrolled": (OURS, "unrolled"),
        "raw TensorFlow": (RAW, "keras-adam"),
        "raw TensorFlow, fused Adam": (RAW, "fused-adam"),
        "FrEIA GLOWCouplingBlock": (TORCH, "freia-glow"),
        "FrEIA AllInOneBlock": (TORCH, "freia-all-in-one"),
        "nflows": (TORCH, "nflows"),
    },
}
# Action: (steps a turn, turns)
PLANS = {"glow": {"step": (5, 6)}, "couplings": {"step": (10, 8), "log_prob": (20, 6), "sample": (1, 6)}}


class Worker:
    """One process that waits for orders; with its own environment variables, where they are given."""

    def __init__(self, python: str, module: str, *args: str, env: dict[str, str] | None = None):
        self.process = subprocess.Popen(
            [python, "-m", module, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if not os.environ.get("BENCHMARK_STDERR") else None,
            text=True,
            cwd=Path(__file__).parents[1],
            env=None if env is None else os.environ | env,
        )
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            errors = self.process.stderr.read()[-2000:] if self.process.stderr else ""
            raise RuntimeError(f"a worker stopped: {' '.join(self.process.args)}\n{errors}")
        return json.loads(line)

    def run(self, action: str, count: int) -> dict[str, Any]:
        """Run an action a few times."""
        self.process.stdin.write(f"{action} {count}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let it end."""
        self.process.stdin.close()
        self.process.wait(30)


def race(workload: str, threads: int, peers: str | None, names: list[str] | None, turns: float) -> dict[str, Any]:
    """All models of one workload, in turn."""
    workers: dict[str, Worker] = {}
    for name, (module, variant) in RACES[workload].items():
        python = peers if module == TORCH else sys.executable
        if python and (names is None or any(wanted in name for wanted in names)):
            workers[name] = Worker(python, module, workload, variant, "--threads", str(threads))
    rows = {name: {**worker.about, "wall": {}, "cpu": {}} for name, worker in workers.items()}
    for action, (steps, times) in PLANS[workload].items():
        samples: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in workers}
        for turn in range(1 + max(1, round(times * turns))):
            for name, worker in workers.items():
                answer = worker.run(action, steps)
                rows[name]["peak_mib"] = answer["peak_mib"]
                if turn:  # the first turn warms up
                    for clock in ("wall", "cpu"):
                        samples[name][clock] += answer[clock]
        for name in workers:
            for clock in ("wall", "cpu"):
                rows[name][clock][action] = statistics.median(samples[name][clock])
    for worker in workers.values():
        worker.close()
    return {"workload": workload, "threads": threads, "load_average": os.getloadavg(), "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The table of one race, with CPU ratios to ours."""
    actions = list(PLANS[result["workload"]])
    head = "".join(f"{a + ' CPU':>13}{'wall':>9}{'/ inntf':>9}" for a in actions)
    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    lines = [f"{result['workload']}, {threads}; CPU and wall milliseconds (medians), ratio of CPU to inntf's", f"{'':28}{head}"]
    lines[1] += f"{'first s':>9}{'MiB':>7}{'weights':>9}"
    ours = result["rows"].get("inntf")
    for name, row in result["rows"].items():
        cells = ""
        for a in actions:
            ratio = f"{row['cpu'][a] / ours['cpu'][a]:9.2f}" if ours else f"{'':9}"
            cells += f"{1e3 * row['cpu'][a]:13.1f}{1e3 * row['wall'][a]:9.1f}{ratio}"
        first = row["build_seconds"] + row["initialize_seconds"] + row["first_step_seconds"]
        lines.append(f"{name:28}{cells}{first:9.1f}{row['peak_mib']:7.0f}{row['parameters']:9d}")
    return "\n".join(lines)


def first_steps(threads: int, depths: list[int], repeats: int) -> list[dict[str, Any]]:
    """Time from nothing to the end of the first training step of our Glow, by steps per level; the depths alternate."""
    rows = []
    for _ in range(repeats):
        for depth in depths:
            worker = Worker(sys.executable, OURS, "glow", "repeat", "--depth", str(depth), "--threads", str(threads))
            again = worker.run("step", 3)
            worker.close()
            rows.append(
                {**worker.about, "depth": depth, "later_step_seconds": min(again["wall"]), "later_step_cpu": min(again["cpu"])}
            )
    return rows


def first_table(rows: list[dict[str, Any]]) -> str:
    """Medians by depth."""
    keys = ("build_seconds", "initialize_seconds", "first_step_seconds", "first_step_cpu", "later_step_seconds")
    lines = [
        "time to the first step, seconds (medians)",
        f"{'depth':>9}" + "".join(f"{k.removesuffix('_seconds'):>16}" for k in keys),
    ]
    for depth in dict.fromkeys(row["depth"] for row in rows):
        medians = [statistics.median(r[k] for r in rows if r["depth"] == depth) for k in keys]
        lines.append(f"{'3 x ' + str(depth):>9}" + "".join(f"{m:16.2f}" for m in medians))
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="*", default=list(RACES), choices=list(RACES))
    parser.add_argument("--only", nargs="+", help="names of models to run, or parts of names")
    parser.add_argument("--peers", default=os.environ.get("INNTF_PEERS"), help="a Python with FrEIA, nflows and normflows")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=float, default=1.0, help="factor on the number of turns")
    parser.add_argument("--first-step", type=int, nargs="*", metavar="DEPTH", help="also the time to the first step (8, 32)")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes a depth for --first-step")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    args = parser.parse_args()
    results: dict[str, Any] = {"races": [], "first_steps": []}
    for threads in args.threads:
        for workload in args.workloads:
            results["races"].append(race(workload, threads, args.peers, args.only, args.turns))
            print(table(results["races"][-1]), end="\n\n", flush=True)
    if args.first_step is not None:
        results["first_steps"] = first_steps(args.threads[-1], args.first_step or [8, 32], args.repeats)
        print(first_table(results["first_steps"]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
