"""inntf's flows on vectors for `benchmarks.peers`: `python -m benchmarks.workers.vectors_ours CASE VARIANT --threads N`."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.cases import RATE, case_of, data, parser
from benchmarks.workers.loop import claim_output, libraries_loaded, serve, timed
from benchmarks.workers.tiny_steps import tensorflow_started


def make(name, case, repeat):
    from inntf.blocks import Permutation, SplineCoupling
    from inntf.compose import Chain, Repeat
    from inntf.models import Flow, autoregressive_flow, real_nvp
    from inntf.nets import MLP

    sizes = {
        "depth": case.layers,
        "hidden": (case.hidden, case.hidden),
        "actnorm": False,
        "heavy_tails": False,
        "repeat": repeat,
    }
    if name == "couplings":
        return real_nvp(event_shape=case.dim, **sizes)
    if name == "maf":
        return autoregressive_flow(event_shape=case.dim, **sizes)

    def step():
        net = MLP((case.hidden, case.hidden))
        return Chain([SplineCoupling(conditioner=net, num_bins=case.bins, bound=case.bound), Permutation.reverse()])

    return Flow(Repeat(step, case.layers) if repeat else Chain([step() for _ in range(case.layers)]), event_shape=case.dim)


def serve_flow(answers, flow, case, threads, start, build, jit=False, **about):
    """Train and ask a flow that is made: as `benchmarks.workers.ode_ours` does, too."""
    import keras
    import tensorflow as tf

    import inntf

    x = tf.constant(data(case))
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(variables)
    function = lambda call: tf.function(call, jit_compile=jit or None, autograph=False)  # noqa: E731

    def train(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    train, density = function(train), function(flow.log_prob)
    sample = function(lambda: flow.sample(case.samples, seed=tf.constant([1, 2])))
    there_and_back = function(lambda x: flow.block.inverse_and_log_det(flow.block.forward_and_log_det(x)[0])[0])
    seconds, cpu, loss = timed(lambda: float(train(x)))
    serve(
        answers,
        {
            "step": lambda: float(train(x)),
            "log_prob": lambda: density(x).numpy(),
            "sample": lambda: sample().numpy(),
            "inverse_error": lambda: float(tf.reduce_max(tf.abs(there_and_back(x) - x))),
        },
        library=f"inntf {inntf.__version__}, TensorFlow {tf.__version__}",
        parameters=int(sum(v.shape.num_elements() for v in variables)),
        start_mib=start,
        build_seconds=build,
        initialize_seconds=0.0,
        first_step_seconds=seconds,
        first_step_cpu=cpu,
        loss=loss,
        **about,
    )


def set_up(threads):
    """TensorFlow with this number of threads; MiB with the libraries alone."""
    tensorflow_started(threads)
    import tensorflow_probability as tfp

    import inntf.models  # noqa: F401

    _ = tfp.distributions.Normal  # TFP is imported at its first use

    return libraries_loaded()


def main():
    args = parser(["couplings", "splines", "maf"], ["repeat", "unrolled", "xla"]).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    start = set_up(args.threads)
    # Under XLA on a CPU the steps are unrolled.
    build, _, flow = timed(lambda: make(args.case, case, args.variant == "repeat"))
    serve_flow(answers, flow, case, args.threads, start, build, jit=args.variant == "xla")


if __name__ == "__main__":
    main()
