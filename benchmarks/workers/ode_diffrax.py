"""A continuous flow in JAX on diffrax for `benchmarks.peers`: `JAX_PYTHON -m benchmarks.workers.ode_diffrax ode VARIANT`.

Dormand-Prince for the whole batch with one step size, as inntf does; the divergence exact, by one forward product an entry.
"autodiff" is diffrax' own choice of gradient (through the steps, with checkpoints, as in inntf), "adjoint" solves the adjoint
equation.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.workers.cases import case_of, data, velocity_weights
from benchmarks.workers.loop import claim_output, libraries_loaded
from benchmarks.workers.ode_accuracy import choose, ode_parser
from benchmarks.workers.tiny_steps import jax_started


def main():
    args = ode_parser(["autodiff", "adjoint"]).parse_args()
    answers, case = claim_output(), case_of(args.case, args.tiny)
    import diffrax
    import jax
    import jax.numpy as jnp

    from benchmarks.workers.jax_training import train_and_serve

    x, basis = data(case), jnp.eye(case.dim)
    adjoint = diffrax.BacksolveAdjoint() if args.variant == "adjoint" else diffrax.RecursiveCheckpointAdjoint()

    def network(params, y, t):
        h = jnp.concatenate([y, jnp.full((len(y), 1), t, y.dtype)], 1)
        for kernel, bias in params[:-1]:
            h = jax.nn.softplus(h @ kernel + bias)
        return h @ params[-1][0] + params[-1][1]

    def with_divergence(t, state, params):
        v, product = jax.linearize(lambda y: network(params, y, t), state[0])
        return v, sum(product(jnp.broadcast_to(e, v.shape))[:, i] for i, e in enumerate(basis))

    def solved(params, state, velocity, begin, end, tolerance):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Dopri5(),
            begin,
            end,
            None,
            state,
            params,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            adjoint=adjoint,
            max_steps=1000,
        )

    def log_prob(params, x, tolerance):
        found = solved(params, (x, jnp.zeros(len(x))), with_divergence, 0.0, 1.0, tolerance)
        z, log_det = (part[0] for part in found.ys)
        return -0.5 * (z**2).sum(1) - 0.5 * case.dim * math.log(2 * math.pi) + log_det

    def moved(params, x, begin, end, tolerance):
        return solved(params, x, lambda t, y, p: network(p, y, t), begin, end, tolerance).ys[0]

    params = [(jnp.asarray(kernel), jnp.asarray(bias)) for kernel, bias in velocity_weights(case)]
    density = jax.jit(lambda tolerance: log_prob(params, x, tolerance))
    tolerance, error = choose(lambda tolerance: np.asarray(density(tolerance)), args)

    jax_started()
    start = libraries_loaded()

    def round_trip(params, x):
        return moved(params, moved(params, x, 0.0, 1.0, tolerance), 1.0, 0.0, tolerance)

    train_and_serve(
        answers,
        params,
        lambda params, x: log_prob(params, x, tolerance),
        x,
        start,
        0.0,
        sample=lambda params: moved(
            params, jax.random.normal(jax.random.key(0), (case.samples, case.dim)), 1.0, 0.0, tolerance
        ),
        round_trip=round_trip,
        packages=("diffrax",),
        tolerance=tolerance,
        log_prob_error=error,
    )


if __name__ == "__main__":
    main()
