"""Fixed-point grids: numbers whose floating-point sums and differences are exact.

The multiples of `2^-bits` below `2^(precision - bits)` in magnitude are all floating-point numbers, and a sum of two of
them that stays below is one of them: no rounding, in whatever order, with or without fused multiply-add.  `precision` is
24 for float32 and 53 for float64.  Subnormal numbers count as zero, which TensorFlow's arithmetic takes them for.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import tensorflow as tf

from inntf.core.arguments import typed
from inntf.core.domain import nan_where_refused

_TO_GRID = "Bring it there first, with inntf.numerics.snap_to_grid(x, bits) or the block inntf.blocks.SnapToGrid."
_ROOM = "Keep shifts small (a conditioner that ends in tanh), take fewer bits, or compute in dtype='float64'."
_ROUNDINGS = {"nearest": tf.round, "down": tf.floor}


@typed
def grid_limit(bits: int, dtype: Any = tf.float32) -> float:
    """`2^(precision - bits)`: grid numbers stay below it in magnitude.

    Args:
        bits: the grid holds the multiples of `2^-bits`.
        dtype: floating dtype that is to hold them.

    Raises:
        ValueError: unless `bits` is an integer from 0 to the precision of the dtype; TypeError: for no floating dtype.

    Source: inntf; IEEE 754 arithmetic.

    Example:
        >>> grid_limit(10), grid_limit(10, "float64") == 2.0**43
        (16384.0, True)
    """
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise TypeError(f"grid: received {dtype.name}, expected a floating dtype. Cast the values to float32.")
    precision = ml_dtypes.finfo(dtype.as_numpy_dtype).nmant + 1
    if isinstance(bits, bool) or bits != int(bits) or not 0 <= bits <= precision:
        raise ValueError(
            f"grid: received bits={bits!r}, expected an integer from 0 to {precision} in {dtype.name}. "
            "10 bits leave room up to 2^14 in float32."
        )
    return 2.0 ** (precision - int(bits))


@typed
def on_grid(value: Any, bits: int) -> tf.Tensor:
    """Elementwise: `value = k 2^-bits` with an integer `k`, finite and below `grid_limit`.

    Args:
        value: a tensor of any shape.
        bits: of the grid.

    Returns:
        Booleans of the same shape; false for NaN and infinity.

    Raises:
        ValueError, TypeError: as `grid_limit`.

    Source: inntf.

    Example:
        >>> on_grid(tf.constant([0.25, 0.3, 2.0**22]), bits=2).numpy().tolist()
        [True, False, False]
    """
    value = tf.convert_to_tensor(value)
    inside = in_range(value, bits)
    scaled = value * 2.0 ** int(bits)
    return tf.logical_and(inside, tf.equal(tf.round(scaled), scaled))


@typed
def in_range(value: Any, bits: int) -> tf.Tensor:
    """Elementwise `|value| < grid_limit(bits)`, a boolean tensor of the same shape; false for NaN.

    Source: inntf.

    Example:
        >>> in_range(tf.constant([2.0**14 - 1, 2.0**14]), bits=10).numpy().tolist()
        [True, False]
    """
    value = tf.convert_to_tensor(value)
    return tf.abs(value) < tf.constant(grid_limit(bits, value.dtype), value.dtype)


@typed
def round_to_grid(value: Any, bits: int, rounding: str = "nearest") -> tf.Tensor:
    """`round(value 2^bits) 2^-bits`, with the gradient of the identity (straight-through); range and NaN are not looked at.

    Args:
        value: a floating tensor of any shape.
        bits: of the grid.
        rounding: `"nearest"` (ties to even) or `"down"`.

    Returns:
        Values of the same shape and dtype; zero is `+0.0`.

    Raises:
        ValueError, TypeError: as `grid_limit`, or for another rounding.

    Source: straight-through gradients: Bengio et al., "Estimating or propagating gradients through stochastic
    neurons" (2013).

    Example:
        >>> round_to_grid(tf.constant([0.3, -0.1]), bits=2).numpy().tolist()
        [0.25, 0.0]
    """
    value = tf.convert_to_tensor(value)
    grid_limit(bits, value.dtype)
    if rounding not in _ROUNDINGS:
        raise ValueError(f"grid: received rounding={rounding!r}, expected 'nearest' or 'down'.")
    scale = 2.0 ** int(bits)
    whole = _ROUNDINGS[rounding](tf.stop_gradient(value) * scale)
    whole = tf.where(tf.equal(whole, 0.0), tf.zeros_like(whole), whole)  # no -0.0: its sign would not survive a sum
    return _straight_through(value, whole / scale)


@typed
def snap_to_grid(value: Any, bits: int, rounding: str = "nearest") -> tf.Tensor:
    """Bring data onto the grid: `round_to_grid`, and what does not fit is an error.

    Images divided by 256 lie on any grid of 8 bits or more already; noise added to them does not.  `rounding="down"` keeps
    `floor(256 x)` as it is.

    Args:
        value: a floating tensor or array of any shape.
        bits: of the grid.
        rounding: `"nearest"` (ties to even) or `"down"`.

    Returns:
        Grid numbers of the same shape and dtype; the gradient is that of the identity.

    Raises:
        ValueError: for NaN, infinity or numbers of `grid_limit` and more (in a graph `InvalidArgumentError`, under XLA NaN).

    Source: inntf.

    Example:
        >>> snap_to_grid(tf.constant([1 / 3, 200 / 256]), bits=8).numpy().tolist()
        [0.33203125, 0.78125]
    """
    return check_in_range(round_to_grid(value, bits, rounding), bits, "snap_to_grid: the value")


@typed
def check_on_grid(value: tf.Tensor, bits: int, subject: str) -> tf.Tensor:
    """The value, known to be `k 2^-bits` with an integer `k` in every entry: `on_grid`.

    Args:
        value: a floating tensor of any shape.
        bits: of the grid.
        subject: who complains, of what.

    Raises:
        ValueError: if an entry is off the grid.  In a graph it is an `InvalidArgumentError`; XLA drops assertions,
            so there the entry becomes NaN.

    Source: inntf.

    Example:
        >>> check_on_grid(tf.constant([0.75]), 2, "x").numpy().tolist()
        [0.75]
    """
    expected = f"finite multiples of 2^-{bits} below {grid_limit(bits, value.dtype):g} in magnitude"
    return _checked(value, on_grid(value, bits), subject, expected, _TO_GRID)


@typed
def check_in_range(value: tf.Tensor, bits: int, subject: str) -> tf.Tensor:
    """The value, of any shape, known to have `|value| < grid_limit(bits)`; errors as in `check_on_grid`.

    Source: inntf.

    Example:
        >>> check_in_range(tf.constant([0.1]), 2, "x").shape
        TensorShape([1])
    """
    limit = grid_limit(bits, value.dtype)
    expected = f"finite numbers below {limit:g} in magnitude, where {value.dtype.name} is exact to 2^-{bits}"
    return _checked(value, in_range(value, bits), subject, expected, _ROOM)


def _checked(value: tf.Tensor, fine: tf.Tensor, subject: str, expected: str, remedy: str) -> tf.Tensor:
    def said() -> str:
        wrong = tf.boolean_mask(value, tf.logical_not(fine))
        received = f"{wrong[0].numpy():.9g}, one of {wrong.shape[0]} such numbers in {tuple(value.shape)}"
        return f"{subject}: received {received}, expected {expected}. {remedy}"

    return nan_where_refused(value, fine, said, lambda: [f"{subject}: received other numbers than {expected}. {remedy}"])


@tf.custom_gradient
def _straight_through(value: tf.Tensor, rounded: tf.Tensor) -> Any:
    return tf.identity(rounded), lambda upstream: (upstream, None)
