"""The residual flow of `recipes.iresnet` on images, for `benchmarks.residual_speed`: `... BACKPROP`."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.loop import claim_output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backprop", choices=("stored", "checkpointed"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    answers = claim_output()
    from benchmarks.workers.residual_training import train_and_serve
    from inntf.models import residual_flow
    from inntf.nets import ConcatLipSwish
    from inntf.numerics import RussianRoulette

    def make():
        return residual_flow(
            event_shape=(28, 28, 1),
            levels=2,
            depth=(10, 2),
            unsqueezed=16,
            hidden=16,
            activation=ConcatLipSwish,
            coefficient=0.98,
            log_det=RussianRoulette(exact_terms=2, gradient="neumann"),
            max_iterations=1,
            backprop=args.backprop,
        )

    train_and_serve(answers, make, [32, 28, 28, 1], args.threads, size="28x28, 16 + 10 + 2 blocks, batch 32")


if __name__ == "__main__":
    main()
