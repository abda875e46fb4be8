"""One measurement of `benchmarks.memory` with inntf: `python -m benchmarks.workers.memory MODE DEPTH`.

Modes: `repeat-reversible`, `repeat-stored`, `chain-reversible`, `chain-stored`; `squeezed-reversible` is the first on
32x32x3 images, squeezed to 16x16x12.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output, timed

MODES = ("repeat-reversible", "repeat-stored", "chain-reversible", "chain-stored")


def make_model(mode: str, depth: int) -> tuple[Any, tuple[int, ...]]:
    """The block and the shape of its events."""
    from inntf.blocks import AffineCoupling, Permutation, Squeeze
    from inntf.compose import Chain, Repeat
    from inntf.nets import ConvNet

    def make() -> Chain:
        return Chain([AffineCoupling(conditioner=ConvNet(64)), Permutation.reverse()])

    kind, backprop = mode.split("-")
    shape = (32, 32, 3) if kind == "squeezed" else (16, 16, 12)
    if depth == 0:
        return Permutation.reverse(), shape
    if kind == "squeezed":
        return Chain([Squeeze(), Repeat(make, depth, backprop=backprop)]), shape
    if kind == "repeat":
        return Repeat(make, depth, backprop=backprop), shape
    return Chain([make() for _ in range(depth)], backprop=backprop), shape


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=(*MODES, "squeezed-reversible"))
    parser.add_argument("depth", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import tensorflow as tf

    from inntf.compose import worst_drift

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(0)
    tf.zeros([]).numpy()
    model, shape = make_model(args.mode, args.depth)
    built, built_cpu, _ = timed(lambda: model.ensure_built(shape))
    scale = keras.Variable(1.0)
    variables = [scale, *model.trainable_variables]
    optimizer = keras.optimizers.Adam(1e-5)  # deep and without normalization: larger steps explode
    optimizer.build(variables)
    x = tf.random.stateless_normal([args.batch, *shape], [0, 0])

    @tf.function
    def train(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            z, log_det = model.forward_and_log_det(x * scale.value)
            loss = tf.reduce_mean(tf.reduce_sum(z**2, [1, 2, 3]) / 2 - log_det)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    steps = [timed(lambda: float(train(x))) for _ in range(args.steps + 1)]
    result = {
        "mode": args.mode,
        "depth": args.depth,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "build_seconds": built,
        "build_cpu": built_cpu,
        "first_step_seconds": steps[0][0],
        "first_step_cpu": steps[0][1],
        "step_seconds": statistics.median(s[0] for s in steps[1:]),
        "step_cpu": statistics.median(s[1] for s in steps[1:]),
        "loss": steps[-1][2],
        "worst_drift": worst_drift(model),
    }
    answers.write(json.dumps(result) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
