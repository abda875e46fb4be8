"""Certified Lipschitz bounds, with a table of what each block contributes."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, overload

from inntf.compose import Blockwise, Chain, Multiscale, Repeat
from inntf.compose.for_each_block import for_each_block
from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box, broadcast_box
from inntf.core.errors import explain
from inntf.stability.ball_certificate import BallCertificate, certify_balls
from inntf.stability.find_block import find_block
from inntf.stability.paper_bounds import paper_bounds


@dataclasses.dataclass(frozen=True)
class CertificateRow:
    """Bounds of one block; `depth` counts the containers around it.

    Attributes:
        bounds: ours.
        paper: by the formulas of the paper (`paper_bounds`), a product for a chain; `None` where it has none.
    """

    name: str
    kind: str
    depth: int
    bounds: LipschitzBounds
    paper: LipschitzBounds | None = None


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
        return math.isfinite(self.bounds.forward) and math.isfinite(self.bounds.inverse)

    def __str__(self) -> str:
        names = ["  " * row.depth + row.name for row in self.rows]
        width = max(map(len, [*names, "block"]))
        kinds = max(len(row.kind) for row in self.rows)
        by_paper = f"{'Table 1: forward':>16}  {'inverse':>10}"
        lines = [f"{'block':<{width}}  {'kind':<{kinds}}  {'forward':>10}  {'inverse':>10}  {by_paper}  scope   reason"]
        following = [row.depth for row in self.rows[1:]] + [0]
        for name, row, after in zip(names, self.rows, following, strict=True):
            bounds = row.bounds
            theirs = [f"{value:.4g}" for value in row.paper] if row.paper is not None else ["-", "-"]
            line = f"{name:<{width}}  {row.kind:<{kinds}}  {bounds.forward:>10.4g}  {bounds.inverse:>10.4g}"
            line += f"  {theirs[0]:>16}  {theirs[1]:>10}  {bounds.scope:<6}"
            reason = "" if after > row.depth else bounds.reason  # a container repeats what its parts say
            lines.append(f"{line}  {reason}".rstrip())
        return "\n".join(lines)


@overload
def certify(
    block: Any, domain: Box | None = None, *, at: None = None, radius: None = None, condition: Any = None
) -> Certificate: ...


@overload
def certify(block: Any, domain: None = None, *, at: Any, radius: Any, condition: Any = None) -> BallCertificate: ...


def certify(
    block: Any, domain: Box | None = None, *, at: Any = None, radius: Any = None, condition: Any = None
) -> Certificate | BallCertificate:
    """Upper bounds on the Lipschitz constants of both directions, for all inputs, for a box, or in balls round data.

    For a chain the bounds multiply: `Lip(F_n o ... o F_1) <= prod Lip(F_i)`.  These are guarantees, from formulas and
    certified layer norms; `singular_values` measures at samples, from below.  Of a trained model the products say little: ask
    `at` data, where the exact Jacobian of the whole and what can change of it in a ball are bounded together.  Printed,
    the bounds stand beside those by the formulas of the paper's Table 1.

    Args:
        block: a built block, or a model around one.
        domain: `(low, high)`, a box that the inputs lie in; numbers, or arrays that broadcast to one event.
        at: data, `(n, *event)`, round which to certify instead.
        radius: of the balls round `at`, l2.
        condition: of the block, if it has one, for `at`.

    Returns:
        `Certificate`; with `at` a `BallCertificate`, whose `everywhere` is the former.

    Raises:
        TypeError: if there is no block; ValueError: for a box with `low > high`, for `at` without a radius or with a
            box, and as `certify_balls`.

    Source: "On the Invertibility of Invertible Neural Networks", Table 1; tighter forms: inntf.

    Example:
        >>> from inntf.blocks import ActNorm, Permutation
        >>> from inntf.compose import Chain
        >>> chain = Chain([ActNorm(), Permutation.reverse()]).ensure_built((4,))
        >>> certify(chain).bounds.condition_number
        1.0
        >>> certify(chain, at=[[0.0, 1.0, 2.0, 3.0]], radius=0.1).forward.round(6).tolist()
        [1.0]
    """
    if (at is None) != (radius is None) or (at is not None and domain is not None):
        given = [name for name, value in {"domain": domain, "at": at, "radius": radius}.items() if value is not None]
        raise ValueError(explain("certify", received=" and ".join(given), expected="domain alone, or at and radius"))
    if at is not None:
        return dataclasses.replace(certify_balls(block, at, radius, condition), everywhere=certify(block))
    block = find_block(block)
    if domain is not None and block.event_shape is not None and None not in block.event_shape:
        broadcast_box(domain, block.event_shape, "certify")
    rows = tuple(_rows(block, domain, 0)[0])
    return Certificate(rows[0].bounds, rows)


def _rows(block: Block, domain: Box | None, depth: int, suffix: str = "") -> tuple[list[CertificateRow], Box | None]:
    """The rows of a block and its parts, and the box of what leaves it.

    In a chain each part is asked once: its bounds are the product of theirs.
    """
    name, kind = block.name + suffix, type(block).__name__
    if type(block) in (Chain, Repeat) and block.built:
        box, numbers, rows, total = domain, itertools.count(), [], LipschitzBounds(1.0, 1.0)
        paper: LipschitzBounds | None = total

        def visit(part: Block) -> None:
            nonlocal box, total, paper
            found, box = _rows(part, box, depth + 1, f"_{next(numbers)}" if isinstance(block, Repeat) else "")
            rows.extend(found)
            total = total.then(found[0].bounds)
            paper = None if paper is None or found[0].paper is None else paper.then(found[0].paper)

        if isinstance(block, Repeat):
            for_each_block(block, visit)
        else:
            for part in block:
                visit(part)
        return [CertificateRow(name, kind, depth, total, paper), *rows], box
    image = block.image_box(domain)
    own = [CertificateRow(name, kind, depth, block.lipschitz_bounds(domain), paper_bounds(block, domain, image))]
    parts = _parts(block)
    # Which box reaches which of them is told by blocks side by side alone.
    boxes = block.boxes(domain) if type(block) is Blockwise and block.built else [None] * len(parts)
    for part, box in zip(parts, boxes, strict=True):
        own += _rows(part, box, depth + 1)[0]
    return own, image


def _parts(block: Block) -> list[Block]:
    """The blocks inside a container that is no chain."""
    return [*block.levels, *block.exits] if isinstance(block, Multiscale) else list(getattr(block, "blocks", ()))
