"""How much a block amplifies rounding at given points, measured in float64 and in units of the rounding of its values.

An error of one rounding unit in each of the activations `h_0 .. h_n` between the blocks of a composition moves
`z` by at most `sum_k |dz/dh_k| |h_k|`, what comes back by `sum_k |dx/dh_k| |h_k|`, and the log-determinant by
`sum_k |dlog_det/dh_k| |h_k| + |log_det_k|`. The derivatives are exact: products of the blocks' Jacobians by autodiff.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

import inntf
from inntf.compose import Chain, Repeat
from tests.conformance.derivatives import jacobians


@dataclasses.dataclass(frozen=True)
class Conditioning:
    """Amplification of rounding in each result, one number per sample; and the log-determinant by the product rule."""

    forward: np.ndarray
    inverse: np.ndarray
    log_det: np.ndarray
    exact_log_det: np.ndarray


def leaves(block: inntf.Block) -> list[inntf.Block]:
    """The blocks of a composition in their order, down to those that are none."""
    if isinstance(block, Repeat):
        block = block.unroll()
    if isinstance(block, Chain):
        return [leaf for part in block for leaf in leaves(part)]
    return [block]


def conditioning(block: inntf.Block, x: tf.Tensor, condition: tf.Tensor | None) -> Conditioning:
    """Measure a float64 block at `x`, `(batch, *event)`."""
    h, values, steps, pieces = x, [x], [], []
    parts = leaves(block)
    for part in parts:
        steps.append(jacobians(lambda v, c, part=part: part.forward_and_log_det(v, c)[0], h, condition))
        h, log_det = part.forward_and_log_det(tf.identity(h), condition)
        values.append(h)
        pieces.append(np.asarray(log_det))
    sizes = [np.linalg.norm(np.asarray(v).reshape(len(v), -1), axis=1) for v in values]
    eye = np.broadcast_to(np.eye(steps[0].shape[-1]), steps[0].shape[:1] + (steps[0].shape[-1],) * 2)
    before, after = [eye], [eye]
    for step in steps:
        before.append(step @ before[-1])
    for step in reversed(steps):
        after.insert(0, after[0] @ step)
    with np.errstate(all="ignore"):
        forward = sum(_norm(a, largest=True) * s for a, s in zip(after, sizes, strict=True))
        inverse = sum(_norm(b, largest=False) * s for b, s in zip(before, sizes, strict=True))
    slopes = _log_det_slopes(parts, values, condition)
    log_det = sum(g * s for g, s in zip(slopes, sizes, strict=True)) + sum(np.abs(p) for p in pieces)
    exact = sum(np.linalg.slogdet(step)[1] for step in steps)
    return Conditioning(forward, inverse, log_det, exact)


def _norm(matrices: np.ndarray, largest: bool) -> np.ndarray:
    """`|A|` of each matrix, or `|A^-1|`."""
    if not np.all(np.isfinite(matrices)):
        return np.full(len(matrices), np.inf)
    values = np.linalg.svd(matrices, compute_uv=False)
    return values[:, 0] if largest else 1 / values[:, -1]


def _log_det_slopes(parts: list[inntf.Block], values: list[tf.Tensor], condition: tf.Tensor | None) -> list[np.ndarray]:
    """`|d(log_det_{k+1} + ... + log_det_n) / dh_k|` for each k."""
    with tf.GradientTape() as tape:
        h, seen, total = tf.identity(values[0]), [], 0.0
        tape.watch(h)
        for part in parts:
            seen.append(h)
            h, log_det = part.forward_and_log_det(h, condition)
            total += tf.reduce_sum(log_det)
        seen.append(h)
    slopes = tape.gradient(total, seen, unconnected_gradients="zero")
    return [np.linalg.norm(np.asarray(s).reshape(len(s), -1), axis=1) for s in slopes]
