"""The flows that a table's model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.asinh import Asinh
from inntf.blocks.autoregressive import MaskedAutoregressive
from inntf.blocks.permutation import Permutation
from inntf.blocks.rescale import Rescale
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.flow import Flow
from inntf.models.repeated_steps import one_block
from inntf.models.spline_flow import spline_flow
from inntf.nets.masked import MaskedMLP
from inntf.numerics.transformers.spline import SplineTransform

_TAILS = 2.0  # spreads from the middle, within which the last block is about straight
ARCHITECTURES = ("spline_maf", "spline_coupling")


def make_flow(
    first: Block,
    size: int,
    architecture: str,
    depth: int,
    hidden: Sequence[int],
    bins: int,
    bound: float,
    seed: int,
    dtype: Any,
) -> Flow:
    """A flow on rows of `size` numbers behind `first`.

    Args:
        first: what the columns go through before anything is learned.
        size: number of columns.
        architecture: `"spline_maf"` or `"spline_coupling"`.
        depth: number of spline blocks.
        hidden: widths of their networks.
        bins: of the splines.
        bound: half-width of the splines.
        seed: of the mixing.
        dtype: dtype or policy of the blocks.

    Raises:
        ValueError: for a coupling of one column.
    """
    if architecture == "spline_coupling" and size < 2:
        received, expected = "one column", "at least two: a coupling moves some given the others"
        raise ValueError(explain("table_flow", received=received, expected=expected, remedy="Use architecture='spline_maf'."))

    if architecture == "spline_coupling":
        size_and_kind: dict[str, Any] = {"event_shape": size, "depth": depth, "hidden": hidden, "activation": "silu"}
        body = spline_flow(**size_and_kind, num_bins=bins, bound=bound, affine=True, seed=seed, dtype=dtype).block
    else:

        def masked(transformer: Any) -> Block:
            net = MaskedMLP(hidden=hidden, activation="silu", direct=True, dtype=dtype)
            return MaskedAutoregressive(conditioner=net, transformer=transformer, dtype=dtype)

        def step(i: int) -> Chain:
            # As in the couplings, the affine one finds narrow ridges, and the spline the shapes across.
            bend = masked(SplineTransform(bins, bound))
            norms = [ActNorm(dtype=dtype) for _ in range(2)]
            return Chain([norms[0], Permutation.reverse(), masked("affine"), norms[1], bend], dtype=dtype)

        body = one_block(step, depth, repeat=True, backprop="stored", dtype=dtype)
    # Rows off a narrow ridge are a hundred spreads away from it: logarithmic tails before the base keep them possible.
    tails = [Asinh(0.0, _TAILS, dtype=dtype), Rescale(_TAILS, dtype=dtype)]
    return Flow(Chain([first, body, *tails], dtype=dtype), event_shape=size)
