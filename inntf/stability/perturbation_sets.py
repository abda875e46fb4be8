"""Where an attack may go: an l-inf box or an l2 ball round each sample, within a range of data, rounding counted in."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain

NORMS = ("linf", "l2")


class DequantizationBin(NamedTuple):
    """The box that uniform dequantization spreads an image over.

    Attributes:
        centre: of the box, the shape of the image, float32 or float64.
        radius: half its width, a number.

    Source: "Understanding and Mitigating Exploding Inverses", supplement E.1.

    Example:
        >>> dequantization_bin([[0.3]], bits=1).radius
        0.25
    """

    centre: np.ndarray
    radius: float


def dequantization_bin(x: Any, bits: int = 5, low: float = 0.0, high: float = 1.0) -> DequantizationBin:
    r"""Centre and half width of the bin that each entry lies in, of $2^{\mathrm{bits}}$ bins from `low` to `high`.

    $$ \hat x = \mathrm{low} + (\lfloor u \rfloor + 1/2) / 2^b \cdot (\mathrm{high} - \mathrm{low}),\qquad
       \epsilon = (\mathrm{high} - \mathrm{low}) / 2^{b + 1} $$

    with `u` the entry counted in bins.  All of a bin has the same likelihood under the data, so what is found in it is data.

    Args:
        x: `(batch, ...)`, entries from `low` to `high`; integer levels have to be scaled first.
        bits: of the quantization.
        low: where the first bin begins.
        high: where the last one ends.

    Returns:
        `DequantizationBin`.

    Raises:
        ValueError: for a number of bits below 1, or entries outside of the range.

    Source: "Understanding and Mitigating Exploding Inverses", equation 12.

    Example:
        >>> dequantization_bin(np.array([[0.0, 0.3, 1.0]]), bits=1).centre.tolist()
        [[0.25, 0.25, 0.75]]
    """
    if bits < 1:
        raise ValueError(explain("dequantization_bin", received=f"bits={bits}", expected="at least 1"))
    x = np.asarray(x)
    dtype = x.dtype if x.dtype.kind == "f" else np.float32
    wide = x.astype(np.float64)
    if not ((wide >= low) & (wide <= high)).all():
        received = f"entries from {wide.min():.4g} to {wide.max():.4g}"
        raise ValueError(explain("dequantization_bin", received=received, expected=f"entries from {low:g} to {high:g}"))
    levels = 2**bits
    number = np.minimum(np.floor((wide - low) / (high - low) * levels), levels - 1)
    return DequantizationBin((low + (number + 0.5) / levels * (high - low)).astype(dtype), (high - low) / levels / 2)


@dataclasses.dataclass(frozen=True)
class PerturbationSet:
    """The points that an attack may reach from each of a batch of samples.

    Attributes:
        norm: `"linf"` or `"l2"`.
        centre: the samples, `(batch, ...)`.
        low, high: the entries' limits, `(batch, ...)`: the box, or the range of data.
        radius: `(batch, 1, ...)` float64, of the ball, less what rounding could add.
        size: `(batch, 1, ...)`, the radius that was asked for.
    """

    norm: str
    centre: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    radius: tf.Tensor
    size: tf.Tensor

    @classmethod
    def of(cls, x: tf.Tensor, radius: Any, norm: str, data_range: tuple[Any, Any] | None) -> PerturbationSet:
        """Limits in the samples' own dtype, each an ulp inside of what was asked for.

        Raises:
            ValueError: for a radius that is not positive, an unknown norm, or samples outside of the range.
        """
        if norm not in NORMS:
            raise ValueError(explain("attack", received=f"norm={norm!r}", expected="'linf' or 'l2'"))
        centre, wide = x.numpy(), x.numpy().astype(np.float64)
        radius = np.asarray(radius, np.float64)
        if radius.shape not in ((), (len(wide),)) or not (np.isfinite(radius) & (radius > 0)).all():
            received = f"radius={radius if radius.size < 9 else f'{radius.size} numbers'}"
            expected = f"a positive number, or {len(wide)} of them, one a sample"
            raise ValueError(explain("attack", received=received, expected=expected))
        size = np.broadcast_to(radius, (len(wide),)).reshape(-1, *[1] * (wide.ndim - 1))
        low, high = (np.full_like(centre, side) for side in (-np.inf, np.inf))
        if norm == "linf":
            # An ulp inwards: the box is open in the papers, and neither this difference nor a cast can then leave it.  An ulp
            # of the size as well: beside zero the next number is subnormal, and TensorFlow takes that for zero, the edge.
            shorter = size * (1 - 2 * np.finfo(centre.dtype).eps)
            low, high = (np.nextafter((wide + d).astype(centre.dtype), centre) for d in (-size, size))
            low = np.minimum(np.maximum(low, (wide - shorter).astype(centre.dtype)), centre)
            high = np.maximum(np.minimum(high, (wide + shorter).astype(centre.dtype)), centre)
        if data_range is not None:
            bottom, top = _inside(data_range, centre.dtype)
            if not ((centre >= bottom) & (centre <= top)).all():
                received = f"samples with entries from {wide.min():.4g} to {wide.max():.4g}"
                expected = f"samples inside of data_range={tuple(map(float, data_range))}"
                raise ValueError(explain("attack", received=received, expected=expected))
            low, high = np.maximum(low, bottom), np.minimum(high, top)
        axes = tuple(range(1, wide.ndim))
        length = np.sqrt(np.sum(wide**2, axis=axes, keepdims=True))
        entries = math.prod(wide.shape[1:])
        lost = np.finfo(centre.dtype).eps * (length + size) + (entries + 8) * 2.0**-52 * size
        return cls(norm, *map(tf.constant, (centre, low, high, np.maximum(size - lost, 0.0), size.astype(centre.dtype))))

    def parts(self) -> list[tf.Tensor]:
        """The tensors, to pass through a traced function."""
        return [self.centre, self.low, self.high, self.radius, self.size]

    def project(self, x: tf.Tensor) -> tf.Tensor:
        """The nearest point that may be reached."""
        if self.norm == "l2":
            step = tf.cast(x, tf.float64) - tf.cast(self.centre, tf.float64)
            length = _length(step)
            share = tf.where(length > self.radius, self.radius / tf.where(length > 0, length, 1.0), 1.0)
            x = tf.cast(tf.cast(self.centre, tf.float64) + share * step, x.dtype)
        return tf.clip_by_value(x, self.low, self.high)

    def uphill(self, gradient: tf.Tensor) -> tf.Tensor:
        """Steepest ascent of length 1 in the norm: signs, or the direction."""
        if self.norm == "linf":
            return tf.sign(gradient)
        largest = tf.reduce_max(tf.abs(gradient), list(range(1, gradient.shape.rank)), keepdims=True)
        wide = tf.cast(gradient / tf.where(largest > 0, largest, 1.0), tf.float64)  # the square of a large number is none
        length = _length(wide)
        return tf.cast(wide / tf.where(length > 0, length, 1.0), gradient.dtype)

    def draw(self, seed: tuple[int, int]) -> tf.Tensor:
        """A uniform point for each sample."""
        rng = np.random.default_rng(seed)
        shape, dtype = self.centre.shape, self.centre.dtype.as_numpy_dtype
        if self.norm == "linf":
            step = rng.uniform(-1.0, 1.0, shape)
        else:
            step = rng.standard_normal(shape)
            entries, rest = math.prod(shape[1:]), [1] * (len(shape) - 1)
            length = np.linalg.norm(step.reshape(shape[0], -1), axis=1).reshape(-1, *rest)
            step = step / np.where(length > 0, length, 1.0) * rng.random((shape[0], *rest)) ** (1 / max(1, entries))
        return self.project(tf.constant((self.centre.numpy() + step * self.size.numpy()).astype(dtype)))


def _inside(data_range: tuple[Any, Any], dtype: Any) -> tuple[Any, Any]:
    """The range's ends in the samples' dtype, rounded inwards."""
    low, high = (np.asarray(side, np.float64) for side in data_range)
    if not (low < high).all():
        raise ValueError(explain("attack", received=f"data_range={data_range}", expected="(low, high) with low below high"))
    bottom, top = low.astype(dtype), high.astype(dtype)
    return (
        np.where(bottom < low, np.nextafter(bottom, np.asarray(np.inf, dtype)), bottom),
        np.where(top > high, np.nextafter(top, np.asarray(-np.inf, dtype)), top),
    )


def _length(step: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(step**2, list(range(1, step.shape.rank)), keepdims=True))
