"""Memory and time of training deep chains of couplings, by depth: `python -m benchmarks.memory --peers /path/to/python`.

One affine coupling a block, on 16x16x12 images with 64 hidden channels, batch 64: negative log-likelihood and Adam.  Every
measurement runs in a fresh process; memory is the largest resident size after the steps over that of the same library at
depth 0, time the median of the later steps.  Modes alternate within a depth, so that a busy machine slows all of them.
With a Python that has them, PyTorch runs beside: stored, `torch.utils.checkpoint`, memcnn, FrEIA.
`--squeezed 512` trains a flow of that depth on 32x32x3 images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

OURS = ("repeat-reversible", "repeat-stored", "chain-reversible", "chain-stored")
PEERS = ("memcnn", "torch-checkpoint", "torch-stored", "freia")
STORED = {"repeat-reversible": "repeat-stored", "chain-reversible": "chain-stored", "memcnn": "torch-stored"}
STORED["torch-checkpoint"] = "torch-stored"


def fresh(mode: str, depth: int, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    peer = mode in PEERS
    module = "benchmarks.workers.torch_memory" if peer else "benchmarks.workers.memory"
    command = [args.peers if peer else sys.executable, "-m", module, mode, str(depth)]
    command += ["--batch", str(args.batch), "--steps", str(args.steps), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.strip().splitlines()[-1]), "threads": threads}


def measure(threads: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """All depths and modes with this number of threads; prints a line each."""
    modes = [mode for mode in args.modes if mode not in PEERS or args.peers]
    base = {kind: fresh(kind, 0, threads, args)["peak_mib"] for kind in dict.fromkeys(_base(mode) for mode in modes)}
    rows: list[dict[str, Any]] = []
    print(f"{threads} thread{'s' * (threads > 1)}, batch {args.batch}")
    names = ("MiB", "MiB/block", "build s", "first s", "step s", "step CPU", "CPU/stored")
    print(f"{'mode':18} {'depth':>5}" + "".join(f"{name:>11}" for name in names))
    for depth in args.depths:
        here: dict[str, dict[str, Any]] = {}
        for mode in modes:
            limit = args.max_chain if mode.startswith("chain") else args.max_stored
            if depth > limit and mode in ("chain-reversible", "chain-stored", "torch-stored", "freia"):
                continue
            row = here[mode] = fresh(mode, depth, threads, args)
            row["over_depth_0_mib"] = row["peak_mib"] - base[_base(mode)]
            first = next((r for r in rows if r["mode"] == mode), None)
            row["mib_per_block"] = (row["peak_mib"] - first["peak_mib"]) / (depth - first["depth"]) if first else None
            rows.append(row)
        for mode, row in here.items():
            stored = here.get(STORED.get(mode))
            row["cpu_over_stored"] = row["step_cpu"] / stored["step_cpu"] if stored else None
            times = [row[k] for k in ("build_seconds", "first_step_seconds", "step_seconds", "step_cpu", "cpu_over_stored")]
            cells = "".join(f"{'':>11}" if t is None else f"{t:11.2f}" for t in (row["mib_per_block"], *times))
            print(f"{mode:18} {depth:5d}{row['over_depth_0_mib']:11.0f}{cells}", flush=True)
    return rows


def _base(mode: str) -> str:
    return "torch-stored" if mode in PEERS else OURS[0]


def main() -> None:
    """Parse the command line, measure, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="*", default=[8, 16, 32, 64, 128])
    parser.add_argument("--modes", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--peers", default=os.environ.get("INNTF_PEERS"), help="a Python with torch, memcnn and FrEIA")
    parser.add_argument("--max-chain", type=int, default=32, help="largest depth of the unrolled chains")
    parser.add_argument("--max-stored", type=int, default=64, help="largest depth of PyTorch with stored activations")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="timed steps after the first")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--squeezed", type=int, metavar="DEPTH", help="also train this depth on 32x32x3 images, squeezed")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    args = parser.parse_args()
    rows = [row for threads in args.threads for row in (measure(threads, args) if args.depths else [])]
    if args.squeezed:
        row = fresh("squeezed-reversible", args.squeezed, args.threads[-1], args)
        rows.append(row)
        print(
            f"32x32x3, depth {args.squeezed}, batch {args.batch}: peak {row['peak_mib']:.0f} MiB in all, first step "
            f"{row['first_step_seconds']:.1f} s, step {row['step_seconds']:.1f} s ({row['step_cpu']:.1f} CPU s), "
            f"loss {row['loss']:.1f}, worst drift {row['worst_drift']:.1e}"
        )
    if args.json:
        args.json.write_text(json.dumps({"batch": args.batch, "load_average": os.getloadavg(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
