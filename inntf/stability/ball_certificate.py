"""Certificates in l2 balls round points: tight for trained models, where products of global bounds say little."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.core.refusals import marked_refusals, values_only
from inntf.stability.ball_following import follow, seen_at_centres, seen_by_inverting
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.precision import shared_float64_copy
from inntf.stability.radius_search import checked_factor, largest_radius
from inntf.stability.unrolling import in_turn

_NUMBERS_AT_ONCE = 2**22  # of the Jacobians of all points that are followed together


@dataclasses.dataclass(frozen=True)
class BallCertificate:
    """Upper bounds on Lipschitz constants in balls of one radius; `(n,)` float64 arrays.

    Attributes:
        radius: of the balls, round each point `x` and, for the inverse, round each `z = forward(x)`.
        forward: bounds of `|F(a) - F(b)| / |a - b|` for `a`, `b` in the ball round `x`.
        inverse: the same of the inverse, in the ball round `z`.
        forward_at_centre: the slope at `x` itself, the largest singular value there, within 1 %: no bound can be lower; NaN
            (and the bound infinite) where a block sends the centre out of range or nothing at all is known of it.  What is
            bounded only globally counts as zero.
        inverse_at_centre: that of the inverse at `z`.
        reasons: what of the model is bounded only globally, or not at all.
        everywhere: the `Certificate` for all inputs, block by block, where `certify` made this one.

    Source: inntf.
    """

    radius: np.ndarray
    forward: np.ndarray
    inverse: np.ndarray
    forward_at_centre: np.ndarray
    inverse_at_centre: np.ndarray
    reasons: tuple[str, ...] = ()
    everywhere: Any = None

    @property
    def condition_number(self) -> np.ndarray:
        """`forward * inverse`: of both balls together."""
        return self.forward * self.inverse

    def __str__(self) -> str:
        lines = [f"{'point':>6}  {'radius':>9}  {'forward':>10}  {'at centre':>10}  {'inverse':>10}  {'at centre':>10}"]
        columns = self.radius, self.forward, self.forward_at_centre, self.inverse, self.inverse_at_centre
        for i, (radius, *numbers) in enumerate(zip(*columns, strict=True)):
            lines.append(f"{i:>6}  {radius:>9.2g}  " + "  ".join(f"{number:>10.4g}" for number in numbers))
        lines += [f"only bounded globally: {reason}" for reason in self.reasons]
        return "\n".join([*lines, *([] if self.everywhere is None else ["for all inputs:", str(self.everywhere)])])


def certify_balls(block: Any, at: Any, radius: Any, condition: Any = None) -> BallCertificate:
    r"""Bound the Lipschitz constants of both directions in l2 balls round data.

    Through the blocks $F_i$ it carries, for the ball round each point, the exact Jacobian $M_i = J_i M_{i-1}$ at the centre
    and a bound of how far the true one can be from it anywhere in the ball,

    $$ L_n = \|M_n\| + \sum_i \| J_n \cdots J_{i+1} \| \, e_i \, L_{i-1} , $$

    where $\|DF_i - J_i\| \le e_i$ in the ball of radius $L_{i-1} r$ that the one before sends here (`Block.local_map`: what can
    change there are slopes of activations and scales).  The product of the blocks' own constants is taken where it is smaller.
    All of it in float64, rounding counted in; about the cost of `dim` Jacobian columns and some spectral norms a block.

    Args:
        block: a built block, or a model around one.  Blocks that know only a global bound (continuous ones, and those with
            networks or transformers whose derivatives are not known) enter with it; leading blocks that round to levels are
            left out.  A continuous block counts as its exact flow: what its solver leaves is not in the bound.
        at: data, `(n, *event)`; balls lie round the numbers of the block's dtype next to them, as the block sees them.
        radius: of the balls, positive; a number, or one for each point.
        condition: of the block, if it has one; it is held fixed.

    Returns:
        `BallCertificate`.

    Raises:
        ValueError: for a radius that is not positive, data that the block refuses, or a block that cannot be copied to float64;
            TypeError: if there is no block.

    Source: inntf (local Lipschitz bounds of compositions); for networks see `inntf.nets.local_network`.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.blocks import ActNorm, AffineCoupling
        >>> from inntf.compose import Chain
        >>> chain = Chain([ActNorm(), AffineCoupling()]).ensure_built((4,))
        >>> found = certify_balls(chain, tf.zeros([2, 4]), radius=1e-3)
        >>> bool((found.forward >= found.forward_at_centre).all()), found.forward.shape
        (True, (2,))
    """
    maps = BlockFunctions.of(block, at, condition).smooth()
    maps = maps.wide(shared_float64_copy(maps.block))
    x = maps.x.numpy()
    radius = np.broadcast_to(np.asarray(radius, np.float64), (len(x),))
    if not (np.isfinite(radius).all() and (radius > 0).all()):
        raise ValueError(explain("certify_balls", received=f"radius={radius!r}", expected="positive, finite numbers"))
    blocks = list(in_turn(maps.block))
    size = math.prod(x.shape[1:])
    step = max(1, _NUMBERS_AT_ONCE // max(1, size * size))
    found = []
    with values_only(), marked_refusals(), same_draws(maps.block), np.errstate(all="ignore"):  # what overflows has no bound
        for i in range(0, len(x), step):
            part = slice(i, i + step)
            given = None if maps.condition is None else maps.condition[part]
            there = follow(blocks, x[part], radius[part], given, inverse=False)
            back = follow(blocks[::-1], there.value, radius[part], given, inverse=True)
            there, matrices = seen_at_centres(there, blocks, x[part], given, inverse=False, also=back.loose)
            if matrices is not None:
                back = seen_by_inverting(back, matrices)
            found.append((there, seen_at_centres(back, blocks[::-1], there.value, given, inverse=True)[0]))
    reasons = dict.fromkeys(reason for pair in found for one in pair for reason in one.reasons)
    forward, inverse = zip(*found, strict=True) if found else ((), ())
    return BallCertificate(  # type: ignore[call-arg]
        radius.copy(),
        *(np.concatenate([np.zeros(0), *(one.bound for one in side)]) for side in (forward, inverse)),
        *(np.concatenate([np.zeros(0), *(one.at_centre for one in side)]) for side in (forward, inverse)),
        tuple(reasons),
    )


def certified_radius(
    block: Any, at: Any, factor: float = 2.0, condition: Any = None, *, largest: float = 1.0, steps: int = 20
) -> np.ndarray:
    """The largest radius at which `certify_balls` is within `factor` of the slope at the centre, in both directions.

    By bisection of its logarithm, between `1e-9 largest` and `largest`; zero where even the smallest ball is too large.

    Args:
        block: as in `certify_balls`.
        at: data, `(n, *event)`.
        factor: above 1.
        condition: as in `certify_balls`.
        largest: no larger radius is tried.
        steps: of the bisection.

    Returns:
        `(n,)`, radii at which the certificate was seen to hold.

    Raises:
        ValueError: as `certify_balls`, or for a factor of at most 1.

    Source: inntf.

    Example:
        >>> import tensorflow as tf
        >>> from inntf.blocks import ActNorm
        >>> certified_radius(ActNorm().ensure_built((3,)), tf.zeros([1, 3])).tolist()
        [1.0]
    """
    checked_factor("certified_radius", factor)

    def holds(radius: np.ndarray) -> np.ndarray:
        found = certify_balls(block, at, radius, condition)
        sides = (found.forward, found.forward_at_centre), (found.inverse, found.inverse_at_centre)
        return np.all([np.isfinite(bound) & (bound <= factor * centre) for bound, centre in sides], 0)

    return largest_radius(holds, len(np.asarray(at)), largest, steps)
