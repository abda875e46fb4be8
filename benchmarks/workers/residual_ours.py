"""Our residual flow for `benchmarks.residual_speed`: `-m benchmarks.workers.residual_ours ESTIMATOR GRADIENT HOW MODE`."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output

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

    from benchmarks.workers.residual_training import train_and_serve
    from inntf.models import residual_flow
    from inntf.nets import LipSwish, SpectralDense
    from inntf.numerics import ExactLogDet, PowerSeries, RussianRoulette

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

    size = f"{args.blocks} blocks, batch {args.batch}"
    train_and_serve(answers, make, [args.batch, 2], args.threads, size, xla=args.mode == "xla")


if __name__ == "__main__":
    main()
