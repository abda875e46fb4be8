"""inntf's models for `benchmarks.speed`: `python -m benchmarks.workers.ours WORKLOAD VARIANT --threads N`."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output, libraries_loaded, serve, timed
from benchmarks.workers.tiny_steps import tensorflow_started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=("glow", "couplings"))
    parser.add_argument("variant", choices=("repeat", "unrolled", "reversible", "xla"))  # xla: unrolled
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--depth", type=int, default=8)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import tensorflow as tf
    import tensorflow_probability as tfp

    import inntf
    from inntf.models import glow, real_nvp

    tensorflow_started(args.threads)
    _ = tfp.distributions.Normal  # TFP is imported at its first use
    start, jit = libraries_loaded(), True if args.variant == "xla" else None
    backprop = "reversible" if args.variant == "reversible" else "stored"
    kind = {"repeat": args.variant not in ("unrolled", "xla"), "backprop": backprop}
    if args.workload == "glow":
        x = tf.random.stateless_uniform([32, 32, 32, 3], [0, 0], -0.5, 0.5)
        build, _, flow = timed(
            lambda: glow(event_shape=(32, 32, 3), levels=3, depth=args.depth, hidden=64, priors="fixed", **kind)
        )
    else:
        x = tf.random.stateless_normal([1000, 4], [0, 0])
        build, _, flow = timed(
            lambda: real_nvp(event_shape=4, depth=args.depth, hidden=(256, 256), actnorm=False, heavy_tails=False, **kind)
        )
    initialize = timed(lambda: flow.initialize(x))[0] if args.workload == "glow" else 0.0
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(1e-4)

    @tf.function(jit_compile=jit)
    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def first():
        optimizer.build(variables)
        return float(train(x))

    first_seconds, first_cpu, loss = timed(first)
    log_prob = tf.function(flow.log_prob, jit_compile=jit)
    sample = tf.function(lambda: flow.sample(100_000, seed=tf.constant([1, 2])), jit_compile=jit)
    block = flow.block
    there_and_back = tf.function(lambda x: block.inverse_and_log_det(block.forward_and_log_det(x)[0])[0], jit_compile=jit)
    serve(
        answers,
        {
            "step": lambda: float(train(x)),
            "log_prob": lambda: log_prob(x).numpy(),
            "sample": lambda: sample().numpy(),
            "inverse_error": lambda: float(tf.reduce_max(tf.abs(there_and_back(x) - x))),
        },
        library=f"inntf {inntf.__version__}, TensorFlow {tf.__version__}",
        start_mib=start,
        parameters=int(sum(v.shape.num_elements() for v in variables)),
        build_seconds=build,
        initialize_seconds=initialize,
        first_step_seconds=first_seconds,
        first_step_cpu=first_cpu,
        loss=loss,
    )


if __name__ == "__main__":
    main()
