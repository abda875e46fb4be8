"""The factory of neural spline flows by couplings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.asinh import Asinh
from inntf.blocks.linear import InvertibleLinear
from inntf.blocks.named_couplings import AffineCoupling, SplineCoupling
from inntf.blocks.orthogonal import OrthogonalLinear
from inntf.blocks.permutation import Permutation
from inntf.blocks.rescale import Rescale
from inntf.blocks.soft_tails import SoftTails
from inntf.compose.chain import Chain
from inntf.compose.stacking import Alike
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.flow import Flow
from inntf.models.repeated_steps import part_of_a_chain
from inntf.nets.mlp import MLP

_MIXINGS = ("linear", "orthogonal", "shuffle")
_TAILS = 2.0  # spreads from the middle, within which what goes before the base is about straight


def spline_flow(
    *,
    event_shape: Shape | int,
    depth: int = 4,
    hidden: Sequence[int] = (128, 128),
    num_bins: int = 16,
    bound: float = 5.0,
    tails: str = "identity",
    affine: bool = True,
    heavy_tails: bool = True,
    mixing: str = "linear",
    activation: Any = "silu",
    actnorm: bool = True,
    condition_shape: Shape | int | None = None,
    condition_network: keras.layers.Layer | None = None,
    repeat: bool = True,
    backprop: str = "stored",
    seed: int = 0,
    dtype: Any = None,
    name: str = "spline_flow",
) -> Flow:
    r"""A neural spline flow on vectors: ActNorm, which standardizes the data, then `depth` steps, then heavy tails.

        step:  twice ActNorm -> mixing -> SoftTails(bound) -> coupling, an affine one first, then one of splines
        tails: 2 asinh(z / 2)

    Narrow ridges, such as columns that are nearly one number, are found by affine couplings sooner than by a spline's bins.
    Splines bend only within `[-bound, bound]`: what is a hundred spreads off a ridge would pass them as it is, be spread over
    all entries by the mixings, and be all but impossible under a normal base.  Tails that are drawn in make it unlikely.

    Initialize from data (`DensityModel.fit` does, or `flow.initialize(x)`), so that the data are where splines bend.  With
    `affine=False, heavy_tails=False` a step is [mixing, spline coupling], as in the paper; with `num_bins=8`, too, it is what
    this function made before 0.1.0.

    Args:
        event_shape: `(dim,)` or `dim`, at least 2.
        depth: number of steps.
        hidden: widths of the conditioners' hidden layers.
        num_bins: of the splines.
        bound: half-width of the interval in which they bend.
        tails: `"identity"`, or `"free"`: straight lines of learned slopes outside; see `SplineTransform`.
        affine: whether an affine coupling goes before each spline coupling.
        heavy_tails: whether `SoftTails` go before each coupling, and an `Asinh` before the base.
        mixing: `"linear"` (learned, LU), `"orthogonal"` (learned, reflections: lengths stay) or `"shuffle"` (fixed).
        activation: of the conditioners.
        actnorm: whether the flow begins with an ActNorm.
        condition_shape: shape of a condition, if there is one.
        condition_network: embeds the condition first.
        repeat: scan over the steps (`Repeat`), so that tracing time does not grow with depth; `False` unrolls them.
        backprop: `"stored"`, or `"reversible"`: activations are recomputed by the inverse in training; or `"checkpointed"`.
        seed: of the mixings.
        dtype: dtype or policy of the blocks.
        name: name of the flow.

    Returns:
        A `Flow` over `(dim,)` with a standard normal base, built.

    Raises:
        ValueError: for arguments that are out of range, TypeError: for arguments that are something else.

    Source: Durkan et al., "Neural Spline Flows" (2019), section 3.2 (RQ-NSF (C), with its LU linear layers).

    Example:
        >>> spline_flow(event_shape=3, depth=2, hidden=(8,), num_bins=4).sample(5, seed=0).shape
        TensorShape([5, 3])
    """
    who = "spline_flow"
    event_shape = check.shape(who, "event_shape", event_shape, (1,))
    check.count(who, "depth", depth, remedy="A flow needs a step.")
    hidden = check.widths(who, "hidden", hidden)
    check.count(who, "num_bins", num_bins, 2, remedy="8 or 16 are usual.")
    check.number(who, "bound", bound, 0.0)
    check.choice(who, "tails", tails, ("identity", "free"))
    check.choice(who, "mixing", mixing, _MIXINGS)
    check.flag(who, affine=affine, heavy_tails=heavy_tails, actnorm=actnorm, repeat=repeat)
    check.backprop(who, backprop)
    check.seed(who, seed)
    check.activation(who, activation)
    if event_shape[0] < 2:
        expected = "at least 2 entries: a coupling moves some given the others"
        remedy = "Use autoregressive_flow(transformer='spline') for one."
        raise ValueError(explain(who, received="event_shape=1", expected=expected, remedy=remedy))

    def mix(i: int) -> Block:
        if mixing == "shuffle":
            return Permutation.reverse() if event_shape[0] == 2 else Permutation.shuffle(seed + i)
        return (InvertibleLinear if mixing == "linear" else OrthogonalLinear)(seed=seed + i, dtype=dtype)

    def network() -> MLP:
        return MLP(hidden, activation=activation, dtype=dtype)

    def step(i: int) -> Chain:
        spline = SplineCoupling(conditioner=network(), num_bins=num_bins, bound=bound, tails=tails, dtype=dtype)

        def soft() -> list[Block]:
            return [SoftTails(bound, dtype=dtype)] if heavy_tails else []

        if not affine:
            return Chain([mix(i), *soft(), spline], dtype=dtype)
        first = [ActNorm(dtype=dtype), mix(2 * i), *soft(), AffineCoupling(conditioner=network(), dtype=dtype)]
        return Chain([*first, ActNorm(dtype=dtype), mix(2 * i + 1), *soft(), spline], dtype=dtype)

    def drawing(i: int) -> list[Block]:
        return [mix(2 * i), mix(2 * i + 1)] if affine else [mix(i)]

    steps = part_of_a_chain(Alike(step, drawing), depth, repeat=repeat, backprop=backprop, dtype=dtype)
    return Flow(
        Chain(
            [
                *([ActNorm(dtype=dtype)] if actnorm else []),
                *steps,
                *(last_tails(dtype) if heavy_tails else []),
            ],
            dtype=dtype,
        ),
        event_shape=event_shape,
        condition_shape=condition_shape,
        condition_network=condition_network,
        name=name,
    )


def last_tails(dtype: Any = None) -> list[Block]:
    """`2 asinh(z / 2)` before the base: about `z` near zero, a logarithm far out.

    Args:
        dtype: dtype or policy of the blocks.

    Source: as `Asinh`.

    Example:
        >>> [round(float(z), 2) for z in Chain(last_tails())([[0.1, 1000.0]])[0]]
        [0.1, 13.82]
    """
    return [Asinh(0.0, _TAILS, dtype=dtype), Rescale(_TAILS, dtype=dtype)]
