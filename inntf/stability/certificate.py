"""Certified Lipschitz bounds, with a table of what each block contributes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from inntf.compose import Chain, Multiscale, Repeat
from inntf.compose.each import for_each_block
from inntf.core import Block, LipschitzBounds
from inntf.numerics.boxes import Box, broadcast_box
from inntf.stability.find_block import find_block


@dataclasses.dataclass(frozen=True)
class CertificateRow:
    """Bounds of one block; `depth` counts the containers around it."""

    name: str
    kind: str
    depth: int
    bounds: LipschitzBounds


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Bounds of a block, and of its parts in order of application.  `print` it for a table.

    Attributes:
        bounds: of the whole.
        rows: of the block itself, then of its parts, containers before their contents.
    """

    bounds: LipschitzBounds
    rows: tuple[CertificateRow, ...]

    @property
    def bounded(self) -> bool:
        """Whether both directions have a finite bound: then no input can break the inverse by more than rounding times it."""
        return self.bounds.condition_number < float("inf")

    def __str__(self) -> str:
        names = ["  " * row.depth + row.name for row in self.rows]
        width = max(map(len, [*names, "block"]))
        kinds = max(len(row.kind) for row in self.rows)
        lines = [f"{'block':<{width}}  {'kind':<{kinds}}  {'forward':>10}  {'inverse':>10}  scope   reason"]
        following = [row.depth for row in self.rows[1:]] + [0]
        for name, row, after in zip(names, self.rows, following, strict=True):
            bounds = row.bounds
            line = f"{name:<{width}}  {row.kind:<{kinds}}  {bounds.forward:>10.4g}  {bounds.inverse:>10.4g}  {bounds.scope:<6}"
            reason = "" if after > row.depth else bounds.reason  # a container repeats what its parts say
            lines.append(f"{line}  {reason}".rstrip())
        return "\n".join(lines)


def certify(block: Any, domain: tuple[Any, Any] | None = None) -> Certificate:
    """Upper bounds on the Lipschitz constants of both directions, for all inputs or for a box.

    For a chain the bounds multiply: `Lip(F_n o ... o F_1) <= prod Lip(F_i)`.  These are guarantees, from formulas and
    certified layer norms; `singular_values` measures at samples, from below.

    Args:
        block: a built block, or a model around one.
        domain: `(low, high)`, a box that the inputs lie in; numbers, or arrays that broadcast to one event.

    Returns:
        `Certificate`.

    Raises:
        TypeError: if there is no block; ValueError: for a box with `low > high`.

    Source: "On the Invertibility of Invertible Neural Networks", Table 1; tighter forms: inntf.

    Example:
        >>> from inntf.blocks import ActNorm, Permutation
        >>> from inntf.compose import Chain
        >>> chain = Chain([ActNorm(), Permutation.reverse()]).ensure_built((4,))
        >>> certify(chain).bounds.condition_number
        1.0
    """
    block = find_block(block)
    if domain is not None and block.event_shape is not None and None not in block.event_shape:
        broadcast_box(domain, block.event_shape, "certify")
    rows = tuple(_rows(block, domain, 0))
    return Certificate(rows[0].bounds, rows)


def _rows(block: Block, domain: Box | None, depth: int, suffix: str = "") -> Iterator[CertificateRow]:
    yield CertificateRow(block.name + suffix, type(block).__name__, depth, block.lipschitz_bounds(domain))
    if isinstance(block, Repeat) and block.built:
        boxes, numbers = [domain], itertools.count()

        def visit(part: Block) -> list[CertificateRow]:
            rows = list(_rows(part, boxes[-1], depth + 1, f"_{next(numbers)}"))
            boxes.append(part.image_box(boxes[-1]))
            return rows

        yield from itertools.chain.from_iterable(for_each_block(block, visit))
        return
    parts, chained = _parts(block)
    for part in parts:
        # Only a chain says which box reaches which part.
        yield from _rows(part, domain if chained else None, depth + 1)
        domain = part.image_box(domain) if chained else None


def _parts(block: Block) -> tuple[list[Block], bool]:
    """The blocks inside a container, and whether each feeds the next."""
    if isinstance(block, Multiscale):
        return [*block.levels, *block.exits], False
    return list(getattr(block, "blocks", ())), isinstance(block, Chain)
