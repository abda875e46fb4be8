"""How much the inverse amplifies rounding near samples: what an attack finds, what dense sampling finds, what is certified."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.numerics import batch_jacobian
from inntf.stability.attack import attack
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.precision import shared_float64_copy
from inntf.stability.traces import traced_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AT_ONCE = 2**22  # numbers in all Jacobians of a pass


@dataclasses.dataclass(frozen=True)
class Amplification:
    """Lipschitz constants of the inverse in balls round `z = forward(x)`, `(n,)` float64 each.

    Attributes:
        radius: of the balls, in the latent.
        attacked: the error of the reconstruction over the rounding error of the latent, at the point that `attack` found.
        sampled: the largest slope at points of the ball, in float64.
        certified: an upper bound for all of the ball.

    Source: inntf.
    """

    radius: np.ndarray
    attacked: np.ndarray
    sampled: np.ndarray
    certified: np.ndarray

    @property
    def ordered(self) -> np.ndarray:
        """`(n,)`, whether attacked <= sampled <= certified, to a millionth; what was not measured violates nothing."""
        return ~((self.attacked > self.sampled * (1 + 1e-6)) | (self.sampled > self.certified * (1 + 1e-6)))

    def draw(self, axes: Axes, title: str = "attack <= truth <= certificate") -> None:
        """Draw a column a sample, in the order of the certificates, on logarithmic axes of matplotlib.

        Args:
            axes: where.
            title: above.
        """
        order = np.argsort(self.certified, kind="stable")
        place = np.arange(1, len(order) + 1)
        low, high = (np.where(np.isfinite(side), side, np.nan)[order] for side in (self.attacked, self.certified))
        axes.vlines(place, low, high, color="#d9dee4", lw=4, zorder=1)
        for name, marker, colour, label in (
            ("certified", "v", "#0072b2", "certificate"),
            ("sampled", "_", "#1f2933", "truth, sampled in float64"),
            ("attacked", "^", "#d55e00", "attack"),
        ):
            axes.plot(place, getattr(self, name)[order], marker, color=colour, ms=7, mew=1.8, label=label, zorder=2)
        if not self.ordered.all():
            wrong = place[~self.ordered[order]]
            transform = axes.get_xaxis_transform()
            axes.plot(wrong, np.full(len(wrong), 0.02), "x", color="#d6266b", transform=transform, label="violated")
        axes.set_yscale("log")
        axes.set_xlabel("sample")
        axes.set_ylabel("slope of the inverse")
        axes.set_title(title, loc="left")
        axes.legend(frameon=False, fontsize=9)


def amplification(
    block: Any, x: Any, condition: Any = None, *, radius: Any, points: int = 64, steps: int = 50, seed: int = 0
) -> Amplification:
    r"""Compare, sample by sample, what an attack reaches with the true slope of the inverse and with its certificate.

    In the ball of `radius` round $z = F(x)$ the inverse's Lipschitz constant is bounded from above by `certify`, and from below
    by its slopes $1 / \sigma_{\min}(J_F)$ at points on the sphere and inside of it.  `attack` looks for $x'$ in the largest
    ball round x that the certificate keeps within; there the block's own rounding, $\hat z = F(x') + \delta$, comes back as

    $$ |x' - F^{-1}(\hat z)| / |\delta| \le \max \|J_{F^{-1}}\| , $$

    F and its inverse in float64.

    Args:
        block: a built block that computes in less than float64, or a model around one.
        x: data, `(n, ...)`.
        condition: of the block, if it has one.
        radius: of the balls, in the latent; a number, or `(n,)`.
        points: drawn in each ball.
        steps: of the attack.
        seed: of the attack and the points.

    Returns:
        `Amplification`; `attacked` is NaN where the block sends the point out of the ball, or does not round at all.

    Raises:
        ValueError: for a block that is float64 already, and as `attack` and `certify`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import AffineCoupling
        >>> found = amplification(AffineCoupling().ensure_built((4,)), tf.random.normal([3, 4]), radius=1e-3, points=8, steps=2)
        >>> bool(found.ordered.all())
        True
    """
    maps = BlockFunctions.of(block, x, condition).smooth()
    if maps.block.variable_dtype == "float64":
        remedy = "Pass the block that computes in float32: its float64 copy is made here."
        raise ValueError(explain("amplification", received="a float64 block", expected="one that rounds", remedy=remedy))
    wide = maps.wide(shared_float64_copy(maps.block))
    found = certify_balls(wide.block, wide.x, radius, wide.condition)
    radius, rng = found.radius, np.random.default_rng((seed, 1))
    # Where nothing is certified, a ball that may be too large; what leaves it is left out below.
    reach = np.where(np.isfinite(found.forward), 0.999 * radius / found.forward, 1e-6 * radius)
    options: dict[str, Any] = {"norm": "l2", "steps": steps, "latent_noise": 1e-3, "seed": seed}
    worst = attack(maps.block, maps.x, maps.condition, radius=reach, **options).adversarial
    with same_draws(maps.block, wide.block), np.errstate(all="ignore"):
        centre = wide.forward(wide.x).numpy()
        true, rounded = wide.forward(tf.constant(worst, tf.float64)).numpy(), maps.forward(tf.constant(worst)).numpy()
        back = wide.inverse(tf.constant(rounded, tf.float64)).numpy()
        inside = np.maximum(_length(true - centre), _length(rounded - centre)) <= radius
        attacked = np.where(inside, _length(worst - back) / _length(rounded - true), np.nan)
        slopes = [_slopes(wide, wide.x.numpy()), np.where(inside, _slopes(wide, worst.astype(np.float64)), np.nan)]
        for k in range(points):
            step = rng.standard_normal(centre.shape)
            share = 1.0 if k % 2 else rng.random(len(centre)) ** (1 / math.prod(centre.shape[1:]))
            length = 0.999 * radius * share / _length(step)
            z = centre + step * length.reshape(-1, *[1] * (centre.ndim - 1))
            slopes.append(_slopes(wide, wide.inverse(tf.constant(z)).numpy()))
    return Amplification(radius, attacked, np.fmax.reduce(slopes), found.inverse)


def _slopes(maps: BlockFunctions, x: np.ndarray) -> np.ndarray:
    """The inverse's slope at the image of each point, `1 / sigma_min`; as large as float64 can tell."""
    size = math.prod(x.shape[1:])

    def function(block: Block, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
        return batch_jacobian(BlockFunctions(block, x, condition, ()).forward, x, rows=min(size, 32))

    jacobian = traced_once(maps.block, ("jacobian", maps.condition is None), function)
    step, out = max(1, _AT_ONCE // max(1, size * size)), []
    for i in range(0, len(x), step):
        condition = None if maps.condition is None else maps.condition[i : i + step]
        found = jacobian(tf.constant(x[i : i + step]), condition).numpy()
        known = np.isfinite(found).all((1, 2))
        values = np.linalg.svd(np.where(known[:, None, None], found, 0.0), compute_uv=False)
        smallest = np.maximum(values[:, -1], 32 * np.finfo(np.float64).eps * values[:, 0])
        with np.errstate(divide="ignore"):
            out.append(np.where(known, 1 / smallest, np.nan))
    return np.concatenate([np.zeros(0), *out])


def _length(step: np.ndarray) -> np.ndarray:
    return np.linalg.norm(step.reshape(len(step), -1), axis=1)
