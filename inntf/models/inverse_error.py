"""An inverse taken block by block, with a bound on its error: what comes in, grown, and what each block's rounding adds."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    BiLipschitz,
    Haar,
    InjectivePadding,
    InvertibleConv1x1,
    InvertibleLinear,
    Logit,
    Permutation,
    Rescale,
    ResidualBlock,
    Squeeze,
)
from inntf.compose.chain import flat_blocks
from inntf.core import Block
from inntf.core.errors import explain
from inntf.nets.lipschitz_tensor import lipschitz_tensor
from inntf.nets.pure import PureNetwork

_SLACK = 1.0 + 1e-4  # the bound is itself computed in floats
_WHY = "no bound on the error of its inverse is known"


def invert_with_error(blocks: Any, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""`x` and a bound on its l2 distance to the exact inverse of `z_*`, where `|z - z_*| <= error`.

    Block by block, $\|x - x_*\| \le \mathrm{Lip}(F^{-1})\, \|z - z_*\| + \delta$ with the certified constant of the inverse and
    the rounding $\delta$ of the block's own.  Known are residual blocks, `ActNorm`, `Rescale`, `InvertibleLinear`,
    `InvertibleConv1x1`, `Logit`, `AdditiveCoupling`, `Haar`, what moves entries or appends zeros, and chains of them.

    Args:
        blocks: in the order of application.
        z: `(batch, ...)`, the output of the last one.
        error: `(batch,)`.

    Returns:
        `x` and the bound, `(batch,)`; infinite where a branch is no contraction.

    Raises:
        ValueError: for a block that has no bound, by name.

    Source: inntf.
    """
    for block in reversed(list(flat_blocks(blocks))):
        z, error = _back(block, z, error)
        error = tf.where(tf.math.is_nan(error), tf.constant(float("inf"), error.dtype), error * _SLACK)
    return z, error


def refuse_unbounded(owner: str, blocks: Any) -> None:
    """Raise for the first block that has no bound on the error of its inverse.

    Raises:
        ValueError: which names it.
    """
    for block in flat_blocks(blocks):
        if _rule(block) is None:
            raise ValueError(
                explain(
                    owner,
                    received=f"{block.name} ({type(block).__name__}) in the body: {_WHY}",
                    expected="ResidualBlock, BiLipschitz, ActNorm, Rescale, InvertibleConv1x1, Logit, additive couplings, "
                    "Permutation, Squeeze, Haar, padding, and chains of them",
                    remedy="Leave it out, or call body.inverse for an inverse without a bound.",
                )
            )


def _back(block: Block, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    rule = _rule(block)
    if rule is None:
        refuse_unbounded(block.name, [block])
    return rule(block, z, error)


def _residual(block: ResidualBlock, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    x, _, certificate = block.inverse_with_certificate(z)
    lipschitz = tf.cast(certificate.lipschitz, error.dtype)
    # Where L is not below 1 the certificate's own bound is infinite.
    return x, error / tf.maximum(1.0 - lipschitz, 1e-7) + certificate.error_bound


def _bi_lipschitz(block: BiLipschitz, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    x, _, certificate = block.inverse_with_certificate(z)
    return x, error / block.lower + certificate.error_bound


def _moves(block: Block, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves entries, or drops some: exact."""
    return block.inverse_and_log_det(z)[0], error


def _rotates(block: Haar, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An orthogonal map of four entries at a time."""
    return block.inverse_and_log_det(z)[0], error + 8 * _eps(z) * _norm(z)


def _scales(block: ActNorm, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    log_scale = tf.cast(block.log_scale, tf.float64)
    return _affine(block, z, error, tf.reduce_max(tf.exp(-log_scale)))


def _rescales(block: Rescale, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return _affine(block, z, error, tf.constant(1.0 / np.abs(block.scale).min(), tf.float64))


def _affine(block: Block, z: tf.Tensor, error: tf.Tensor, grows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`x = z / scale - shift` in some order: the scaled input, the shift and the result are rounded, each a few times."""
    grows = tf.cast(grows, error.dtype)
    x = block.inverse_and_log_det(z)[0]
    shift = tf.cast(tf.abs(tf.convert_to_tensor(block.shift)), z.dtype) + tf.zeros_like(z)
    own = 8 * _eps(z) * (grows * _norm(z) + tf.maximum(grows, 1.0) * _norm(shift) + _norm(x))
    return x, grows * error + own


def _linear(block: InvertibleLinear, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    x = block.inverse_and_log_det(z)[0]
    kernel, back = block.kernel(tf.float64), block.inverse_kernel(tf.float64)
    channels = float(back.shape[0])
    size, grows = tf.norm(back), tf.linalg.svd(back, compute_uv=False)[0]
    inversion = 4 * channels * _eps(back) * tf.square(size) * tf.norm(kernel)  # of the kernel, in float64
    own = tf.cast((channels + 2) * _eps(z) * size + inversion, error.dtype) * _norm(z)
    return x, tf.cast(grows + inversion, error.dtype) * error + own


def _logistic(block: Logit, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    x = block.inverse_and_log_det(z)[0]
    keep = 1.0 - 2.0 * block.alpha
    entries = tf.cast(tf.reduce_prod(tf.shape(z)[1:]), z.dtype)
    return x, 0.25 / keep * error + 8 * _eps(z) * (tf.sqrt(entries) * (1 + block.alpha) / keep + _norm(x))


def _additive(block: AdditiveCoupling, z: tf.Tensor, error: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The rounding of the network is measured: what it adds is compared with its twin in float64."""
    x = block.inverse_and_log_det(z)[0]
    kept, moved = block.split.part(z)
    view = tf.cast(block.split.view(kept), tf.float64)
    network = _wide_network(block, tuple(view.shape[1:]))
    shift = block.split.parameters(network.wide(view, network.values()))
    exact = block.split.join(tf.cast(kept, tf.float64), tf.cast(moved, tf.float64) - tf.cast(shift, tf.float64))
    half = lipschitz_tensor(block.conditioner) / 2
    grows = tf.cast(half + tf.sqrt(1 + tf.square(half)), error.dtype)
    return x, grows * error + tf.cast(_norm(tf.cast(x, tf.float64) - exact), error.dtype) + _eps(z) * _eps(z) * _norm(z)


def _wide_network(block: AdditiveCoupling, event_shape: tuple[int | None, ...]) -> PureNetwork:
    if block not in _wide_networks:
        _wide_networks[block] = PureNetwork(block.conditioner)
        _wide_networks[block].widen(event_shape)
    return _wide_networks[block]


_wide_networks: weakref.WeakKeyDictionary[Block, PureNetwork] = weakref.WeakKeyDictionary()
_RULES = {
    BiLipschitz: _bi_lipschitz,
    ResidualBlock: _residual,
    ActNorm: _scales,
    Rescale: _rescales,
    InvertibleLinear: _linear,
    InvertibleConv1x1: _linear,
    Logit: _logistic,
    AdditiveCoupling: _additive,
    Haar: _rotates,
    Permutation: _moves,
    Squeeze: _moves,
    InjectivePadding: _moves,
}


def _rule(block: Block) -> Any:
    """Of the block's very kind: a subclass may have mathematics of its own."""
    return _RULES.get(type(block))


def _eps(value: tf.Tensor) -> float:
    return float(np.finfo(value.dtype.as_numpy_dtype).eps)


def _norm(value: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(value), list(range(1, value.shape.rank))))
