"""The factory of continuous normalizing flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.continuous import ContinuousBlock
from inntf.compose.chain import Chain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.flow import Flow
from inntf.nets.mlp import MLP


def ffjord(
    *,
    event_shape: Shape | int,
    depth: int = 1,
    hidden: Sequence[int] = (64, 64, 64),
    activation: Any = "softplus",
    trace: str | None = None,
    samples: int = 1,
    noise: str = "fresh",
    rtol: float | None = None,
    atol: float | None = None,
    max_steps: int = 1000,
    actnorm: bool = True,
    condition_shape: Shape | int | None = None,
    condition_network: keras.layers.Layer | None = None,
    seed: int | None = None,
    dtype: Any = None,
    name: str = "ffjord",
) -> Flow:
    """A continuous flow on vectors: an ActNorm, then `depth` blocks `dy/dt = net(y, t, condition)` from time 0 to 1.

    Args:
        event_shape: `(dim,)` or `dim`.
        depth: number of continuous blocks, each with a network of its own.
        hidden: widths of the networks' hidden layers.
        activation: of the networks; smooth ones need fewer steps.
        trace: `"exact"`, `"hutchinson"`, or `None`: exact up to 8 entries.
        samples: probes of Hutchinson's estimate.
        noise: `"fresh"` or `"fixed"` probes; see `ContinuousBlock`.
        rtol: relative tolerance of the solver, by default 1e-5 (float64: 1e-8).
        atol: absolute tolerance, likewise.
        max_steps: the most steps of a solver.
        actnorm: whether the flow begins with an ActNorm, which brings data of any scale to where the solver is cheap.
        condition_shape: shape of a condition, if there is one.
        condition_network: embeds the condition first.
        seed: of the probes.
        dtype: dtype or policy of the blocks.
        name: name of the flow.

    Returns:
        A `Flow` over `(dim,)` with a standard normal base, built.

    Raises:
        ValueError: for arguments that are out of range, TypeError: for arguments that are something else.

    Source: Grathwohl et al., "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models" (2019).

    Example:
        >>> flow = ffjord(event_shape=2, hidden=(8,))
        >>> flow.sample(3, seed=0).shape
        TensorShape([3, 2])
    """
    event_shape = check.shape("ffjord", "event_shape", event_shape, (1,))
    check.count("ffjord", "depth", depth, remedy="A flow needs a block.")
    hidden = check.widths("ffjord", "hidden", hidden)
    check.choice("ffjord", "trace", trace, ("exact", "hutchinson", None))
    check.choice("ffjord", "noise", noise, ("fresh", "fixed"))
    check.count("ffjord", "samples", samples)
    check.count("ffjord", "max_steps", max_steps)
    check.flag("ffjord", actnorm=actnorm)
    check.activation("ffjord", activation)
    for name_of, value in (("rtol", rtol), ("atol", atol)):
        if value is not None:
            check.number("ffjord", name_of, value, 0.0)
    if seed is not None:
        check.seed("ffjord", seed)

    def block(i: int) -> ContinuousBlock:
        return ContinuousBlock(
            dynamics=MLP(hidden, activation=activation),
            trace=trace,
            samples=samples,
            noise=noise,
            seed=None if seed is None else seed + i,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            dtype=dtype,
        )

    return Flow(
        Chain([*([ActNorm(dtype=dtype)] if actnorm else []), *(block(i) for i in range(depth))], dtype=dtype),
        event_shape=event_shape,
        condition_shape=condition_shape,
        condition_network=condition_network,
        name=name,
    )
