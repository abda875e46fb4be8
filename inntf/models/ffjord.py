"""The factory of continuous normalizing flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.continuous import ContinuousBlock
from inntf.compose.chain import Chain
from inntf.core.errors import explain
from inntf.core.shapes import Shape
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
        ValueError: if the depth is not positive.

    Source: Grathwohl et al., "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models" (2019).

    Example:
        >>> flow = ffjord(event_shape=2, hidden=(8,))
        >>> flow.sample(3, seed=0).shape
        TensorShape([3, 2])
    """
    if depth < 1:
        raise ValueError(explain("ffjord", received=f"depth={depth}", expected="at least 1", remedy="A flow needs a block."))

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
