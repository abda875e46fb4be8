"""A training step of every factory with `jit_compile=True` over the same without: `python -m benchmarks.xla_steps [NAME ...]`.

Both kinds run in one process, in turn; medians of CPU seconds on one thread.  "Compile": the first step with XLA.  The last
column is what inntf warned of while XLA compiled: a step that takes more than 1.2 times as long must have been told of.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf import models
from inntf.numerics import RussianRoulette

TURNS, STEPS = 6, 3
BAR = 1.2


def _draw(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))


SMALL = (16, 16, 3)
CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "real_nvp": (lambda: models.real_nvp(event_shape=6, depth=8, hidden=(128, 128)), (1000, 6)),
    "autoregressive_flow": (lambda: models.autoregressive_flow(event_shape=6, depth=5, hidden=(128, 128)), (1000, 6)),
    "spline_flow": (lambda: models.spline_flow(event_shape=6, depth=8, hidden=(128, 128)), (1000, 6)),
    "ffjord": (lambda: models.ffjord(event_shape=2, hidden=(64, 64)), (500, 2)),
    "residual_flow": (lambda: models.residual_flow(event_shape=2, depth=8), (500, 2)),
    "residual_flow, 32-d": (lambda: models.residual_flow(event_shape=32, depth=4), (500, 32)),
    "residual_flow, images": (lambda: models.residual_flow(event_shape=SMALL, depth=2), (16, *SMALL)),
    "residual_flow, images, Neumann": (
        lambda: models.residual_flow(event_shape=SMALL, depth=2, log_det=RussianRoulette(gradient="neumann")),
        (16, *SMALL),
    ),
    "glow, 2 x 4": (lambda: models.glow(event_shape=SMALL, levels=2, depth=4, hidden=64), (16, *SMALL)),
    "glow, 3 x 8": (lambda: models.glow(event_shape=(32, 32, 3), levels=3, depth=8, hidden=64), (16, 32, 32, 3)),
}


def trained(flow: models.Flow, jit: bool | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """A step of Adam."""
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(variables)

    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return tf.function(step, jit_compile=jit, autograph=False)


def row(name: str) -> str:
    """A line of the table."""
    make, shape = CASES[name]
    x, flow = _draw(*shape), make()
    flow.initialize(x)
    steps, spent, first = {jit: trained(flow, jit) for jit in (None, True)}, {None: [], True: []}, 0.0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for step in steps.values():
            start = time.process_time()
            step(x)
            first = time.process_time() - start
    for _ in range(TURNS):
        for jit, step in steps.items():
            for _ in range(STEPS):
                start = time.process_time()
                float(step(x))
                spent[jit].append(1e3 * (time.process_time() - start))
    plain, compiled = (statistics.median(spent[jit]) for jit in (None, True))
    said = sorted({str(w.message).split(",")[0][:60] for w in told if "XLA" in str(w.message)})
    ratio = compiled / plain
    mark = " **untold**" if ratio > BAR and not said else ""
    return f"| {name} | {plain:.1f} | {compiled:.1f} | {ratio:.2f}{mark} | {first:.1f} | {'; '.join(said) or '-'} |"


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    names = parser.parse_args().names or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"received {', '.join(unknown)}, expected some of {', '.join(CASES)}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(
        "| factory | ms a step | with XLA | ratio | compile, s | told while compiling |\n|---|---|---|---|---|---|", flush=True
    )
    for name in names:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
