"""Certificates of the decoder of an invertible autoencoder, in balls round codes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.core.refusals import marked_refusals, values_only
from inntf.models import InnAutoencoder
from inntf.stability.ball_following import follow, seen_at_centres
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.precision import shared_float64_copy
from inntf.stability.radius_search import checked_factor, largest_radius
from inntf.stability.unrolling import in_turn

_NUMBERS_AT_ONCE = 2**22  # of the Jacobians of all codes that are followed together


@dataclasses.dataclass(frozen=True)
class DecoderCertificate:
    """Upper bounds on the Lipschitz constant of `decode` in balls round codes; `(n,)` float64 arrays.

    Attributes:
        radius: of the balls, l2, in the space of codes.
        bound: of `|decode(a) - decode(b)| / |a - b|` for `a`, `b` in the ball.
        at_centre: the slope at the code itself, the largest singular value of `decode` there, within 1 %.
        reasons: what of the model is bounded only globally, or not at all.

    Source: inntf.
    """

    radius: np.ndarray
    bound: np.ndarray
    at_centre: np.ndarray
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{'code':>6}  {'radius':>9}  {'decoder':>10}  {'at centre':>10}"]
        for i, (radius, bound, centre) in enumerate(zip(self.radius, self.bound, self.at_centre, strict=True)):
            lines.append(f"{i:>6}  {radius:>9.2g}  {bound:>10.4g}  {centre:>10.4g}")
        return "\n".join([*lines, *(f"only bounded globally: {reason}" for reason in self.reasons)])


def certify_decoder(model: InnAutoencoder, at: Any, radius: Any) -> DecoderCertificate:
    r"""Bound how much `decode` can stretch a change of the code, in l2 balls round the codes of data.

    As `certify_balls` for the inverse of the block, but for the map $y \mapsto F^{-1}(y, 0)$ alone: the ball lies in the space
    of codes, and of every Jacobian only the columns of `y` count.  A code that is off by `e <= radius` is decoded at most
    `bound * e` away.  In float64, rounding counted in.

    Args:
        model: an `InnAutoencoder`.
        at: data, `(n, *event)`, at whose codes to certify.
        radius: of the balls, positive; a number, or one for each.

    Returns:
        `DecoderCertificate`.

    Raises:
        TypeError: for another model; ValueError: for a radius that is not positive, data that the block refuses, or a block
            that cannot be copied to float64.

    Source: inntf (local Lipschitz bounds of compositions); for networks see `inntf.nets.local_network`.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.models import inn_autoencoder
        >>> model = inn_autoencoder((4, 4, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0)
        >>> found = certify_decoder(model, tf.zeros([2, 4, 4, 1]), radius=1e-3)  # not trained: the identity
        >>> found.at_centre.round(3).tolist(), bool((found.bound >= found.at_centre).all())
        ([1.0, 1.0], True)
    """
    if not isinstance(model, InnAutoencoder):
        raise TypeError(explain("certify_decoder", received=type(model).__name__, expected="an InnAutoencoder"))
    maps = BlockFunctions.of(model, at)
    maps = maps.wide(shared_float64_copy(maps.block))
    n, size, kept = int(maps.x.shape[0]), model.dim, model.bottleneck
    radius = np.broadcast_to(np.asarray(radius, np.float64), (n,))
    if not (np.isfinite(radius).all() and (radius > 0).all()):
        raise ValueError(explain("certify_decoder", received=f"radius={radius!r}", expected="positive, finite numbers"))
    blocks = list(in_turn(maps.block))[::-1]
    start, step = np.eye(size, kept), max(1, _NUMBERS_AT_ONCE // max(1, size * size))
    found = []
    with values_only(), marked_refusals(), same_draws(maps.block), np.errstate(all="ignore"):  # what overflows has no bound
        for i in range(0, n, step):
            part = slice(i, i + step)
            z = maps.forward(maps.x[part]).numpy()
            codes = z.reshape(len(z), size) * (np.arange(size) < kept)
            codes = codes.reshape(z.shape)
            ball = follow(blocks, codes, radius[part], None, inverse=True, start=start)
            found.append(seen_at_centres(ball, blocks, codes, None, inverse=True, start=start)[0])
    reasons = dict.fromkeys(reason for one in found for reason in one.reasons)
    bound, centre = (np.concatenate([np.zeros(0), *(getattr(one, key) for one in found)]) for key in ("bound", "at_centre"))
    return DecoderCertificate(radius.copy(), bound, centre, tuple(reasons))


def certified_decoder_radius(
    model: InnAutoencoder, at: Any, factor: float = 2.0, *, largest: float = 1.0, steps: int = 20
) -> np.ndarray:
    """The largest radius at which `certify_decoder` is within `factor` of the slope at the code.

    By bisection of its logarithm, between `1e-9 largest` and `largest`; zero where even the smallest ball is too large.

    Args:
        model: as in `certify_decoder`.
        at: data, `(n, *event)`, at whose codes to certify.
        factor: above 1.
        largest: no larger radius is tried.
        steps: of the bisection; two certificates more are made.

    Returns:
        `(n,)`, radii in the space of codes at which the certificate was seen to hold.

    Raises:
        TypeError, ValueError: as `certify_decoder`; ValueError: for a factor of at most 1.

    Source: inntf.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.models import inn_autoencoder
        >>> model = inn_autoencoder((4, 4, 1), 3, stages=(1,), hidden=4, dense_hidden=4, seed=0)
        >>> radius = certified_decoder_radius(model, tf.zeros([1, 4, 4, 1]), steps=6)
        >>> found = certify_decoder(model, tf.zeros([1, 4, 4, 1]), radius)
        >>> bool((radius > 0).all() and (found.bound <= 2.0 * found.at_centre).all())
        True
    """
    checked_factor("certified_decoder_radius", factor)

    def holds(radius: np.ndarray) -> np.ndarray:
        found = certify_decoder(model, at, radius)
        return np.isfinite(found.bound) & (found.bound <= factor * found.at_centre)

    return largest_radius(holds, len(np.asarray(at)), largest, steps)


def worst_of_decoder(found: DecoderCertificate, radius: float) -> dict[str, Any]:
    """The worst of the balls that have a bound, as plain numbers."""
    proved = np.isfinite(found.bound)
    worst = {name: float(getattr(found, name)[proved].max()) if proved.any() else math.inf for name in ("bound", "at_centre")}
    return {"radius": radius, "samples": len(proved), "certified": int(proved.sum()), **worst, "reasons": list(found.reasons)}
