"""What the JAX workers of `benchmarks.peers` share: parameters are trained by optax' Adam in one compiled step, and served."""

from __future__ import annotations

from importlib import metadata

import jax
import numpy as np
import optax

from benchmarks.workers.cases import RATE
from benchmarks.workers.loop import serve, timed


def train_and_serve(answers, params, log_prob, x, start, build, sample=None, round_trip=None, packages=(), **about):
    """`log_prob(params, x)`, `sample(params)`, `round_trip(params, x)`: pure functions, compiled here."""
    optimizer = optax.adam(RATE)
    held = {"params": params, "state": optimizer.init(params)}
    x = jax.numpy.asarray(x)

    @jax.jit
    def train(params, state, x):
        loss, grads = jax.value_and_grad(lambda p: -log_prob(p, x).mean())(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    def step():
        held["params"], held["state"], loss = jax.block_until_ready(train(held["params"], held["state"], x))
        return float(loss)

    density, draw = jax.jit(log_prob), jax.jit(sample) if sample else None
    there_and_back = jax.jit(round_trip) if round_trip else None
    seconds, cpu, loss = timed(step)
    actions = {"step": step, "log_prob": lambda: np.asarray(density(held["params"], x))}
    if draw:
        actions["sample"] = lambda: np.asarray(draw(held["params"]))
    if there_and_back:
        actions["inverse_error"] = lambda: float(abs(there_and_back(held["params"], x) - x).max())
    serve(
        answers,
        actions,
        library=", ".join(f"{name} {metadata.version(name)}" for name in (*packages, "jax")),
        lacks=[] if round_trip else ["inverse"],
        parameters=int(sum(p.size for p in jax.tree.leaves(params))),
        start_mib=start,
        build_seconds=build,
        initialize_seconds=0.0,
        first_step_seconds=seconds,
        first_step_cpu=cpu,
        loss=loss,
        **about,
    )
