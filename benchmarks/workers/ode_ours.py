"""inntf's FFJORD for `benchmarks.peers`: `python -m benchmarks.workers.ode_ours ode VARIANT --reference FILE`."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.workers.cases import case_of, data, velocity_weights
from benchmarks.workers.loop import claim_output, libraries_loaded, timed
from benchmarks.workers.ode_accuracy import choose, ode_parser
from benchmarks.workers.vectors_ours import serve_flow, set_up


def main():
    args = ode_parser(["default", "xla"]).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    set_up(args.threads)
    from inntf.models import ffjord

    def make(tolerance):
        sizes = {"event_shape": case.dim, "hidden": (case.hidden, case.hidden), "actnorm": False, "trace": "exact"}
        flow = ffjord(**sizes, rtol=tolerance, atol=tolerance)
        values = [value for layer in velocity_weights(case) for value in layer]
        for variable, value in zip(flow.trainable_variables, values, strict=True):
            variable.assign(value)
        return flow

    tolerance, error = choose(lambda tolerance: make(tolerance).log_prob(data(case)).numpy(), args)
    start = libraries_loaded()
    build, _, flow = timed(lambda: make(tolerance))
    evaluations = flow.block.blocks[-1].evaluations(data(case)) if hasattr(flow.block, "blocks") else None
    serve_flow(
        answers,
        flow,
        case,
        args.threads,
        start,
        build,
        jit=args.variant == "xla",
        tolerance=tolerance,
        log_prob_error=error,
        evaluations=evaluations,
    )


if __name__ == "__main__":
    main()
