"""Condition numbers of a trained Glow without its Jacobian, beside dense ways: `python -m benchmarks.spectra --data-dir DIR`.

A Glow (3 levels of 8 steps, 64 hidden channels, affine couplings, 3072 dimensions) is trained on CIFAR-10 for some hundred
steps, then asked for the extreme singular values at test images: by `inntf.stability.singular_values` (Lanczos on traced
products), one image and several; by our dense Jacobian (`batch_jacobian` of a `tf.function`) and an SVD in float64; and, with
`--peers`, by `torch.func.jacrev` of a Glow of the same size.  Noise is drawn once: every way measures at the same point.

The second table is `batch_jacobian` itself beside `torch.func.vmap(jacrev)` on small networks, torch with one thread: so small
ones gain nothing by two.  `TF_NUM_INTRAOP_THREADS=1` sets that for ours.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.speed import Worker
from inntf.blocks import Dequantize, Logit
from inntf.models import DensityModel, glow
from inntf.numerics import batch_jacobian
from inntf.stability import singular_values
from inntf.stability.block_functions import BlockFunctions
from recipes.common.data import load_images

TORCH = "benchmarks.workers.torch_jacobian"
# (kind, event size or side, hidden, batch)
NETWORKS = (
    ("mlp", 2, 64, 64),
    ("mlp", 8, 64, 64),
    ("mlp", 32, 128, 16),
    ("mlp", 64, 256, 64),
    ("conv", 8, 16, 4),
    ("conv", 16, 32, 1),
)


def trained_glow(args: argparse.Namespace) -> Any:
    """The flow, trained, or with weights from before; and test images."""
    data = load_images("cifar10", args.data_dir)
    keras.utils.set_random_seed(0)
    flow = glow(event_shape=(32, 32, 3), levels=3, depth=8, hidden=64, preprocessing=[Dequantize(), Logit(0.05)])
    if args.weights and args.weights.exists():
        flow.block.set_weights(pickle.loads(args.weights.read_bytes()))
    else:
        model = DensityModel(flow)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(data.train[: 32 * args.steps].astype("float32"), batch_size=32, epochs=1, verbose=2)
        if args.weights:
            args.weights.write_bytes(pickle.dumps(flow.block.get_weights()))
    return flow, data.test.astype("float32")


def timed(action: Callable[[], Any], times: int) -> tuple[float, float, Any]:
    """Median wall and CPU seconds after a first call, and the result."""
    result = action()
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        result = action()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus), result


def spectra(args: argparse.Namespace) -> dict[str, Any]:
    """Matrix-free and dense values of the trained Glow, and their times."""
    flow, images = trained_glow(args)
    maps = BlockFunctions.of(flow, images[: args.batch]).smooth()  # the noise is drawn here, once
    block, x = maps.block, maps.x
    out: dict[str, Any] = {}
    start = time.perf_counter()
    singular_values(block, x[:1], method="lanczos")
    singular_values(block, x, method="lanczos")
    out["first two calls, traces included"] = time.perf_counter() - start
    for name, points in (("one image", x[:1]), (f"{args.batch} images", x)):
        wall, cpu, found = timed(lambda points=points: singular_values(block, points, method="lanczos"), args.times)
        out[name] = {
            "wall": wall,
            "cpu": cpu,
            "largest": found.largest.numpy().tolist(),
            "smallest": found.smallest.numpy().tolist(),
        }
        out[name] |= {"converged": bool(np.all(found.converged)), "consistent": bool(np.all(found.consistent))}
    if args.dense:
        forward = tf.function(lambda x: block.forward_and_log_det(x)[0], autograph=False)
        wall, cpu, jacobian = timed(lambda: batch_jacobian(forward, x[:1]), 1)
        start = time.perf_counter()
        values = np.linalg.svd(jacobian[0].numpy().astype("float64"), compute_uv=False)
        svd = time.perf_counter() - start
        out["dense"] = {
            "jacobian wall": wall,
            "jacobian cpu": cpu,
            "svd wall": svd,
            "largest": values[0],
            "smallest": values[-1],
        }
        one = out["one image"]
        out["errors"] = [abs(one["largest"][0] / values[0] - 1), abs(one["smallest"][0] / values[-1] - 1)]
    return out


def network(kind: str, size: int, hidden: int) -> tuple[keras.Sequential, tuple[int, ...]]:
    """A small network that keeps the shape, and the shape."""
    layers = keras.layers
    if kind == "mlp":
        parts, shape = [layers.Dense(hidden, "relu"), layers.Dense(hidden, "relu"), layers.Dense(size)], (size,)
    else:
        parts = [
            layers.Conv2D(n, k, padding="same", activation=a)
            for n, k, a in ((hidden, 3, "relu"), (hidden, 1, "relu"), (3, 3, None))
        ]
        shape = (size, size, 3)
    net = keras.Sequential(parts)
    net.build((None, *shape))
    return net, shape


def jacobians(args: argparse.Namespace) -> dict[str, Any]:
    """`batch_jacobian` and torch's, in turn."""
    out: dict[str, Any] = {}
    for kind, size, hidden, batch in NETWORKS:
        net, shape = network(kind, size, hidden)
        function, x = tf.function(net, autograph=False), tf.random.normal([batch, *shape])
        row = {"inntf": timed(lambda f=function, x=x: batch_jacobian(f, x), 20)[:2]}
        if args.peers:
            worker = Worker(args.peers, TORCH, kind, str(size), str(hidden), str(batch))
            worker.run("jacobian", 3)
            answer = worker.run("jacobian", 20)
            row["torch"] = statistics.median(answer["wall"]), statistics.median(answer["cpu"])
            worker.close()
        out[f"{kind} {size}, {hidden} hidden, batch {batch}"] = row
    return out


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--steps", type=int, default=400, help="training steps of 32 images")
    parser.add_argument("--weights", type=Path, help="where the trained weights are kept, or come from")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--peers", help="a Python with torch")
    parser.add_argument("--no-dense", dest="dense", action="store_false")
    parser.add_argument("--only", choices=("spectra", "jacobians"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result: dict[str, Any] = {}
    if args.only != "jacobians":
        result["spectra"] = spectra(args)
        if args.peers and args.dense:
            worker = Worker(args.peers, TORCH, "glow", "32", "64", "1", "--threads", "2")
            answer = worker.run("spectrum", 1)
            result["spectra"]["torch jacrev and svd"] = {"wall": answer["wall"][0], "cpu": answer["cpu"][0]}
            worker.close()
        for name, value in result["spectra"].items():
            print(f"{name}: {value}", flush=True)
    if args.only != "spectra":
        result["jacobians"] = jacobians(args)
        for name, row in result["jacobians"].items():
            cells = ", ".join(f"{who} {1e3 * wall:.2f} ms ({1e3 * cpu:.2f} CPU)" for who, (wall, cpu) in row.items())
            print(f"{name}: {cells}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
