r"""The engine under the series estimators: $\sum_k (-1)^{k+1} W_k / k \; v^\top J^k v$ and its gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.core.under_xla import in_xla_on_cpu
from inntf.numerics.pullback import DensePullback, Pullback

Vectors = tuple[tf.Tensor, ...]
_UNROLL, _UNROLL_DENSE = 4, 16  # the most terms written out; a loop costs the graph less


def weighted_series(
    pull: Pullback,
    v: Vectors,
    table: np.ndarray,
    terms: int | tf.Tensor,
    gradient: str,
    dense: bool | None,
    cayley: bool = False,
) -> tf.Tensor:
    r"""The mean over probes of $\sum_{k=1}^{n} (-1)^{k+1} W_k / k \; v^\top J^k v$, of shape `(batch,)`.

    With `gradient="autodiff"` the gradient is the exact one of this number; every product is kept for it.  With
    `"neumann"` it is that of $w^\top J v$ with $w = \sum_{k=0}^{n-1} (-1)^k W_{k+1} (J^\top)^k v$ held constant, whose mean is
    the same since $\mathrm{tr}(J^i\,dJ\,J^j) = \mathrm{tr}(J^{i+j} dJ)$: one product is kept, whatever n is.

    Args:
        pull: the function at `x`.
        v: probes, each of the shape of `x`.
        table: W_1, W_2, ... up to the largest n.
        terms: n: an integer, or an int32 tensor, scalar or one a sample, `(batch,)`.
        gradient: "autodiff" or "neumann".
        dense: whether to form the Jacobian first; `None` decides by cost.
        cayley: the series of $\log\det(I - J) - \log\det(I + J)$ in its place: `-2 W_k` for odd k, nothing for even ones.

    Warns:
        UserWarning: where XLA would keep the products of the most terms that n can be, whatever is drawn.
    """
    if dense is None:
        dense = cheaper_dense(pull.x, _mean_terms(table, terms), gradient)
    kept = gradient == "autodiff" and not dense and not isinstance(terms, int)
    if kept and in_xla_on_cpu() and record.could_possibly_record():
        warnings.warn(
            f"XLA keeps room for the products of {len(table)} terms, the most that can be drawn, and moves all of it in every "
            'training step: several times as slow. Give the estimator gradient="neumann", or leave jit_compile out.',
            stacklevel=2,
        )
    of = DensePullback(pull) if dense else pull
    run = _neumann if gradient == "neumann" else _autodiff
    unroll = isinstance(terms, int) and terms <= (_UNROLL_DENSE if dense else _UNROLL)
    return run(of, v, _Weights(table, terms, v[0], cayley), unroll=unroll)


def cheaper_dense(x: tf.Tensor, terms: float, gradient: str) -> bool:
    """Whether d products, kept, cost less than the series' own, in evaluations of the function (a kept one costs three)."""
    dim = x.shape[1:].num_elements()
    if dim is None:
        return False
    return 3 * dim <= (terms + 2 if gradient == "neumann" else 3 * terms)


def _mean_terms(table: np.ndarray, terms: int | tf.Tensor) -> float:
    # W_k is one over the probability of the k-th term: the mean number of terms is the sum of these probabilities.
    return float(terms) if isinstance(terms, int) else float(np.sum(1 / table))


class _Weights:
    """Signed weights by k, which is an integer (unrolled) or a tensor (in a loop); zero for samples that have stopped."""

    def __init__(self, table: np.ndarray, terms: int | tf.Tensor, like: tf.Tensor, cayley: bool = False):
        self.dtype = like.dtype if like.dtype.size >= 4 else tf.float32
        self.table, self.terms, self.limit = table, terms, len(table)
        self.last = terms if isinstance(terms, int) else tf.reduce_max(terms)
        self._tensor = tf.constant(table, self.dtype)
        self._of_even, self._of_odd = (0, -2) if cayley else (-1, 1)

    def signed(self, k: Any) -> Any:
        """`(-1)^(k+1) W_k`, or those of the Cayley transform."""
        if isinstance(k, int):
            return float(self.table[k - 1]) * (self._of_odd if k % 2 else self._of_even)
        sign = self._of_even + (self._of_odd - self._of_even) * (k % 2)
        return tf.gather(self._tensor, k - 1) * tf.cast(sign * tf.cast(k <= self.terms, tf.int32), self.dtype)

    def over(self, k: Any) -> Any:
        """`1 / k`."""
        return 1 / k if isinstance(k, int) else 1 / tf.cast(k, self.dtype)

    def over_terms(self) -> Any:
        """`1 / n`; 1 where there is no term at all, and zero to multiply."""
        return 1 / self.terms if isinstance(self.terms, int) else 1 / tf.cast(tf.maximum(self.terms, 1), self.dtype)


def _autodiff(pull: Pullback | DensePullback, v: Vectors, weights: _Weights, unroll: bool) -> tf.Tensor:
    def step(k: Any, a: Vectors, total: tf.Tensor) -> tuple:
        a = tuple(pull(part) for part in a)
        return a, total + weights.signed(k) * weights.over(k) * _dot(a, v, weights.dtype)

    _, total = _loop(step, (v, _zero(v[0], weights.dtype)), weights.last, weights.limit, unroll)
    return total


def _neumann(pull: Pullback | DensePullback, v: Vectors, weights: _Weights, unroll: bool) -> tf.Tensor:
    def step(k: Any, a: Vectors, w: Vectors, total: tf.Tensor) -> tuple:
        a = tuple(pull(part) for part in a)
        # The k-th term without its share of the last product, which is added to all terms at once below.
        total += weights.signed(k) * (weights.over(k) - weights.over_terms()) * _dot(a, v, weights.dtype)
        w = tuple(_add(part, weights.signed(k + 1), new) for part, new in zip(w, a, strict=True))
        return a, w, total

    with record.stop_recording():  # nothing here is differentiated
        first = tuple(_add(tf.zeros_like(part), weights.signed(_one(unroll)), part) for part in v)
        start = (v, first, _zero(v[0], weights.dtype))
        _, w, total = _loop(step, start, weights.last - 1, weights.limit - 1, unroll)
    # sum over k of (-1)^(k+1) W_k v^T J^k v: it carries the gradient, and the last power, which is not computed twice.
    bilinear = _dot(tuple(pull(tf.stop_gradient(part)) for part in w), v, weights.dtype)
    value = tf.stop_gradient(total + bilinear * weights.over_terms())
    return value + (bilinear - tf.stop_gradient(bilinear))


def _one(unroll: bool) -> int | tf.Tensor:
    return 1 if unroll else tf.constant(1)


def _loop(step: Callable, state: tuple, last: int | tf.Tensor, limit: int, unroll: bool) -> tuple:
    """`state = step(k, *state)` for k = 1 .. last."""
    if unroll:
        for k in range(1, last + 1):
            state = step(k, *state)
        return state
    _, *state = tf.while_loop(
        lambda k, *_: k <= last, lambda k, *state: (k + 1, *step(k, *state)), (tf.constant(1), *state), maximum_iterations=limit
    )
    return tuple(state)


def _add(total: tf.Tensor, weight: Any, part: tf.Tensor) -> tf.Tensor:
    if isinstance(weight, tf.Tensor):
        weight = tf.cast(weight, part.dtype)
        if weight.shape.rank:
            weight = tf.reshape(weight, [-1] + [1] * (part.shape.rank - 1))
    return total + weight * part


def _dot(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    """The inner product of every sample, mean over probes."""
    products = [tf.reduce_sum(tf.cast(p, dtype) * tf.cast(q, dtype), range(1, p.shape.rank)) for p, q in zip(a, b, strict=True)]
    return products[0] if len(products) == 1 else tf.add_n(products) / len(products)


def _zero(like: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.zeros(tf.shape(like)[:1], dtype)
