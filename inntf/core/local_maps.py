"""What is known of a map in l2 balls round points: value and Jacobian at each centre, and how far the others can be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Values = Callable[[np.ndarray], np.ndarray]  # (n, *event) to (n, *event), float64
_LENGTHENED = 8  # times that a step may be lengthened, by up to 2^60


@dataclasses.dataclass(frozen=True)
class LocalMap:
    """For every point `y` of the ball of radius `r_i` round `x_i`: `|DF(y) - jacobian_i|_2 <= deviation_i`.

    Attributes:
        value: `(n, *event)`, `F(x_i)`, float64.
        jacobian: `(n, out, in)` float64, events flattened; `(1, out, in)` where it is the same for all.
        deviation: `(n,)`, infinite where nothing is known.
        reason: why it is infinite or a global bound, empty otherwise.
        bound: of every `|DF(y)|_2`, where one is known that may be smaller than what these make.
        error: how far `value` may be from the true image, beyond the rounding of a map that is computed at once, `(n,)`.

    Source: inntf.

    Example:
        >>> identity = LocalMap(np.zeros([1, 2]), np.eye(2)[None], np.zeros(1))
        >>> identity.deviation.tolist(), identity.reason
        ([0.0], '')
    """

    value: np.ndarray
    jacobian: np.ndarray
    deviation: np.ndarray
    reason: str = ""
    bound: float = math.inf
    error: np.ndarray | float = 0.0


def affine_map(function: Values, x: np.ndarray) -> LocalMap:
    """An affine function of one event: the same Jacobian everywhere, from the images of the unit vectors, or of longer ones.

    A large image of zero hides in its rounding what small steps do: steps are lengthened until they stand out.

    Source: inntf.

    Example:
        >>> affine_map(lambda x: 2 * x + 1, np.zeros([1, 2])).jacobian[0].tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    event, step = x.shape[1:], 1.0
    size = math.prod(event)
    for _ in range(_LENGTHENED):
        probes = np.concatenate([step * np.eye(size), np.zeros([1, size])]).reshape(size + 1, *event)
        found = function(np.concatenate([probes, x]))
        images = found[: size + 1].reshape(size + 1, -1)
        moves = images[:-1] - images[-1]
        moved, still = (float(np.max(np.abs(values), initial=0.0)) for values in (moves, images[-1]))
        if moved >= still or not math.isfinite(moved + still):
            return LocalMap(found[size + 1 :], moves.T[None] / step, np.zeros(len(x)))
        # A power of two divides without rounding.
        step *= 2.0 ** math.ceil(math.log2(min(still / moved, 2.0**60) if moved else 2.0**60))
    return LocalMap(found[size + 1 :], np.full([1, images.shape[1], size], np.nan), np.full(len(x), np.inf))


def entrywise_map(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> LocalMap:
    """A map of each entry by itself, with slopes between `low` and `high`, `(n, *event)`: a diagonal Jacobian.

    Source: inntf.

    Example:
        >>> found = entrywise_map(np.zeros([1, 2]), np.ones([1, 2]), np.full([1, 2], 3.0))
        >>> found.jacobian[0].tolist(), found.deviation.tolist()
        ([[2.0, 0.0], [0.0, 2.0]], [1.0])
    """
    n = len(value)
    low, high = low.reshape(n, -1), high.reshape(n, -1)
    with np.errstate(invalid="ignore"):
        middle, half = (low + high) / 2, (high - low) / 2
    known = np.isfinite(middle) & np.isfinite(half)
    middle, half = np.where(known, middle, 0.0), np.where(known, half, np.inf)
    jacobian = np.zeros([n, middle.shape[1], middle.shape[1]])
    np.einsum("nii->ni", jacobian)[:] = middle
    return LocalMap(value, jacobian, half.max(1) + 1e-12 * np.abs(middle).max(1))


def bounded_map(function: Values, x: np.ndarray, lipschitz: float, reason: str) -> LocalMap:
    """A function of which only a Lipschitz constant is known: every Jacobian is that far from zero; NaN where it is infinite.

    Source: inntf.

    Example:
        >>> bounded_map(np.sin, np.zeros([1, 2]), 1.0, "sine").deviation.tolist()
        [1.0]
    """
    value = function(x)
    sizes = math.prod(value.shape[1:]), math.prod(x.shape[1:])
    jacobian = np.full([1, *sizes], 0.0 if math.isfinite(lipschitz) else np.nan)
    return LocalMap(value, jacobian, np.full(len(x), lipschitz), reason)


def inverses(matrices: np.ndarray) -> np.ndarray:
    """Inverses of `(n, size, size)`; NaN where there is none.

    Source: inntf.

    Example:
        >>> inverses(np.array([[[2.0]], [[0.0]], [[np.inf]]])).ravel().tolist()
        [0.5, nan, nan]
    """
    whole = np.isfinite(matrices).all((1, 2))
    size = matrices.shape[1]
    try:
        found = np.linalg.inv(np.where(whole[:, None, None], matrices, np.eye(size)))
    except np.linalg.LinAlgError:  # one that is singular to the last digit fails all
        whole[whole] = np.linalg.slogdet(matrices[whole])[0] != 0
        found = np.linalg.inv(np.where(whole[:, None, None], matrices, np.eye(size)))
    return np.where(whole[:, None, None], found, np.nan)


def of_block(block: Any, x: np.ndarray, radius: np.ndarray, condition: Any, inverse: bool) -> LocalMap:
    """What holds of every block that is not made of others: an affine one is known exactly, of another one its Lipschitz bound.

    Args:
        block: built, in float64.
        x: centres, `(n, *event)`.
        radius: of the balls, `(n,)`.
        condition: one for each centre, or `None`.
        inverse: of the inverse map.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Permutation
        >>> reverse = Permutation.reverse(dtype="float64").ensure_built((2,))
        >>> of_block(reverse, np.zeros([1, 2]), np.ones(1), None, False).jacobian[0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if block.tags.affine:
        return affine_map(_function(block, condition, inverse), x)
    return of_bound(block, x, radius, condition, inverse)


def of_bound(block: Any, x: np.ndarray, radius: np.ndarray, condition: Any, inverse: bool) -> LocalMap:
    """What holds of every block, by its Lipschitz bound in the balls' box.

    An affine composition, too: the images of unit vectors would not show what its parts lose to rounding between them.

    Args: as in `of_block`.

    Source: inntf.

    Example:
        >>> from inntf.blocks import Rescale
        >>> double = Rescale(2.0, dtype="float64").ensure_built((2,))
        >>> of_bound(double, np.zeros([1, 2]), np.ones(1), None, False).deviation.tolist()
        [2.0]
    """
    ends = radius.reshape(-1, *[1] * (x.ndim - 1))
    box = None if inverse else ((x - ends).min(0), (x + ends).max(0))
    bounds = block.lipschitz_bounds(box)
    bound = bounds.inverse if inverse else bounds.forward
    reason = bounds.reason or f"{block.name}: its Lipschitz bound alone"
    return bounded_map(_function(block, condition, inverse), x, bound, reason)


def _function(block: Any, condition: Any, inverse: bool) -> Values:
    def function(values: np.ndarray) -> np.ndarray:
        way = block.inverse_and_log_det if inverse else block.forward_and_log_det
        return way(tf.constant(values, tf.float64), condition)[0].numpy()

    return function
