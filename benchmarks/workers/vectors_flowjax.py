"""flowjax' flows on vectors for `benchmarks.peers`: `JAX_PYTHON -m benchmarks.workers.vectors_flowjax CASE flowjax`."""

from __future__ import annotations

from benchmarks.workers.cases import case_of, data, parser
from benchmarks.workers.loop import claim_output, libraries_loaded, timed
from benchmarks.workers.tiny_steps import jax_started


def make(name, case, key):
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import StandardNormal
    from flowjax.flows import coupling_flow, masked_autoregressive_flow

    sizes = {"flow_layers": case.layers, "nn_width": case.hidden, "nn_depth": 2, "base_dist": StandardNormal((case.dim,))}
    if name == "splines":
        sizes["transformer"] = RationalQuadraticSpline(knots=case.bins, interval=case.bound)
    return (masked_autoregressive_flow if name == "maf" else coupling_flow)(key, **sizes)


def main():
    args = parser(["couplings", "splines", "maf"], ["flowjax"]).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    import equinox as eqx
    import jax
    import paramax

    from benchmarks.workers.jax_training import train_and_serve

    jax_started()
    __import__("flowjax.flows")
    key, start = jax.random.key(0), libraries_loaded()
    build, _, flow = timed(lambda: make(args.case, case, key))
    fixed = lambda leaf: isinstance(leaf, paramax.NonTrainable)  # noqa: E731
    params, static = eqx.partition(flow, eqx.is_inexact_array, is_leaf=fixed)
    whole = lambda params: paramax.unwrap(eqx.combine(params, static, is_leaf=fixed))  # noqa: E731

    def round_trip(params, x):
        bijection = whole(params).bijection
        return jax.vmap(lambda row: bijection.transform(bijection.inverse(row)))(x)

    train_and_serve(
        answers,
        params,
        lambda params, x: whole(params).log_prob(x),
        data(case),
        start,
        build,
        sample=lambda params: whole(params).sample(key, (case.samples,)),
        round_trip=round_trip,
        packages=("flowjax",),
    )


if __name__ == "__main__":
    main()
