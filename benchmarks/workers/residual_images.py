"""The residual flow of `recipes.iresnet` on images, for `benchmarks.residual_speed`: `... BACKPROP`."""

from __future__ import annotations

import argparse
import os
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output, serve, timed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backprop", choices=("stored", "checkpointed"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=16, help="at full resolution")
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    answers = claim_output()
    import keras
    import tensorflow as tf

    import inntf
    from inntf.models import residual_flow
    from inntf.nets import ConcatLipSwish
    from inntf.numerics import RussianRoulette
    from inntf.training import update_spectral_norms

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(0)

    def make():
        return residual_flow(
            event_shape=(28, 28, 1),
            levels=2,
            depth=(10, 2),
            unsqueezed=args.blocks,
            hidden=16,
            activation=ConcatLipSwish,
            coefficient=0.98,
            log_det=RussianRoulette(exact_terms=2, gradient="neumann"),
            max_iterations=1,
            backprop=args.backprop,
        )

    build, _, flow = timed(make)
    x = tf.random.stateless_normal([args.batch, 28, 28, 1], [0, 0])
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        update_spectral_norms(flow.block)
        return loss

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
