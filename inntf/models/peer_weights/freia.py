"""FrEIA's couplings, permutations and normalizations, with their weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    ChannelSplit,
    InvertibleConv1x1,
    InvertibleLinear,
    Permutation,
    TwoSidedCoupling,
)
from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import built_shape, last_size
from inntf.models.peer_weights.layout import Layout, expect, expect_chain
from inntf.models.peer_weights.networks import Arrays, halves_swapped, network_sizes, read_network, write_network
from inntf.models.peer_weights.state_dict import StateDict
from inntf.nets import SideBySide
from inntf.numerics import ExpScale
from inntf.numerics.transformers.scales import Scale


def soft_clamp(weights: StateDict, clamp: float, clamp_activation: str) -> Scale:
    """FrEIA's `exp(clamp * f(raw))`."""
    if clamp_activation == "TANH":
        return ExpScale(clamp, "tanh")
    if clamp_activation == "SIGMOID":  # 2 sigmoid(u) - 1 = tanh(u / 2)
        return ExpScale(clamp, "tanh", slope=0.5)
    if clamp_activation == "ATAN":
        return ExpScale(0.636 * clamp * math.pi / 2)  # FrEIA writes 0.636 for 2 / pi
    received, remedy = f"clamp_activation={clamp_activation!r}", "Pass scale=, a Scale of your own that computes the same."
    raise ValueError(explain(weights.owner, received=received, expected="'ATAN', 'TANH' or 'SIGMOID'", remedy=remedy))


def event_of(channels: int, images: bool) -> tuple[int | None, ...]:
    """The event of a block whose height and width stay open."""
    return (None, None, channels) if images else (channels,)


def built(block: Block, channels: int, condition: int, images: bool) -> Block:
    """The block, built for its channels, and those of its condition if there is one."""
    return block.ensure_built(event_of(channels, images), event_of(condition, images) if condition else None)


def read_glow(
    weights: StateDict, dtype: str, activation: Any, *, clamp: float = 2.0, clamp_activation: str = "ATAN", scale: Any = None
) -> Block:
    """`GLOWCouplingBlock`: `subnet2` moves the first part, `subnet1` then the second."""
    first, second = weights.below("subnet2."), weights.below("subnet1.")
    (inputs, moved, images), (_, rest, _) = network_sizes(first), network_sizes(second)
    sides = [read_network(side, activation, dtype, halves_swapped) for side in (first, second)]
    scale = scale or soft_clamp(weights, clamp, clamp_activation)
    block = TwoSidedCoupling(conditioner=sides, scale=scale, at=moved // 2, dtype=dtype)
    return built(block, (moved + rest) // 2, inputs - rest // 2, images)


def write_glow(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_glow`'s."""
    block = expect(owner, block, TwoSidedCoupling)
    found: Arrays = {}
    for side, prefix in ((block.second, "subnet1."), (block.first, "subnet2.")):
        found |= write_network(owner, side.conditioner, prefix, like, halves_swapped)
    return found


def read_rnvp(
    weights: StateDict, dtype: str, activation: Any, *, clamp: float = 2.0, clamp_activation: str = "ATAN", scale: Any = None
) -> Block:
    """`RNVPCouplingBlock`: as `GLOWCouplingBlock`, with networks `s` and `t` apart."""
    sizes = {i: network_sizes(weights.below(f"subnet_t{i}.")) for i in (1, 2)}
    (inputs, moved, images), rest = sizes[2], sizes[1][1]
    parts = [[read_network(weights.below(f"subnet_{k}{i}."), activation, dtype) for k in "ts"] for i in (2, 1)]
    scale = scale or soft_clamp(weights, clamp, clamp_activation)
    sides = [SideBySide(pair, dtype=dtype) for pair in parts]
    block = TwoSidedCoupling(conditioner=sides, scale=scale, at=moved, dtype=dtype)
    return built(block, moved + rest, inputs - rest, images)


def write_rnvp(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_rnvp`'s."""
    block = expect(owner, block, TwoSidedCoupling)
    found: Arrays = {}
    for side, i in ((block.second, 1), (block.first, 2)):
        shift, scale = expect(owner, side.conditioner, SideBySide).networks
        found |= write_network(owner, scale, f"subnet_s{i}.", like) | write_network(owner, shift, f"subnet_t{i}.", like)
    return found


def read_nice(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`NICECouplingBlock`: `F` moves the first part, `G` then the second."""
    sides = [weights.below("F."), weights.below("G.")]
    (inputs, moved, images), (_, rest, _) = map(network_sizes, sides)
    splits = ChannelSplit(moved, swap=True), ChannelSplit(moved)
    couplings = [
        AdditiveCoupling(conditioner=read_network(side, activation, dtype), split=split, dtype=dtype)
        for side, split in zip(sides, splits, strict=True)
    ]
    return built(Chain(couplings), moved + rest, inputs - rest, images)


def write_nice(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_nice`'s."""
    first, second = expect_chain(owner, block, AdditiveCoupling, AdditiveCoupling)
    return write_network(owner, first.conditioner, "F.", like) | write_network(owner, second.conditioner, "G.", like)


def read_one_sided(
    weights: StateDict,
    dtype: str,
    activation: Any,
    *,
    clamp: float = 2.0,
    clamp_activation: str = "ATAN",
    scale: Any = None,
    kept: int | None = None,
) -> Block:
    """`AffineCouplingOneSided`; `kept` is its `split_len1`, which the weights do not tell where there is a condition."""
    net = weights.below("subnet.")
    inputs, outputs, images = network_sizes(net)
    conditioner = read_network(net, activation, dtype, halves_swapped)
    scale = scale or soft_clamp(weights, clamp, clamp_activation)
    kept = inputs if kept is None else kept
    if not 0 < kept <= inputs:
        raise ValueError(explain(weights.owner, received=f"kept={kept}", expected=f"1 to {inputs}, the network's inputs"))
    block = AffineCoupling(conditioner=conditioner, split=ChannelSplit(kept), scale=scale, dtype=dtype)
    return built(block, kept + outputs // 2, inputs - kept, images)


def write_one_sided(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_one_sided`'s."""
    net = expect(owner, block, AffineCoupling).conditioner
    return write_network(owner, net, "subnet.", like, halves_swapped)


def read_permutation(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`PermuteRandom`."""
    indices = weights.take("perm", (None,))
    weights.skip("perm_inv")
    return Permutation(indices, dtype=dtype)


def write_permutation(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_permutation`'s."""
    perm = permutation_of(owner, block)
    return {"perm": perm, "perm_inv": np.argsort(perm)}


def permutation_of(owner: str, block: Block) -> np.ndarray:
    """The indices of a built permutation that says them."""
    block = expect(owner, block, Permutation)
    if block.built and block.indices != "reverse":
        return np.asarray(block.order).astype(np.int64)
    if isinstance(block.indices, list):
        return np.asarray(block.indices, np.int64)
    if block.built:
        return np.arange(last_size(built_shape(block.event_shape)))[::-1].copy()
    raise ValueError(explain(owner, received=f"{block.name}, not built", expected="a permutation that knows its channels"))


def read_actnorm(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`ActNorm`: `z = x * exp(scale) + bias`."""
    log_scale = weights.take("scale")
    return normalization(weights.take("bias", log_scale.shape).ravel(), log_scale.ravel(), log_scale.ndim == 4, dtype)


def write_actnorm(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_actnorm`'s."""
    log_scale, shift = scale_and_shift(expect(owner, block, ActNorm))
    shape = (1, -1, 1, 1) if len(built_shape(block.event_shape)) == 3 else (1, -1)
    return {"scale": log_scale.reshape(shape), "bias": shift.reshape(shape)}


def normalization(shift: np.ndarray, log_scale: np.ndarray, images: bool, dtype: str) -> ActNorm:
    """`z = x * exp(log_scale) + shift`; ours shifts first."""
    block = ActNorm(event_ndims=3 if images else 1, dtype=dtype)
    built(block, len(shift), 0, images)
    block.set_weights([shift * np.exp(-log_scale), log_scale])
    return block


def scale_and_shift(block: ActNorm) -> tuple[np.ndarray, np.ndarray]:
    """`log_scale` and `shift` of `z = x * exp(log_scale) + shift`."""
    log_scale, before = (np.asarray(v, np.float64) for v in (block.log_scale, block.shift))
    return log_scale, before * np.exp(log_scale)


def fixed_linear(matrix: np.ndarray, images: bool, dtype: str, trainable: bool = False) -> InvertibleLinear:
    """`z = W x` with a dense matrix, frozen as FrEIA's are."""
    block = (InvertibleConv1x1 if images else InvertibleLinear)(parametrization="dense", dtype=dtype)
    built(block, len(matrix), 0, images)
    block.set_weights([matrix])
    block.trainable = trainable
    return block


def read_matrix(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`Fixed1x1Conv`: its stored `M` is the kernel."""
    kernel = weights.take("M", (None, None, 1, 1))[:, :, 0, 0]
    weights.skip("M_inv", "logDetM")
    return fixed_linear(kernel, True, dtype)


def write_matrix(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_matrix`'s."""
    kernel = np.asarray(expect(owner, block, InvertibleLinear).kernel("float64"))
    inverse, log_det = np.linalg.inv(kernel), np.asarray(np.linalg.slogdet(kernel)[1])
    return {"M": kernel[:, :, None, None], "M_inv": inverse[:, :, None, None], "logDetM": log_det}


LAYOUTS = {
    "ActNorm": Layout(read_actnorm, write_actnorm),
    "AffineCouplingOneSided": Layout(read_one_sided, write_one_sided),
    "Fixed1x1Conv": Layout(read_matrix, write_matrix),
    "GLOWCouplingBlock": Layout(read_glow, write_glow),
    "NICECouplingBlock": Layout(read_nice, write_nice),
    "PermuteRandom": Layout(read_permutation, write_permutation),
    "RNVPCouplingBlock": Layout(read_rnvp, write_rnvp),
}
