"""Norms of convolutions, certified and estimated, beside the operator's own: `python -m benchmarks.spectral_norms`.

For random kernels of 3x3 and 5x5 with strides 1 and 2 on images of 8x8 and 28x28: the norm of the dense matrix that the
zero-padded convolution is (brute force, float64), the certified bound (relative to it), the circular norm by brute force and
as certified, power iterations with the true convolution (which bound from below), and the norm of the reshaped kernel
(which bounds nothing).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from inntf.numerics import circular_conv_norm, conv_norm_bound, conv_power_iteration, reshaped_kernel_norm

ITERATIONS = (5, 20, 100)


def dense_norm(function: Any, shape: tuple[int, ...]) -> float:
    """Largest singular value of the matrix of a linear function, one column a unit vector."""
    size = int(np.prod(shape))
    units = np.eye(size).reshape(size, *shape)
    columns = np.concatenate([function(tf.constant(part)).numpy() for part in np.array_split(units, -(-size // 256))])
    return float(np.linalg.norm(columns.reshape(size, -1), 2))


def measure(taps: int, stride: int, side: int, channels: tuple[int, int], seed: int) -> dict[str, Any]:
    """All the norms of one random kernel."""
    kernel = np.random.default_rng(seed).normal(size=(taps, taps, *channels))
    shape = (side, side, channels[0])
    # Circular padding by hand, as TensorFlow places the window for "same" does not matter to a norm on the torus.
    ahead = (taps - 1) // 2

    def circular(x: tf.Tensor) -> tf.Tensor:
        around = tf.concat([x[:, side - ahead :], x, x[:, : taps - 1 - ahead]], 1)
        around = tf.concat([around[:, :, side - ahead :], around, around[:, :, : taps - 1 - ahead]], 2)
        return tf.nn.conv2d(around, kernel, stride, "VALID")

    row: dict[str, Any] = {"taps": taps, "stride": stride, "side": side, "channels": list(channels)}
    row["zero_padded"] = dense_norm(lambda x: tf.nn.conv2d(x, kernel, stride, "SAME"), shape)
    started = time.perf_counter()
    row["certified"] = conv_norm_bound(kernel, (side, side), stride, exact_below=0)
    row["certified_seconds"] = time.perf_counter() - started
    row["circular"] = dense_norm(circular, shape)
    row["circular_certified"] = circular_conv_norm(kernel, (side, side), stride)
    start = tf.constant(np.random.default_rng(seed + 1).normal(size=(1, *shape)))
    for n in ITERATIONS:
        row[f"power_{n}"] = float(conv_power_iteration(kernel, start, stride, iterations=n, tolerance=1e-30)[0])
    row["reshaped"] = reshaped_kernel_norm(kernel)
    return row


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs=2, default=(2, 3), metavar=("IN", "OUT"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    args = parser.parse_args()
    names = ("certified", "circular_certified", *(f"power_{n}" for n in ITERATIONS), "reshaped")
    print(f"{'kernel':>8}{'stride':>8}{'image':>8}{'dense':>10}" + "".join(f"{n.replace('_', ' '):>20}" for n in names))
    rows = []
    for side in (8, 28):
        for taps in (3, 5):
            for stride in (1, 2):
                row = measure(taps, stride, side, tuple(args.channels), args.seed)
                rows.append(row)
                cells = ""
                for name in names:  # the certified circular norm against the circular one, all others against zero padding
                    true = row["circular"] if name.startswith("circular") else row["zero_padded"]
                    cells += f"{100 * (row[name] / true - 1):+19.2g}%"
                print(f"{taps:>6}x{taps}{stride:>8}{side:>5}x{side:<2}{row['zero_padded']:10.4f}{cells}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
