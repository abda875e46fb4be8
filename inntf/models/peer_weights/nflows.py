"""nflows' couplings, permutations, normalizations and linear maps, with their weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Coupling,
    IndexSplit,
    InvertibleConv1x1,
    InvertibleLinear,
    Permutation,
    SplineCoupling,
)
from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import built_shape, last_size
from inntf.models.peer_weights.freia import built, fixed_linear, normalization, permutation_of, scale_and_shift
from inntf.models.peer_weights.layout import expect, expect_chain
from inntf.models.peer_weights.networks import Arrays, Outputs, Reorder, network_sizes, read_network, write_network
from inntf.models.peer_weights.state_dict import StateDict
from inntf.nets import ResidualNet
from inntf.numerics import SigmoidScale
from inntf.numerics.transformers.scales import Scale

_LEAST = 1e-3  # nflows' smallest scale and smallest diagonal


def _parts(weights: StateDict) -> tuple[list[int], list[int], int, int, bool]:
    """Channels that stay, channels that move, width of the condition, outputs of the network, whether of images."""
    if any(name.startswith("unconditional_transform.") for name in weights.names()):
        raise weights.refuse("an unconditional_transform", "Put an elementwise block on the identity part in front of it.")
    kept, moved = (weights.take(f"{part}_features", (None,)).tolist() for part in ("identity", "transform"))
    inputs, outputs, images = network_sizes(weights.below("transform_net."))
    return kept, moved, inputs - len(kept), outputs, images


def _coupling(weights: StateDict, dtype: str, activation: Any, per_entry: int, cls: type, **options: Any) -> Block:
    kept, moved, condition, outputs, images = _parts(weights)
    if outputs != per_entry * len(moved):
        received = f"a network of {outputs} outputs for {len(moved)} transformed features"
        raise ValueError(explain(weights.owner, received=received, expected=f"{per_entry} for each"))
    net = read_network(weights.below("transform_net."), activation, dtype)
    block = cls(conditioner=net, split=IndexSplit(kept), dtype=dtype, **options)
    return built(block, len(kept) + len(moved), condition, images)


def _features(owner: str, block: Coupling) -> Arrays:
    split = expect(owner, block.split, IndexSplit)
    channels = last_size(built_shape(block.event_shape))
    kept = np.sort(np.asarray(split.identity) % channels)
    moved = np.setdiff1d(np.arange(channels), kept)
    kept, moved = (moved, kept) if split.swap else (kept, moved)
    return {"identity_features": kept, "transform_features": moved}


def read_affine(weights: StateDict, dtype: str, activation: Any, *, scale: Scale | None = None) -> Block:
    """`AffineCouplingTransform`, `scale = sigmoid(raw + 2) + 1e-3` unless another is given."""
    scale = scale or SigmoidScale(low=_LEAST, high=1.0 + _LEAST)
    return _coupling(weights, dtype, activation, 2, AffineCoupling, scale=scale)


def write_affine(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_affine`'s."""
    block = expect(owner, block, AffineCoupling)
    return _features(owner, block) | write_network(owner, block.conditioner, "transform_net.", like)


def read_additive(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`AdditiveCouplingTransform`."""
    return _coupling(weights, dtype, activation, 1, AdditiveCoupling)


def write_additive(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_additive`'s."""
    block = expect(owner, block, AdditiveCoupling)
    return _features(owner, block) | write_network(owner, block.conditioner, "transform_net.", like)


def _spline_outputs(bins: int, divisor: float) -> Reorder:
    """Theirs divides widths and heights by the root of a residual network's width; ours adds a constant to raw slopes."""
    factor = [1.0 / divisor] * (2 * bins) + [1.0] * (bins - 1)
    shift = [0.0] * (2 * bins) + [-math.log(math.expm1(1.0 - _LEAST))] * (bins - 1)
    return lambda n: Outputs(factor=np.tile(factor, n // len(factor)), shift=np.tile(shift, n // len(shift)))


def read_spline(weights: StateDict, dtype: str, activation: Any, *, tail_bound: float = 1.0) -> Block:
    """`PiecewiseRationalQuadraticCouplingTransform(tails="linear")` with nflows' smallest widths, heights and slopes."""
    kept, moved, condition, outputs, images = _parts(weights)
    per_entry, rest = divmod(outputs, len(moved))
    if rest or per_entry % 3 != 2:
        remedy = 'Only tails="linear", with 3 num_bins - 1 outputs for each feature, can be imported.'
        raise weights.refuse(f"a network of {outputs} outputs for {len(moved)} transformed features", remedy)
    bins, net = (per_entry + 1) // 3, weights.below("transform_net.")
    residual = any("final_layer" in name for name in net.names())
    width = net.take("initial_layer.weight").shape[0] if residual else 1
    conditioner = read_network(net, activation, dtype, _spline_outputs(bins, math.sqrt(width)))
    block = SplineCoupling(conditioner=conditioner, num_bins=bins, bound=tail_bound, split=IndexSplit(kept), dtype=dtype)
    return built(block, len(kept) + len(moved), condition, images)


def write_spline(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_spline`'s.

    Raises:
        ValueError: for other tails than the identity.
    """
    block = expect(owner, block, SplineCoupling)
    if block.transformer.tails != "identity":
        received, expected = f"tails={block.transformer.tails!r}", "tails='identity', the linear tails of nflows"
        raise ValueError(explain(owner, received=received, expected=expected, remedy="Train the block with these."))
    found, net = _features(owner, block), block.conditioner
    width = net.hidden if isinstance(net, ResidualNet) else 1
    outputs = _spline_outputs(block.num_bins, math.sqrt(width))
    return found | write_network(owner, net, "transform_net.", like, outputs)


def read_permutation(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`Permutation`, `RandomPermutation`, `ReversePermutation`, of the features."""
    return Permutation(weights.take("_permutation", (None,)), dtype=dtype)


def write_permutation(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_permutation`'s."""
    return {"_permutation": permutation_of(owner, block)}


def read_actnorm(weights: StateDict, dtype: str, activation: Any, *, event_ndims: int = 1) -> Block:
    """`ActNorm`: `z = x * exp(log_scale) + shift`; of images with `event_ndims=3`, which the weights do not tell."""
    log_scale = weights.take("log_scale", (None,))
    weights.skip("initialized")
    return normalization(weights.take("shift", log_scale.shape), log_scale, event_ndims == 3, dtype)


def write_actnorm(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_actnorm`'s, marked as initialized."""
    log_scale, shift = scale_and_shift(expect(owner, block, ActNorm))
    return {"log_scale": log_scale, "shift": shift, "initialized": np.asarray(True)}


def read_naive(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`NaiveLinear`: a dense matrix, then a shift."""
    matrix = weights.take("_weight", (None, None))
    bias = weights.take("bias", (len(matrix),))
    linear = fixed_linear(matrix, False, dtype, trainable=True)
    return built(Chain([linear, normalization(bias, np.zeros_like(bias), False, dtype)]), len(bias), 0, False)


def write_naive(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_naive`'s; a scale that was trained since goes into the matrix."""
    linear, norm = expect_chain(owner, block, InvertibleLinear, ActNorm)
    log_scale, bias = scale_and_shift(norm)
    return {"_weight": np.exp(log_scale)[:, None] * np.asarray(linear.kernel("float64")), "bias": bias}


def read_lu(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`LULinear`: `z = L U x + b`, and a shift for `b`."""
    return Chain(_lu(weights, dtype, images=False))


def write_lu(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_lu`'s."""
    return _lu_arrays(owner, *expect_chain(owner, block, InvertibleLinear, ActNorm))


def read_conv1x1(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`OneByOneConvolution`: a permutation, and an `LULinear` of every pixel."""
    order = weights.take("permutation._permutation", (None,))
    return built(
        Chain([Permutation(order, event_ndims=3, dtype=dtype), *_lu(weights, dtype, images=True)]), len(order), 0, True
    )


def write_conv1x1(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_conv1x1`'s."""
    permutation, linear, norm = expect_chain(owner, block, Permutation, InvertibleLinear, ActNorm)
    return _lu_arrays(owner, linear, norm) | {"permutation._permutation": permutation_of(owner, permutation)}


def _lu(weights: StateDict, dtype: str, images: bool) -> list[Block]:
    raw = weights.take("unconstrained_upper_diag", (None,))
    n = len(raw)
    block = (InvertibleConv1x1 if images else InvertibleLinear)(parametrization="plu", dtype=dtype)
    built(block, n, 0, images)
    lower, upper = np.zeros((n, n)), np.zeros((n, n))
    lower[np.tril_indices(n, -1)] = weights.take("lower_entries", (n * (n - 1) // 2,))
    upper[np.triu_indices(n, 1)] = weights.take("upper_entries", (n * (n - 1) // 2,))
    diagonal = np.logaddexp(0.0, raw) + _LEAST
    values = {"permutation": np.eye(n), "sign": np.ones(n), "lower": lower, "upper": upper, "log_diagonal": np.log(diagonal)}
    for name, value in values.items():
        getattr(block, name).assign(value)
    return [block, normalization(weights.take("bias", (n,)), np.zeros(n), images, dtype)]


def _lu_arrays(owner: str, linear: InvertibleLinear, norm: ActNorm) -> Arrays:
    if linear.parametrization != "plu":
        raise TypeError(explain(owner, received="a dense matrix", expected="parametrization='plu'", remedy="Use NaiveLinear."))
    permutation, sign, lower, upper, log_diagonal = (
        np.asarray(getattr(linear, name), np.float64) for name in ("permutation", "sign", "lower", "upper", "log_diagonal")
    )
    n = len(sign)
    if not np.array_equal(permutation, np.eye(n)) or not np.all(sign == 1):
        remedy = "nflows' LU has neither; use NaiveLinear."
        raise ValueError(explain(owner, received="a permutation or negative signs", expected="neither", remedy=remedy))
    log_scale, bias = scale_and_shift(norm)  # D (L U x) = (D L D^-1) (D U) x, where a scale D was trained since
    scale = np.exp(log_scale)
    diagonal = scale * np.exp(log_diagonal)
    if diagonal.min() <= _LEAST:
        expected = f"above {_LEAST}, nflows' smallest"
        raise ValueError(explain(owner, received=f"a diagonal entry of {diagonal.min():.4g}", expected=expected))
    rest = diagonal - _LEAST
    return {
        "bias": bias,
        "lower_entries": (scale[:, None] * lower / scale)[np.tril_indices(n, -1)],
        "upper_entries": (scale[:, None] * upper)[np.triu_indices(n, 1)],
        "unconstrained_upper_diag": rest + np.log(-np.expm1(-rest)),
    }
