"""The flows that a table's model is made of."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.autoregressive import MaskedAutoregressive
from inntf.blocks.bounded import Bounded
from inntf.blocks.linear import InvertibleLinear
from inntf.blocks.named_couplings import AffineCoupling, SplineCoupling
from inntf.blocks.permutation import Permutation
from inntf.blocks.soft_tails import SoftTails
from inntf.compose.chain import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.flow import Flow
from inntf.models.repeated_steps import one_block
from inntf.models.spline_flow import last_tails, spline_flow
from inntf.models.tables.circular_steps import on_entries, turned_by_couplings, turned_one_by_one
from inntf.nets.masked import MaskedMLP
from inntf.nets.mlp import MLP
from inntf.numerics.transformers.spline import SplineTransform

ARCHITECTURES = ("spline_maf", "spline_coupling")


@dataclasses.dataclass(frozen=True)
class TableFlow:
    """A flow on rows of numbers on the real line and of angles in radians, behind blocks that make them such.

    Attributes:
        size: number of columns.
        angles: which of them are angles.
        depth: number of steps.
        hidden: widths of their networks.
        bins: of the splines.
        bound: half-width of the splines on the real line.
        seed: of the mixing.
        dtype: dtype or policy of the blocks.
    """

    size: int
    angles: Sequence[int]
    depth: int
    hidden: Sequence[int]
    bins: int
    bound: float
    seed: int
    dtype: Any

    def flow(self, architecture: str, first: Block) -> Flow:
        """The flow.

        Args:
            architecture: `"spline_maf"` or `"spline_coupling"`.
            first: what the columns go through before anything is learned.

        Raises:
            ValueError: for a coupling of one column.
        """
        if architecture == "spline_coupling" and self.size < 2:
            received, expected = "one column", "at least two: a coupling moves some given the others"
            remedy = "Use architecture='spline_maf'."
            raise ValueError(explain("table_flow", received=received, expected=expected, remedy=remedy))
        if architecture == "spline_coupling" and not self.angles:
            names: dict[str, Any] = {"event_shape": self.size, "num_bins": self.bins, "actnorm": False}
            rest = {"depth": self.depth, "hidden": self.hidden, "bound": self.bound, "seed": self.seed, "dtype": self.dtype}
            return self._flow([first, *spline_flow(**names, **rest).block.blocks])
        body = one_block(self._step(architecture), self.depth, repeat=True, backprop="stored", dtype=self.dtype)
        return self._flow([first, body, *self._last()])

    def _flow(self, blocks: Sequence[Block]) -> Flow:
        return Flow(self._chain(blocks), event_shape=self.size)

    @functools.cached_property
    def others(self) -> list[int]:
        """The entries on the real line."""
        return [i for i in range(self.size) if i not in self.angles]

    def _step(self, architecture: str) -> Callable[[int], Chain]:
        if not self.others and architecture == "spline_maf":
            ways = (False, True)[: self.size]
            return lambda i: self._chain([turned_one_by_one(self.size, way, *self._nets) for way in ways])
        return self._masked if architecture == "spline_maf" else self._couplings

    def _masked(self, i: int) -> Chain:
        """As in the couplings, the affine block finds narrow ridges, and the spline the shapes across."""
        backwards = list(range(self.size))
        for here, there in zip(self.others, reversed(self.others), strict=True):
            backwards[here] = there
        # Angles come first and stay where they are: the others see them, and couplings turn them.
        order = [*self.angles, *self.others]
        places = [order.index(entry) + 1 for entry in range(self.size)] if self.angles else "left-to-right"

        def masked(transformer: Any) -> Block:
            seen: dict[str, Any] = {"angles": self.angles or False, "identity": self.angles, "ordering": places}
            net = MaskedMLP(hidden=self.hidden, activation="silu", direct=True, **seen, dtype=self.dtype)
            return MaskedAutoregressive(conditioner=net, transformer=transformer, dtype=self.dtype)

        spline = [*self._soft(), masked(SplineTransform(self.bins, self.bound)), *self._turned()]
        turned = Permutation(backwards) if self.angles else Permutation.reverse()
        return self._chain([self._norm(), turned, masked("affine"), self._norm(), *spline])

    def _couplings(self, i: int) -> Chain:
        """A step of `spline_flow` on the numbers, which see the angles too, and the angles, which see the numbers."""
        if not self.others:
            return self._chain(self._turned())
        identity = sorted([*self.angles, *self.others[: (len(self.others) + 1) // 2 * (len(self.others) > 1)]])
        seen = [identity.index(angle) for angle in self.angles]

        def kind(make: Callable[..., Block], **options: Any) -> Block:
            net = MLP(self.hidden, activation="silu", angles=seen, dtype=self.dtype)
            return make(conditioner=net, split=identity, **options, dtype=self.dtype)

        first = [self._norm(), *self._mixed(2 * i), *self._soft(), kind(AffineCoupling)]
        spline = kind(SplineCoupling, num_bins=self.bins, bound=self.bound)
        return self._chain([*first, self._norm(), *self._mixed(2 * i + 1), *self._soft(), spline, *self._turned()])

    def _last(self) -> list[Block]:
        found = self._on_others(last_tails(self.dtype))
        if self.angles:
            found.append(on_entries(Bounded(-math.pi, math.pi, dtype=self.dtype), self.angles, self.size, self.dtype))
        return found

    def _soft(self) -> list[Block]:
        return self._on_others([SoftTails(self.bound, dtype=self.dtype)])

    def _norm(self) -> Block:
        return self._on_others([ActNorm(dtype=self.dtype)])[0]

    def _mixed(self, i: int) -> list[Block]:
        mixing = InvertibleLinear(seed=self.seed + i, dtype=self.dtype)
        return self._on_others([mixing]) if len(self.others) > 1 else []

    def _on_others(self, blocks: Sequence[Block]) -> list[Block]:
        if not self.angles or not self.others:
            return list(blocks) if self.others else []
        block = blocks[0] if len(blocks) == 1 else self._chain(blocks)
        return [on_entries(block, self.others, self.size, self.dtype)]

    def _turned(self) -> list[Block]:
        # Last in a step: its angles are within their circle to the last digit, as the end of the flow wants them.
        return turned_by_couplings(self.size, self.angles, *self._nets)

    def _chain(self, blocks: Sequence[Block]) -> Chain:
        return Chain(blocks, dtype=self.dtype)

    @property
    def _nets(self) -> tuple[Any, ...]:
        return self.hidden, self.bins, self.dtype
