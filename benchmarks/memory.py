"""Memory and time of training deep chains of couplings, by depth: `python -m benchmarks.memory`.

One affine coupling a block, on 16x16x12 images with 64 hidden channels, batch 64: negative log-likelihood and Adam.  Every
measurement runs in a fresh process; memory is the largest resident size after the steps over that of depth 0, time the median
of the later steps.  Modes alternate within a depth, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODES = ("repeat-reversible", "repeat-stored", "chain-reversible", "chain-stored")


def measure(mode: str, depth: int, batch: int, steps: int, threads: int) -> dict[str, Any]:
    """One measurement, in this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # here, so that the parent process stays small
    import tensorflow as tf

    from inntf.blocks import AffineCoupling, Permutation
    from inntf.compose import Chain, Repeat
    from inntf.nets import ConvNet

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def make() -> Chain:
        return Chain([AffineCoupling(conditioner=ConvNet(64)), Permutation.reverse()])

    kind, backprop = mode.split("-")
    start = time.perf_counter()
    if depth == 0:
        model = Permutation.reverse()
    elif kind == "repeat":
        model = Repeat(make, depth, backprop=backprop)
    else:
        model = Chain([make() for _ in range(depth)], backprop=backprop)
    model.ensure_built((16, 16, 12))
    scale = keras.Variable(1.0)
    variables = [scale, *model.trainable_variables]
    optimizer = keras.optimizers.Adam(1e-5)  # deep and without normalization: larger steps explode
    optimizer.build(variables)
    x = tf.random.stateless_normal([batch, 16, 16, 12], [0, 0])
    built = time.perf_counter() - start

    @tf.function
    def train(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            z, log_det = model.forward_and_log_det(x * scale.value)
            loss = tf.reduce_mean(tf.reduce_sum(z**2, [1, 2, 3]) / 2 - log_det)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    walls, cpus = [], []
    for _ in range(steps + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = float(train(x))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "mode": mode,
        "depth": depth,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "build_seconds": built,
        "first_step_seconds": walls[0],
        "first_step_cpu": cpus[0],
        "step_seconds": statistics.median(walls[1:]),
        "step_cpu": statistics.median(cpus[1:]),
        "loss": loss,
        "worst_drift": getattr(model, "worst_drift", None),
    }


def fresh(mode: str, depth: int, args: argparse.Namespace) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--one", mode, str(depth)]
    command += ["--batch", str(args.batch), "--steps", str(args.steps), "--threads", str(args.threads)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--max-chain", type=int, default=32, help="largest depth of the unrolled chains")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="timed steps after the first")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--one", nargs=2, metavar=("MODE", "DEPTH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]), args.batch, args.steps, args.threads)))
        return
    base = fresh(args.modes[0], 0, args)["peak_mib"]
    rows = []
    print(f"{'mode':18} {'depth':>5} {'MiB':>7} {'MiB/block':>9} {'build s':>8} {'first s':>8} {'step s':>8} {'CPU s':>8}")
    for depth in args.depths:
        for mode in args.modes:
            if mode.startswith("chain") and depth > args.max_chain:
                continue
            row = fresh(mode, depth, args)
            row["over_depth_0_mib"] = row["peak_mib"] - base
            before = [r for r in rows if r["mode"] == mode]
            slope = (row["peak_mib"] - before[0]["peak_mib"]) / (depth - before[0]["depth"]) if before else float("nan")
            row["mib_per_block"] = slope
            rows.append(row)
            times = [row[k] for k in ("build_seconds", "first_step_seconds", "step_seconds", "step_cpu")]
            print(
                f"{mode:18} {depth:5d} {row['over_depth_0_mib']:7.0f} {slope:9.2f} " + " ".join(f"{t:8.2f}" for t in times),
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps({"threads": args.threads, "batch": args.batch, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
