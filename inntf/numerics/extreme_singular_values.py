"""Largest and smallest singular value of the Jacobian of an invertible function, from both of its directions."""

from __future__ import annotations

from concurrent import futures
from typing import NamedTuple, Protocol, runtime_checkable

import ml_dtypes
import numpy as np
import tensorflow as tf

from inntf.numerics.bidiagonalization import Extremes, bidiagonalize
from inntf.numerics.full_spectrum import singular_triplets
from inntf.numerics.jacobian import Function, Linearization, batch_jacobian

_AGREE = 0.1  # forward and inverse must tell the same smallest singular value to that relative difference
_ROUNDING = 32.0  # multiples of the rounding unit granted to a Jacobian product


@runtime_checkable
class Products(Protocol):
    """A function linearized at `x`; `inntf.numerics.Linearization` is one.

    Source: inntf.

    Example:
        >>> isinstance(Linearization(tf.square, tf.ones([1, 2])), Products)
        True
    """

    x: tf.Tensor
    value: tf.Tensor

    def jvp(self, v: tf.Tensor) -> tf.Tensor:
        """`J v`."""

    def vjp(self, w: tf.Tensor) -> tf.Tensor:
        """`J^T w`."""


class JacobianExtremes(NamedTuple):
    """Extreme singular values of `J(x)` for each sample; `(batch,)` each, float64 or bool.

    Attributes:
        largest: of the forward Jacobian.
        smallest: of the forward Jacobian; NaN where it could not be told.
        smallest_at_most: an upper bound on the smallest one from the forward Jacobian alone, whatever the inverse does.
        converged: whether the iterations reached their tolerance.
        consistent: whether the Jacobian of the inverse is, as far as looked at, the inverse of the Jacobian.
        finite: whether every product of both Jacobians was finite.

    Source: inntf; the values are those of Behrmann et al., "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> out = exact_extremes(lambda x: x * [4.0, 0.5], lambda z: 0.0 * z, tf.zeros([1, 2]))  # no inverse at all
        >>> bool(out.consistent[0]), float(out.smallest_at_most[0])
        (False, 0.5)
    """

    largest: tf.Tensor
    smallest: tf.Tensor
    smallest_at_most: tf.Tensor
    converged: tf.Tensor
    consistent: tf.Tensor
    finite: tf.Tensor


def lanczos_extremes(
    forward: Function, inverse: Function, x: tf.Tensor, *, iterations: int = 100, tolerance: float = 1e-4, seed: int = 0
) -> JacobianExtremes:
    """Extreme singular values without the Jacobian: `sigma_max(J_F(x))` and `1 / sigma_max(J_G(F(x)))`, `G` the inverse.

    Lanczos finds the top of a spectrum fast and its bottom slowly, so the smallest value is read off the top of the
    inverse.  Where the inverse is numerically broken its Jacobian need not be the inverse of anything, so the answer
    is checked: the direction `u` that `J_G` stretches most (`J_G w = s u`) must be shrunk by the forward Jacobian,
    `J_F u = w / s`, to 10 % and rounding, and `1 / s` must not exceed what the forward Lanczos has seen.  Where the
    check fails, `consistent` is false and `smallest` is the upper bound known from the forward Jacobian.

    Args:
        forward: `x -> z`, sample by sample.
        inverse: `z -> x`, sample by sample.
        x: `(batch, ...)`, float.
        iterations: at most that many products a direction.
        tolerance: relative, on the residual of a singular value.
        seed: of the starting vectors.

    Returns:
        `JacobianExtremes`.

    Raises:
        TypeError: if `x` is not float.

    Source: Golub and Kahan (1965) for the iteration; the reading of the smallest value off the inverse follows from
    `J_G(F(x)) = J_F(x)^-1`.

    Example:
        >>> out = lanczos_extremes(lambda x: x * [4.0, 0.5], lambda z: z / [4.0, 0.5], tf.zeros([1, 2]))
        >>> round(float(out.largest[0]), 4), round(float(out.smallest[0]), 4)
        (4.0, 0.5)
    """
    ahead = Linearization(forward, x)
    return products_extremes(ahead, Linearization(inverse, ahead.value), iterations=iterations, tolerance=tolerance, seed=seed)


def products_extremes(
    ahead: Products,
    back: Products,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    seed: int = 0,
    at_once: bool = False,
) -> JacobianExtremes:
    """As `lanczos_extremes`, from a forward map linearized at `x` and the inverse at its image.

    Args:
        ahead: the forward map: a `Linearization`, or what has its members.
        back: the inverse.
        iterations: as in `lanczos_extremes`.
        tolerance: as there.
        seed: as there.
        at_once: both directions in threads of their own, which pays where a product is one call.

    Source: inntf.

    Example:
        >>> ahead = Linearization(lambda x: x * [4.0, 0.5], tf.zeros([1, 2]))
        >>> round(float(products_extremes(ahead, Linearization(lambda z: z / [4.0, 0.5], ahead.value)).smallest[0]), 4)
        0.5
    """
    directions = [(ahead, iterations, tolerance, seed), (back, iterations, tolerance, seed + 1)]
    if at_once and tf.executing_eagerly():
        with futures.ThreadPoolExecutor(2) as threads:
            top, bottom = threads.map(lambda given: _lanczos(*given), directions)
    else:
        top, bottom = (_lanczos(*given) for given in directions)
    return _combine(
        top=top.largest.numpy(),
        at_most=top.smallest.numpy(),
        stretch=bottom.largest.numpy(),
        source=bottom.right.numpy(),
        direction=bottom.left,
        ahead=ahead,
        converged=np.logical_and(top.converged.numpy(), bottom.converged.numpy()),
        exact=False,
    )


def exact_extremes(forward: Function, inverse: Function, x: tf.Tensor, *, rows: int = 32) -> JacobianExtremes:
    """Extreme singular values from the whole Jacobian, by SVD in float64; for small dimensions.

    The smallest value is the forward Jacobian's, unless it is below what the precision of the Jacobian can resolve;
    then it comes from the Jacobian of the inverse, if that passes the check of `lanczos_extremes`.

    Args:
        forward: `x -> z`, sample by sample.
        inverse: `z -> x`, sample by sample.
        x: `(batch, ...)`, float.
        rows: rows of the Jacobian a pass (see `batch_jacobian`).

    Returns:
        `JacobianExtremes`.

    Raises:
        TypeError: if `x` is not float.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks" (2019), section 4.

    Example:
        >>> out = exact_extremes(lambda x: x * [4.0, 0.5], lambda z: z / [4.0, 0.5], tf.zeros([1, 2]))
        >>> float(out.largest[0]), float(out.smallest[0])
        (4.0, 0.5)
    """
    x = tf.convert_to_tensor(x)
    z = forward(x)
    values, _, _ = singular_triplets(batch_jacobian(forward, x, rows))
    stretch, left, right = singular_triplets(batch_jacobian(inverse, z, rows))
    return _combine(
        ahead=Linearization(forward, x),
        top=values[:, 0].numpy(),
        at_most=values[:, -1].numpy(),
        stretch=stretch[:, 0].numpy(),
        source=right[:, :, 0].numpy(),
        direction=left[:, :, 0],
        converged=np.isfinite(values[:, 0]) & np.isfinite(stretch[:, 0]),
        exact=True,
    )


def _lanczos(at: Products, iterations: int, tolerance: float, seed: int) -> Extremes:
    return bidiagonalize(
        lambda v: _flat(at.jvp(_like(v, at.x))),
        lambda u: _flat(at.vjp(_like(u, at.value))),
        batch=int(tf.shape(at.x)[0]),
        size=int(np.prod(at.x.shape[1:])),
        iterations=iterations,
        tolerance=tolerance,
        seed=seed,
    )


def _combine(
    *,
    top: np.ndarray,
    at_most: np.ndarray,
    stretch: np.ndarray,
    source: np.ndarray,
    direction: tf.Tensor,
    ahead: Products,
    converged: np.ndarray,
    exact: bool,
) -> JacobianExtremes:
    shrunk = _flat(ahead.jvp(_like(direction, ahead.x))).numpy()
    sound, back = np.isfinite(top), np.isfinite(stretch) & np.isfinite(shrunk).all(-1)
    noise = _ROUNDING * float(ml_dtypes.finfo(ahead.value.dtype.as_numpy_dtype).eps) * np.where(sound, top, 0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        told = 1.0 / stretch
        mismatch = np.linalg.norm(shrunk - source * told[:, None], axis=-1)
        consistent = sound & back & (mismatch <= _AGREE * told + noise) & (told <= (1 + _AGREE) * at_most + noise)
        # |J_F u| / |u| bounds the smallest value from above for any u; a zero u, from a zero inverse, says nothing (NaN).
        bound = np.fmin(at_most, np.linalg.norm(shrunk, axis=-1) / np.linalg.norm(direction, axis=-1))
        if exact:
            smallest = np.where((at_most > noise) | ~consistent, at_most, told)
        else:
            smallest = np.where(consistent, told, np.where(back, bound, np.nan))
            converged = converged & consistent
    parts = (top, smallest, bound, converged & sound, consistent, sound & back)
    return JacobianExtremes(*(tf.constant(part) for part in parts))


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(x, [tf.shape(x)[0], -1]), tf.float64)


def _like(flat: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(flat, tf.shape(x)), x.dtype)
