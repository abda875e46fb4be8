"""Both sides of an inverse: data there and back, and the model's own samples there and back, in one precision."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.shapes import known_sizes
from inntf.models import InnAutoencoder, IResNetClassifier
from inntf.models.base_draws import can_draw
from inntf.models.flow_shapes import standard_normal
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.find_block import find_subject
from inntf.stability.reconstruction import ErrorSummary, distance, summarize

_LARGEST = 2**18  # numbers in all latents that are drawn: more images would cost more than all the rest of a report
_FEWEST, _MOST = 64, 1024  # of 1024, all are finite once in 30,000 times where 1 % are not


@dataclasses.dataclass(frozen=True)
class Side:
    """What comes back of the values of one side: of data `x -> z -> x`, of latents `z -> x -> z`.

    Attributes:
        errors: `(batch,)`, l2, float64; NaN or infinite where a value does not come back.
        relative: summary of the errors over `max(norm, median norm)`.
        column: the column of a vector, or the channel of an image, that comes back worst for its own spread.
        columns: summary of that column's errors (root mean square over the pixels) over its spread, see `spreads`.
        middle_nonfinite: share of the values whose image on the other side is not finite; of latents: of the samples.
    """

    errors: np.ndarray
    relative: ErrorSummary
    column: int
    columns: ErrorSummary
    middle_nonfinite: float

    @property
    def nonfinite_share(self) -> float:
        """Share of values that are lost on the way there or back."""
        return max(self.relative.nonfinite_share, self.middle_nonfinite)

    @classmethod
    def of(cls, start: tf.Tensor, middle: tf.Tensor, end: tf.Tensor) -> Side:
        """From the values at the start, on the other side, and back again."""
        errors = distance(start, end).numpy().astype(np.float64)
        column, columns = worst_column(start, end)
        lost = ~np.isfinite(middle.numpy().astype(np.float64)).reshape(len(errors), -1).all(1)
        return cls(errors, relative_summary(np.where(lost, np.nan, errors), start), column, columns, float(lost.mean()))


def draw_latents(model: Any, maps: BlockFunctions, seed: int = 0) -> tf.Tensor | None:
    """Latents from the model's base, `(count, ...)`: a standard normal where the model has none of its own.

    Their number is 1024, less for large events, and a multiple of the data's, so that conditions repeat.  `None` where
    `no_samples` says why.
    """
    block = maps.block
    if no_samples(model, block):
        return None
    if isinstance(model, InnAutoencoder):
        return _drawn_codes(model, seed)
    latent = known_sizes(block._z_event_shape)
    size = math.prod(latent)
    count = _count(size)
    if maps.condition is not None:
        data = int(maps.x.shape[0])
        count = -(-count // data) * data
    subject = find_subject(model)
    base = standard_normal(latent, block.variable_dtype) if isinstance(subject, Block) else subject.base
    drawn = tf.reshape(base.sample(count, seed=tf.constant([seed, 0])), [-1, *latent])
    return tf.cast(drawn[: count if maps.condition is not None else _MOST], block.variable_dtype)


def no_samples(model: Any, block: Block) -> str:
    """Why a model has no samples and no density of its own; empty where it has.

    The latents of a block that pads have more numbers than its data, and most of them are the image of none; a classifier's
    features follow no law that could be drawn from.
    """
    if math.prod(known_sizes(block._z_event_shape)) != math.prod(known_sizes(block._x_event_shape)):
        return "The block pads: no density, and no samples."
    if isinstance(model, InnAutoencoder) and not model.prior_weight:
        return "An autoencoder whose codes were trained to follow no law (prior_weight=0): no density, and no samples."
    if isinstance(model, IResNetClassifier):
        return "A classifier: no density, and no samples."
    subject = block if isinstance(model, InnAutoencoder) else find_subject(model)
    return "" if isinstance(subject, Block) or can_draw(subject.base) else "A base with a density alone: no samples."


def _count(size: int) -> int:
    return int(np.clip(_LARGEST // max(size, 1), _FEWEST, _MOST))


def _drawn_codes(model: InnAutoencoder, seed: int) -> tf.Tensor:
    """Codes from N(0, I), padded with the zeros that decoding puts behind them."""
    codes = standard_normal((model.bottleneck,), model.block.variable_dtype).sample(
        _count(model.dim), seed=tf.constant([seed, 0])
    )
    return model.padded(codes)


def relative_summary(errors: Any, x: Any) -> ErrorSummary:
    """Summary of relative errors `e_i / max(|x_i|_2, median_j |x_j|_2)`.

    The median norm is the floor, so that a black image does not divide by zero; without any norm above zero, errors stay
    absolute.

    Args:
        errors: `(batch,)`, of `reconstruction_error`.
        x: the samples, `(batch, ...)`.

    Returns:
        `ErrorSummary`.

    Raises:
        ValueError: if the batch is empty.

    Source: inntf.

    Example:
        >>> relative_summary(tf.constant([1.0, 1.0, 1.0]), tf.constant([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])).max
        0.2
    """
    flat = tf.reshape(tf.cast(x, tf.float64), [tf.shape(x)[0], -1])
    norms = tf.norm(flat, axis=1).numpy()
    sound = norms[np.isfinite(norms)]
    floor = float(np.median(sound)) if sound.size else 0.0
    return summarize(np.asarray(errors, np.float64) / np.maximum(norms, floor or 1.0))


def worst_column(x: tf.Tensor, back: tf.Tensor) -> tuple[int, ErrorSummary]:
    """The column or channel with the largest 99 % quantile of `|error| / spread`, and the summary of its errors.

    Args:
        x: `(batch, dim)` or `(batch, height, width, channels)`.
        back: what came back, of the same shape.

    Returns:
        The number of the column, from 0, and its `ErrorSummary`.

    Raises:
        ValueError: if the batch is empty.

    Source: inntf.

    Example:
        >>> x = tf.constant([[1e8, 1.0], [-1e8, -1.0]])
        >>> column, errors = worst_column(x, x + [0.0, 0.5])
        >>> column, errors.median
        (1, 0.5)
    """
    wide = x.numpy().astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.square(back.numpy().astype(np.float64) - wide)
        error = np.sqrt(error.mean(tuple(range(1, error.ndim - 1))))
    scaled = error / spreads(wide, float(ml_dtypes.finfo(x.dtype.as_numpy_dtype).eps))
    found = [summarize(column) for column in scaled.T]
    worst = max(range(len(found)), key=lambda j: found[j].p99)
    return worst, found[worst]


def spreads(x: np.ndarray, eps: float) -> np.ndarray:
    """The scale against which an error of each column counts: its standard deviation, `(columns,)`.

    A column that does not spread by more than 16 roundings of its size is constant: its size counts, 1 for zeros.
    """
    flat = np.where(np.isfinite(x), x, np.nan).reshape(-1, x.shape[-1])
    size = np.zeros(flat.shape[1])
    sound = ~np.isnan(flat).all(0)
    largest = np.nanmax(np.abs(flat[:, sound]), 0)
    unit = flat[:, sound] / np.where(largest > 0, largest, 1.0)  # the square of a large number is none
    size[sound] = largest
    spread = np.zeros_like(size)
    spread[sound] = np.nanstd(unit, 0) * largest
    return np.where(spread > 16 * eps * size, spread, np.where(size > 0, size, 1.0))
