"""The knots of a rational-quadratic spline from raw numbers, what tails it may have, and the bin that holds a value."""

from __future__ import annotations

import itertools
import math

import tensorflow as tf

Limits = tuple[float, float, float, float | None]
TAILS = {"identity": -1, "free": 1, "none": 1, "circular": 0}  # how many more than 3 K numbers the knots of K bins take


def parameters_of(num_bins: int, tails: str) -> int:
    """How many raw numbers an entry takes: `K` widths, `K` heights, and the slopes at knots that are free.

    Raises:
        ValueError: for other tails.

    Source: inntf.

    Example:
        >>> parameters_of(8, "identity"), parameters_of(8, "free")
        (23, 25)
    """
    if tails not in TAILS:
        raise ValueError(f"spline: received tails={tails!r}, expected one of {', '.join(map(repr, TAILS))}.")
    return 3 * num_bins + TAILS[tails]


def spline_knots(
    raw: tf.Tensor, value: tf.Tensor, num_bins: int, bound: float, limits: Limits, tails: str
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Knots and derivatives, each of shape `S + (num_bins + 1,)`; the outer knots are exactly `-bound` and `bound`.

    The outer derivatives are 1 with the tails `"identity"`, one number with `"circular"`, and otherwise free.

    Source: "Neural Spline Flows", Durkan et al. (2019), section 3.1.

    Example:
        >>> limits = (1e-3, 1e-3, 1e-3, None)
        >>> spline_knots(tf.zeros([5]), tf.zeros([]), 2, 1.0, limits, "identity")[0].numpy().tolist()
        [-1.0, 0.0, 1.0]
    """
    min_derivative, max_derivative = limits[2:]
    check_limits(num_bins, *limits)
    width = parameters_of(num_bins, tails)
    if raw.shape[-1] != width:
        raise ValueError(
            f"spline: received {raw.shape[-1]} parameters per value, expected {width} (for "
            f"{num_bins} bins, tails={tails!r}). Change the width of the network's last layer or num_bins."
        )
    raw = tf.cast(raw, value.dtype)
    derivatives = raw[..., 2 * num_bins :]
    edge = tf.ones_like(raw[..., :1])
    if max_derivative is None or math.isinf(max_derivative):
        inner = min_derivative + tf.math.softplus(derivatives + math.log(math.expm1(1.0 - min_derivative)))
    else:
        low, span = math.log(min_derivative), math.log(max_derivative / min_derivative)
        start = -low / span  # where the derivative is 1; the sigmoid is stretched to a unit slope there
        gain = 1.0 / (span * start * (1.0 - start))
        inner = tf.exp(low + span * tf.sigmoid(gain * derivatives + math.log(start / (1.0 - start))))
    sides = (_positions(raw[..., i * num_bins : (i + 1) * num_bins], limits[i], bound, edge) for i in (0, 1))
    if tails == "identity":
        inner = tf.concat([edge, inner, edge], -1)
    elif tails == "circular":
        inner = tf.concat([inner, inner[..., :1]], -1)
    return (*sides, inner)


def _positions(raw: tf.Tensor, smallest: float, bound: float, edge: tf.Tensor) -> tf.Tensor:
    shares = smallest + (1.0 - raw.shape[-1] * smallest) * tf.nn.softmax(raw, -1)
    # A written-out running sum: `cumsum` is slow on CPU, and a product with a triangle loses digits to TF32 on GPU.
    sums = list(itertools.accumulate(tf.unstack(shares, axis=-1)[:-1]))
    inner = [tf.stack(sums, -1) * (2.0 * bound) - bound] if sums else []
    return tf.concat([-bound * edge, *inner, bound * edge], -1)


def in_bin(value: tf.Tensor, knots: tf.Tensor, tables: tuple[tf.Tensor, ...]) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Left and right entry of each table, `S + (num_bins + 1,)`, in the bin that holds the value, of shape `S`.

    Source: inntf.

    Example:
        >>> knots = tf.constant([0.0, 1.0, 2.0])
        >>> [float(end) for end in in_bin(tf.constant(1.5), knots, (knots,))[0]]
        [1.0, 2.0]
    """
    after = tf.cast(value[..., None] >= knots[..., 1:-1], knots.dtype)
    one = tf.ones_like(knots[..., :1])
    zero = tf.zeros_like(one)
    # Ones up to the bin minus ones up to the next: a one-hot row.  Cheaper here than a gather, whose gradient scatters.
    left = tf.concat([one, after, zero], -1) - tf.concat([after, zero, zero], -1)
    right = tf.concat([zero, left[..., :-1]], -1)
    return [(tf.reduce_sum(left * t, -1), tf.reduce_sum(right * t, -1)) for t in tables]


def check_limits(
    num_bins: int, min_width: float, min_height: float, min_derivative: float, max_derivative: float | None
) -> None:
    """Refuse minima that leave no room, and derivatives that do not hold the identity between them."""
    widest = max(min_width, min_height)
    if num_bins < 1 or min(min_width, min_height) <= 0.0 or widest * num_bins >= 1.0:
        raise ValueError(
            f"spline: received num_bins={num_bins}, min_bin_width={min_width}, min_bin_height={min_height}, expected at least "
            "one bin and positive minima below 1 / num_bins. Use fewer bins or smaller minima."
        )
    if not 0.0 < min_derivative < 1.0 or (max_derivative is not None and max_derivative <= 1.0):
        raise ValueError(
            f"spline: received min_derivative={min_derivative}, max_derivative={max_derivative}, expected min_derivative in "
            "(0, 1) and max_derivative above 1, so that the identity lies between them. Change the limits."
        )
