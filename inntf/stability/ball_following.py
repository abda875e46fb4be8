"""Balls carried through the blocks of a composition, and the slopes at their centres."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

from inntf.compose.multiscale_in_turn import MapInTurn
from inntf.core.local_maps import LocalMap
from inntf.numerics.norms.batched_norms import spectral_norms
from inntf.stability.ball_path import BallPath

# Bound over slope at the centre, up to which that slope is known well enough: it is no further off than the bound.
_TIGHT = 1.01
_SINGULAR = 1e-10  # smallest over largest singular value, below which rounding may move the smallest by more than 1e-4


@dataclasses.dataclass(frozen=True)
class Followed:
    """A composition followed through balls.

    Attributes:
        value: of the centres.
        bound: of the slope in each ball.
        at_centre: the largest singular value of the Jacobian that was followed.
        reasons: what is not known.
        affine: value and Jacobian behind each affine block, which no ball changes; `None` behind the others.
        seen: where `at_centre` is the slope of the centre already.
    """

    value: np.ndarray
    bound: np.ndarray
    at_centre: np.ndarray
    reasons: tuple[str, ...]
    affine: list[tuple[np.ndarray, np.ndarray] | None]
    seen: bool | np.ndarray = False

    @property
    def loose(self) -> np.ndarray:
        """Where the slope at the centre is not known well enough."""
        return (self.bound > _TIGHT * self.at_centre) & ~np.asarray(self.seen)


def follow(
    blocks: list[MapInTurn],
    x: np.ndarray,
    radius: np.ndarray,
    condition: tf.Tensor | None,
    inverse: bool,
    start: np.ndarray | None = None,
) -> Followed:
    """Carry balls of `radius` round `x` through blocks in turn; with `start`, balls in the span of its columns alone."""
    path = BallPath(len(x), math.prod(x.shape[1:]), start)
    reasons: dict[str, None] = {}
    affine: list[tuple[np.ndarray, np.ndarray] | None] = []
    for block in blocks:
        # An affine block asks for no radius, so nothing has to be known of the path up to there.
        reach = radius if block.tags.affine else path.slope()[0] * radius * (1 + 1e-12) + path.astray
        found = _where_finite(block, x, reach, condition, inverse)
        reasons |= {found.reason: None} if found.reason else {}
        largest = [np.abs(side).reshape(len(x), -1).max(1, initial=0.0) for side in (x, found.value)]
        path.add(found, *largest)
        exact = block.tags.affine and not found.deviation.any()
        affine.append((found.value, found.jacobian) if exact else None)
        x = found.value
    bound, at_centre = path.slope()
    whole = np.isfinite(x).reshape(len(x), -1).all(1)
    return Followed(x, np.where(whole, bound, np.inf), _told(np.where(whole, at_centre, np.nan)), tuple(reasons), affine)


def seen_at_centres(
    found: Followed,
    blocks: list[MapInTurn],
    x: np.ndarray,
    condition: tf.Tensor | None,
    inverse: bool,
    also: bool | np.ndarray = False,
    start: np.ndarray | None = None,
) -> tuple[Followed, np.ndarray | None]:
    """With the slopes at the centres: in large balls the Jacobian that was followed is that of the middle of ranges.

    Also the Jacobians there, `None` if none were needed, NaN where they were not, or at `also`.
    """
    wanted = found.loose | np.asarray(also)
    if not found.loose.any():
        return found, None
    given = None if condition is None else tf.boolean_mask(condition, wanted)
    x, still, size = x[wanted], np.zeros(int(wanted.sum())), math.prod(x.shape[1:])
    matrix = (np.eye(size) if start is None else start)[None]
    for block, known in zip(blocks, found.affine, strict=True):  # in balls of radius zero little has to be known
        if known is not None:
            value, jacobian = known
            value, jacobian = value[wanted], jacobian if len(jacobian) == 1 else jacobian[wanted]
        else:
            here = _where_finite(block, x, still, given, inverse)
            value, jacobian = here.value, here.jacobian
        matrix, x = jacobian @ matrix, value
    matrices = np.full([len(wanted), *matrix.shape[1:]], np.nan)
    matrices[wanted] = matrix
    slopes = np.where(found.loose, _told(spectral_norms(matrices)), found.at_centre)
    return dataclasses.replace(found, at_centre=slopes, seen=True), matrices


def seen_by_inverting(back: Followed, matrices: np.ndarray) -> Followed:
    """With the slopes at the centres of the inverse where the Jacobians there, forward, are far from singular."""
    if matrices.shape[1] != matrices.shape[2]:  # of a block that pads: no one inverse
        return back
    usable = back.loose & np.isfinite(matrices).all((1, 2))
    values = np.linalg.svd(np.where(usable[:, None, None], matrices, np.eye(matrices.shape[1])), compute_uv=False)
    usable &= values[:, -1] > _SINGULAR * values[:, 0]
    return dataclasses.replace(back, at_centre=np.where(usable, 1 / values[:, -1], back.at_centre), seen=usable)


def _told(slopes: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(slopes), slopes, np.nan)


def _where_finite(block: MapInTurn, x: np.ndarray, reach: np.ndarray, condition: tf.Tensor | None, inverse: bool) -> LocalMap:
    """`block.local_map`; of centres that are lost and balls without an end nothing is known."""
    whole = np.isfinite(x).reshape(len(x), -1).all(1)
    known = whole & np.isfinite(reach)
    column = whole.reshape(-1, *[1] * (x.ndim - 1))
    found = block.local_map(np.where(column, x, 0.0), np.where(known, reach, 1.0), condition, inverse)
    value = (
        found.value if whole.all() else found.value + np.where(whole, 0.0, np.nan).reshape(-1, *[1] * (found.value.ndim - 1))
    )
    return dataclasses.replace(found, value=value, deviation=np.where(known, found.deviation, np.inf))
