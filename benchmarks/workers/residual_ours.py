"""Our residual flow for `benchmarks.residual_speed`: `-m benchmarks.workers.residual_ours ESTIMATOR GRADIENT HOW MODE`."""

from __future__ import annotations

import argparse
import os
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output, serve, timed

HIDDEN, BATCH, COEFFICIENT = (128, 128, 128, 128), 500, 0.9 ** (1 / 5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("estimator", choices=("series", "roulette", "exact"))
    parser.add_argument("gradient", choices=("autodiff", "neumann"))
    parser.add_argument("how", choices=("auto", "products"))
    parser.add_argument("mode", choices=("repeat", "unrolled", "xla", "checkpointed"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--batch", type=int, default=BATCH)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import tensorflow as tf

    import inntf
    from inntf.models import residual_flow
    from inntf.nets import LipSwish, SpectralDense
    from inntf.numerics import ExactLogDet, PowerSeries, RussianRoulette
    from inntf.training import update_spectral_norms

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(0)
    # Gaussian probes, as the peer's.
    settings = {"noise": "gaussian", "gradient": args.gradient, "dense": None if args.how == "auto" else False}
    estimator = {
        "series": lambda: PowerSeries(10, **settings),
        "roulette": lambda: RussianRoulette(**settings),  # geometric with p = 0.5 after two exact terms, as the peer's
        "exact": ExactLogDet,
    }[args.estimator]()

    def network(channels):
        layers = []
        for units in (*HIDDEN, channels):
            # No tolerance: five power iterations whatever they find, as the peer's.
            dense = SpectralDense(units, COEFFICIENT, max_iterations=5, tolerance=1e-30, update_every_call=False)
            layers += [LipSwish(), dense]
        return keras.Sequential(layers)

    def make():
        repeat = args.mode in ("repeat", "checkpointed")
        backprop = "checkpointed" if args.mode == "checkpointed" else "stored"
        settings = {"network": network, "log_det": estimator, "repeat": repeat, "backprop": backprop}
        return residual_flow(event_shape=2, depth=args.blocks, actnorm=False, **settings)

    build, _, flow = timed(make)
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(jit_compile=args.mode == "xla" or None, autograph=False)
    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        update_spectral_norms(flow.block)
        return loss

    x = tf.random.stateless_normal([args.batch, 2], [0, 0])

    def step():
        return float(train(x))

    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first_seconds, first_cpu, loss = timed(step)
    serve(
        answers,
        {"step": step},
        library=f"inntf {inntf.__version__}",
        parameters=int(sum(v.shape.num_elements() for v in variables)),
        build_seconds=build,
        start_mib=start,
        first_step_seconds=first_seconds,
        first_step_cpu=first_cpu,
        loss=loss,
    )


if __name__ == "__main__":
    main()
