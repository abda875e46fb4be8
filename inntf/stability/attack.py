"""Search for the point near a sample that a block reconstructs worst: projected gradient ascent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.perturbation_sets import PerturbationSet
from inntf.stability.precision import shared_float64_copy
from inntf.stability.traces import traced_once


@dataclasses.dataclass(frozen=True)
class Attack:
    """What `attack` found; arrays.

    Attributes:
        data: what was attacked, `(batch, ...)`.
        adversarial: the worst point found for each sample, `(batch, ...)`: the first whose error is not finite, else that of
            the largest error.  All of them are inside of the box or ball.
        reconstructed: what `inverse(forward(adversarial))` gives there.
        error: `(batch,)` float64, `|adversarial - reconstructed|_2`; NaN or infinite where the inverse broke.
        errors: `(steps + 1, starts, batch)` float64, the error at each step; start 0 begins with the data.  Where an error is
            not finite the search stopped, and its value stays.
        nonfinite_at: `(starts, batch)`, the step at which the error was not finite, -1 where it always was.
        lost_gradients: `(starts, batch)`, steps whose gradient had entries that were not finite; they counted as zero.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks", section 4.2.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> found = attack(ActNorm().ensure_built((2,)), tf.ones([3, 2]), radius=0.1, steps=2)
        >>> found.errors.shape, found.nonfinite_share
        ((3, 1, 3), 0.0)
    """

    data: np.ndarray
    adversarial: np.ndarray
    reconstructed: np.ndarray
    error: np.ndarray
    errors: np.ndarray
    nonfinite_at: np.ndarray
    lost_gradients: np.ndarray

    @property
    def start_error(self) -> np.ndarray:
        """`(batch,)`, the error at the data."""
        return self.errors[0, 0]

    @property
    def growth(self) -> np.ndarray:
        """`(batch,)`, the largest error over that at the data; infinite where it is not finite, or the latter is zero."""
        with np.errstate(all="ignore"):
            ratio = self.error / self.start_error
        return np.where(self.error == 0, 1.0, np.where(np.isfinite(ratio), ratio, np.inf))

    @property
    def broken_at(self) -> np.ndarray:
        """`(batch,)`, the first step at which any start of a sample met an error that is not finite; -1 where none did."""
        steps = np.where(self.nonfinite_at < 0, np.iinfo(np.int64).max, self.nonfinite_at).min(0)
        return np.where(steps == np.iinfo(np.int64).max, -1, steps)

    @property
    def nonfinite_share(self) -> float:
        """Share of samples whose inverse breaks somewhere near."""
        return float(np.mean(self.broken_at >= 0)) if len(self.data) else 0.0

    def __str__(self) -> str:
        if not len(self.data):
            return "no samples"
        worst, start = (np.where(np.isfinite(e), e, np.inf) for e in (self.error, self.start_error))
        text = f"error {np.median(start):.3g} at the data, {np.median(worst):.3g} where it is worst (medians of {len(worst)})"
        broken = self.broken_at
        if (broken >= 0).any():
            text += f"; {(broken >= 0).sum()} not finite, first at step {broken[broken >= 0].min()}"
        return text


def attack(
    block: Any,
    x: Any,
    condition: Any = None,
    *,
    radius: Any,
    norm: str = "linf",
    steps: int = 200,
    step_size: float | None = None,
    starts: int = 1,
    data_range: tuple[Any, Any] | None = None,
    latent_noise: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
) -> Attack:
    r"""Look for the worst reconstruction in a box or a ball round each sample, by projected (signed) gradient ascent.

    $$ x'_{k+1} = \Pi\left( x'_k + \alpha\, \mathrm{sign} \nabla \|x'_k - F^{-1}(F(x'_k))\|_2 \right),\qquad
       \|x' - x\|_\infty < \epsilon $$

    (for `"l2"` the gradient's direction and the l2 ball).  A sample whose error is not finite stops there: its gradient says
    nothing, and the step is recorded.  Where the gradient is zero, signs are drawn.  Inverses of residual blocks are iterated
    to their tolerance, and differentiated implicitly.  What is found bounds the worst error from below; not to find anything
    proves nothing: see `certify`.

    On paper the error is zero, so its gradient is rounding, amplified.  `latent_noise` climbs
    $\|x' - F^{-1}(F(x') + \eta)\|_2$ instead, with noise $\eta$ drawn anew at each step: that has a gradient, which leads to
    where the inverse amplifies.  What is recorded is always the error without it.

    Args:
        block: a block, or a model around one.  Leading blocks that round to levels (`Dequantize`) are applied to the data and
            left out: the box is round what they return.
        x: data, `(batch, ...)`; see `dequantization_bin` for the centres of bins.
        condition: of the block, if it has one; it is held fixed.
        radius: of the box or ball; a positive number, or `(batch,)`.
        norm: `"linf"`, the box, or `"l2"`, the ball in which `certify(at=x, radius=radius)` bounds.
        steps: gradient steps.
        step_size: length of a step in the norm; by default a thirty-second of each radius (the papers: 5e-4 for 0.5 / 2^5).
        starts: searches a sample: the first from the data, the others from uniform points.
        data_range: `(low, high)`, numbers or arrays that broadcast to an event: points are kept within.
        latent_noise: standard deviation of the noise, over the root mean square of the latent's entries.
        seed: of starts, noise and drawn signs.
        precision: `"float64"` attacks a float64 copy of the block.

    Returns:
        `Attack`.

    Raises:
        ValueError: for numbers that are not positive, an unknown norm or precision, data outside of the range, or data that the
            block refuses.

    Source: "On the Invertibility of Invertible Neural Networks", equation 3; "Understanding and Mitigating Exploding Inverses",
    equations 11 and 12, supplement E.

    Example:
        >>> from inntf.blocks import AffineCoupling
        >>> block = AffineCoupling().ensure_built((4,))
        >>> found = attack(block, tf.random.normal([5, 4]), radius=0.5 / 2**5, steps=3, starts=2)
        >>> bool((np.abs(found.adversarial - found.data) < 0.5 / 2**5).all())
        True
    """
    _check(steps, step_size, starts, latent_noise, precision)
    maps = BlockFunctions.of(block, x, condition).unrounded()
    if precision is not None:
        maps = maps.wide(shared_float64_copy(maps.block))
    region = PerturbationSet.of(maps.x, radius, norm, data_range)
    length = region.size / 32 if step_size is None else tf.fill(region.size.shape, tf.cast(step_size, maps.x.dtype))
    advance, noise = _step(maps, norm, bool(latent_noise)), tf.constant(latent_noise, maps.x.dtype)
    points = tf.concat([maps.x, *(region.draw((seed, start)) for start in range(1, starts))], 0).numpy()
    fixed = [tf.concat([part] * starts, 0) for part in (*region.parts(), length)]
    given = None if maps.condition is None else tf.concat([maps.condition] * starts, 0)
    count = len(points)
    worst, back, error = points.copy(), points.copy(), np.full(count, -1.0)
    errors, broken, lost = np.zeros((steps + 1, count)), np.full(count, -1), np.zeros(count, np.int64)
    alive = np.arange(count)
    with same_draws(maps.block):
        for k in range(steps + 1):
            errors[k] = errors[max(k - 1, 0)]
            if not len(alive):
                continue
            here = [tf.gather(part, alive) for part in fixed]
            condition = None if given is None else tf.gather(given, alive)
            out = advance(tf.constant(points[alive]), condition, *here, noise, tf.constant([seed, k]))
            moved, returned, now, bad = (part.numpy() for part in out)
            finite = np.isfinite(now)
            better = ~finite | (now > error[alive])
            rows = alive[better]
            worst[rows], back[rows], error[rows] = points[rows], returned[better], now[better]
            errors[k, alive], points[alive] = now, moved
            lost[alive] += bad & finite
            broken[alive[~finite]] = k
            alive = alive[finite]
    shape = starts, count // starts
    chosen = np.where(np.isfinite(error), error, np.inf).reshape(shape).argmax(0) * shape[1] + np.arange(shape[1])
    return Attack(
        data=maps.x.numpy(),
        adversarial=worst[chosen],
        reconstructed=back[chosen],
        error=error[chosen],
        errors=errors.reshape(steps + 1, *shape),
        nonfinite_at=broken.reshape(shape),
        lost_gradients=lost.reshape(shape),
    )


def _step(maps: BlockFunctions, norm: str, noisy: bool) -> Callable[..., Any]:
    """One step from all points, traced once for batches of any size.

    Returns the points after it, what comes back of those before it, their errors, and whether a gradient was not finite.
    """

    def step(block: Block, x: tf.Tensor, condition: tf.Tensor | None, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        *around, length, noise, seed = rest
        here, region = BlockFunctions(block, x, condition, ()), PerturbationSet(norm, *around)
        axes = list(range(1, x.shape.rank))
        with tf.GradientTape() as tape:
            tape.watch(x)
            z = here.forward(x)
            back = here.inverse(z + noise * _like(z, seed)) if noisy else here.inverse(z)
            miss = back - x
            # The same direction as the norm's, and no square that overflows.
            largest = tf.stop_gradient(tf.reduce_max(tf.abs(miss), axes, keepdims=True))
            objective = tf.reduce_sum((miss / tf.where(largest > 0, largest, 1.0)) ** 2)
        gradient = tape.gradient(objective, x)
        if noisy:
            back = here.inverse(z)
        sound = tf.math.is_finite(gradient)
        gradient = tf.where(sound, gradient, 0.0)
        flat = tf.reduce_all(gradient == 0, axes, keepdims=True)
        signs = tf.sign(tf.random.stateless_uniform(tf.shape(x), seed, -1.0, 1.0, x.dtype))
        moved = region.project(x + length * region.uphill(tf.where(flat, signs, gradient)))
        error = tf.sqrt(tf.reduce_sum((tf.cast(back, tf.float64) - tf.cast(x, tf.float64)) ** 2, axes))
        return moved, back, error, tf.cast(~tf.reduce_all(sound, axes), tf.int64)

    return traced_once(maps.block, ("attack", norm, noisy, maps.condition is None), step)


def _like(z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Gaussian noise of the size of each latent; no gradient."""
    axes = list(range(1, z.shape.rank))
    largest = tf.reduce_max(tf.abs(z), axes, keepdims=True)
    size = largest * tf.sqrt(tf.reduce_mean((z / tf.where(largest > 0, largest, 1.0)) ** 2, axes, keepdims=True))
    return tf.stop_gradient(size * tf.random.stateless_normal(tf.shape(z), seed, dtype=z.dtype))


def _check(steps: int, step_size: float | None, starts: int, latent_noise: float, precision: str | None) -> None:
    if not tf.executing_eagerly():
        raise ValueError(explain("attack", received="a call inside of a tf.function", expected="an eager call"))
    for name, value in {"steps": steps, "starts": starts}.items():
        if int(value) != value or value < 1:
            raise ValueError(explain("attack", received=f"{name}={value}", expected="a whole number from 1 on"))
    if step_size is not None and not (np.isfinite(step_size) and step_size > 0):
        raise ValueError(explain("attack", received=f"step_size={step_size}", expected="a positive number, or None"))
    if not (np.isfinite(latent_noise) and latent_noise >= 0):
        raise ValueError(explain("attack", received=f"latent_noise={latent_noise}", expected="0 or a positive number"))
    if precision not in (None, "float64"):
        raise ValueError(explain("attack", received=f"precision={precision!r}", expected="None or 'float64'"))
