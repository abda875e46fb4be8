"""Does the inverse hold on inputs unlike the data?  The same measurements on noise, constants, textures and other data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.random_states import same_draws
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.input_sets import input_sets
from inntf.stability.precision import shared_float64_copy
from inntf.stability.reconstruction import ErrorSummary, summarize
from inntf.stability.traces import traced_once

_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class InputSetErrors:
    """What comes back of one set of inputs; `passes` times forward and back.

    Attributes:
        errors: `(passes, count)` float64, `|x_k - x_0|_2` after each pass.
        pixels: `(passes, count)` float64, the mean of `|x_k - x_0|` over the entries, where the range of data is 255.
        wide: `(count,)` float64, errors after one pass of a float64 copy; `None` if none was asked for.
        latent_nonfinite_share: share of inputs whose latents are not finite.
        samples: the first inputs, up to 8.
        reconstructed: what comes back of these after one pass.

    Source: inntf.
    """

    errors: np.ndarray
    pixels: np.ndarray
    wide: np.ndarray | None
    latent_nonfinite_share: float
    samples: np.ndarray
    reconstructed: np.ndarray

    @property
    def summary(self) -> ErrorSummary:
        """Of the l2 errors after one pass."""
        return summarize(self.errors[0])

    @property
    def median(self) -> float:
        """Of all l2 errors after one pass; one that is not finite counts as infinite."""
        return float(np.median(np.where(np.isfinite(self.errors[0]), self.errors[0], np.inf)))


@dataclasses.dataclass(frozen=True)
class OutOfDistribution:
    """What `out_of_distribution` measured; `print` it for a table.

    Attributes:
        sets: `InputSetErrors` by name; `"data"` comes first.

    Source: inntf.
    """

    sets: dict[str, InputSetErrors]

    def ratio(self, name: str) -> float:
        """Median error of a set over that of the data, infinite where either says so."""
        if np.isinf(self.sets[name].median):
            return float("inf")
        with np.errstate(all="ignore"):
            found = np.float64(self.sets[name].median) / np.float64(self.sets["data"].median)
        return 1.0 if np.isnan(found) else float(found)

    def __str__(self) -> str:
        passes = len(self.sets["data"].errors)
        last = f"after {passes}" if passes > 1 else "max"
        lines = [
            f"{'inputs':<14}{'not finite':>11}{'median':>11}{'max':>11}{last:>11}{'pixels':>11}{'float64':>11}{'ratio':>11}"
        ]
        for name, found in self.sets.items():
            share, wide = found.summary.nonfinite_share, np.nan if found.wide is None else summarize(found.wide).median
            numbers = [found.summary.median, found.summary.max, summarize(found.errors[-1]).median]
            numbers += [summarize(found.pixels[0]).median, wide, self.ratio(name)]
            lines.append(f"{name:<14}{share:>10.1%} " + "".join(f"{number:>11.3g}" for number in numbers))
        return "\n".join(lines)


def out_of_distribution(
    block: Any,
    x: Any,
    condition: Any = None,
    *,
    others: Mapping[str, Any] | None = None,
    data_range: tuple[float, float] = (-0.5, 0.5),
    count: int | None = None,
    passes: int = 9,
    batch_size: int = 250,
    seed: int = 0,
    float64: bool = True,
) -> OutOfDistribution:
    r"""Reconstruct data, noise, constants, textures and other data sets, and compare.

    For each set $\|x_k - x_0\|_2$ with $x_k = F^{-1}(F(x_{k-1}))$, per sample and pass.  Errors that are not finite are counted
    apart.  A model that is invertible on its data alone shows here.

    Args:
        block: a block, or a model around one.  Leading blocks that round to levels (`Dequantize`) are applied to the data and
            left out: all inputs are what they could return.
        x: the data to compare with, such as a test set, `(batch, ...)`.
        condition: of the block, if it has one; other inputs get the same conditions in turn.
        others: further sets by name, events of the same shape.
        data_range: `(low, high)` of the data: noise is drawn within 98 % of it, and its width counts as 255 pixel levels.
        count: inputs of each kind of noise; as many as data by default.
        passes: forward and back.
        batch_size: inputs at once.
        seed: of the noise.
        float64: whether to measure a float64 copy as well.

    Returns:
        `OutOfDistribution`.

    Raises:
        ValueError: for numbers that are not positive, a range out of order, a name that is taken, no data, or data that the
            block refuses.

    Source: "Understanding and Mitigating Exploding Inverses", table 2 and supplement D; the range and the clipping are those of
    its code.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> found = out_of_distribution(AdditiveCoupling(), tf.zeros([4, 6]), passes=2)
        >>> list(found.sets), found.sets["uniform"].errors.shape
        (['data', 'gaussian', 'uniform', 'rademacher', 'constant', 'texture'], (2, 4))
    """
    for name, value in {"passes": passes, "batch_size": batch_size, "count": 1 if count is None else count}.items():
        if int(value) != value or value < 1:
            raise ValueError(explain("out_of_distribution", received=f"{name}={value}", expected="a whole number from 1 on"))
    maps = BlockFunctions.of(block, x, condition).unrounded()
    data = maps.x.numpy()
    if not len(data):
        raise ValueError(explain("out_of_distribution", received="no data", expected="at least one sample"))
    inputs = {"data": data} | input_sets(data.shape[1:], count or len(data), data_range, seed)
    for name, values in (others or {}).items():
        if name in inputs:
            expected = f"a name other than {', '.join(inputs)}"
            raise ValueError(explain("out_of_distribution", received=f"others with {name!r}", expected=expected))
        values = np.asarray(values)
        if values.shape[1:] != data.shape[1:] or not len(values):
            received, expected = f"{name!r} of shape {values.shape}", f"(batch, {', '.join(map(str, data.shape[1:]))})"
            raise ValueError(explain("out_of_distribution", received=received, expected=expected))
        inputs[name] = values
    wide = maps.wide(shared_float64_copy(maps.block)) if float64 else None
    unit = 255 / (data_range[1] - data_range[0])
    out = {}
    with same_draws(maps.block):
        for name, values in inputs.items():
            values = values.astype(data.dtype)
            seen, finite = _passes(maps, values, passes, batch_size)
            misses = np.abs(seen[1:].astype(np.float64) - values).reshape(passes, len(values), -1)
            once = None
            if wide is not None:
                back = _passes(wide, values.astype(np.float64), 1, batch_size)[0][1]
                once = _lengths((back - values).reshape(len(values), -1))
            shown = values[:_SHOWN], seen[1, :_SHOWN]
            out[name] = InputSetErrors(_lengths(misses), misses.mean(-1) * unit, once, float(np.mean(~finite)), *shown)
    return OutOfDistribution(out)


def _passes(maps: BlockFunctions, values: np.ndarray, passes: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """`(passes + 1, n, ...)`: the inputs and what comes back of them, and which have finite latents, `(n,)`."""

    def function(block: Block, x: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        here = BlockFunctions(block, x, condition, ())
        z = here.forward(x)
        return here.inverse(z), tf.reduce_all(tf.math.is_finite(z), list(range(1, z.shape.rank)))

    round_trip = traced_once(maps.block, ("round trip", maps.condition is None), function)
    seen, finite = [], []
    for i in range(0, len(values), batch_size):
        x = values[i : i + batch_size]
        rows = np.arange(i, i + len(x)) % len(maps.x)
        condition = None if maps.condition is None else tf.gather(maps.condition, rows)
        part = [x]
        for k in range(passes):
            back, whole = round_trip(tf.constant(part[-1]), condition)
            part.append(back.numpy())
            if k == 0:
                finite.append(whole.numpy())
        seen.append(np.stack(part))
    return np.concatenate(seen, 1), np.concatenate(finite)


def _lengths(misses: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.sqrt(np.sum(misses**2, -1))
