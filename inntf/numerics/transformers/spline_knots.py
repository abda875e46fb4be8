"""The knots of a rational-quadratic spline from raw numbers, and what tails it may have; the values lie along the last axis."""

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


def check_width(raw: tf.Tensor, num_bins: int, tails: str) -> None:
    """Refuse raw numbers that are not as many as the knots take.

    Raises:
        ValueError: if so.
    """
    width = parameters_of(num_bins, tails)
    if raw.shape[-1] != width:
        raise ValueError(
            f"spline: received {raw.shape[-1]} parameters per value, expected {width} (for "
            f"{num_bins} bins, tails={tails!r}). Change the width of the network's last layer or num_bins."
        )


def inner_knots(raw: tf.Tensor, smallest: float, bound: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Shares of the bins before their minimum, `(K, n)`, and where the inner knots lie, `(K - 1, n)`.

    A bin's length is `2 bound (smallest + (1 - K smallest) share)`, the shares a softmax.

    Source: "Neural Spline Flows", Durkan et al. (2019), section 3.1.

    Example:
        >>> inner_knots(tf.zeros([2, 1]), 1e-3, 1.0)[1].numpy().tolist()
        [[0.0]]
    """
    # Written out along the first axis: tf.nn.softmax and cumsum bring it to the end and back.
    powers = tf.exp(raw - tf.reduce_max(raw, 0))
    shares = powers / tf.reduce_sum(powers, 0)
    lengths = tf.unstack(smallest + (1.0 - raw.shape[0] * smallest) * shares)
    if len(lengths) == 1:
        return shares, raw[:0]
    return shares, tf.stack(list(itertools.accumulate(lengths[:-1]))) * (2.0 * bound) - bound


def slopes_at_knots(raw: tf.Tensor, smallest: float, largest: float | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Derivatives at knots from raw numbers, and how they rise with these; 1 for zeros.

    Source: as `inner_knots`; with a largest one inntf.

    Example:
        >>> [float(part) for part in slopes_at_knots(tf.constant(0.0), 1e-3, None)][0]
        1.0
    """
    if largest is None or math.isinf(largest):
        moved = raw + math.log(math.expm1(1.0 - smallest))
        return smallest + tf.math.softplus(moved), tf.sigmoid(moved)
    low, span = math.log(smallest), math.log(largest / smallest)
    start = -low / span  # where the derivative is 1; the sigmoid is stretched to a unit slope there
    gain = 1.0 / (span * start * (1.0 - start))
    share = tf.sigmoid(gain * raw + math.log(start / (1.0 - start)))
    slope = tf.exp(low + span * share)
    return slope, slope * (span * gain) * share * (1.0 - share)


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
