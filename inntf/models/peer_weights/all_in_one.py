"""FrEIA's `AllInOneBlock`: a coupling, a scale and shift a channel, and a fixed rotation or permutation."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.blocks import ActNorm, AffineCoupling, ChannelSplit, InvertibleLinear, Permutation
from inntf.compose import Chain
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.peer_weights.freia import built, fixed_linear, normalization, permutation_of, scale_and_shift
from inntf.models.peer_weights.layout import expect, expect_chain
from inntf.models.peer_weights.networks import Arrays, Outputs, halves_swapped, network_sizes, read_network, write_network
from inntf.models.peer_weights.state_dict import StateDict
from inntf.numerics import ExpScale

_GLOBAL = {
    "SOFTPLUS": (lambda a: 0.2 * np.logaddexp(0.0, 0.5 * a), lambda s: 2.0 * np.log(np.expm1(5.0 * s))),
    "SIGMOID": (lambda a: 10.0 / (1.0 + np.exp(2.0 - a)), lambda s: 2.0 - np.log(10.0 / s - 1.0)),
    "EXP": (np.exp, np.log),
}


def _outputs(n: int) -> Outputs:
    return Outputs(halves_swapped(n).order, factor=0.1)  # FrEIA multiplies the network's output by 0.1


def _global(owner: str, kind: str) -> tuple[Any, Any]:
    if kind not in _GLOBAL:
        expected = "'SOFTPLUS', 'SIGMOID' or 'EXP'"
        raise ValueError(explain(owner, received=f"global_affine_type={kind!r}", expected=expected))
    return _GLOBAL[kind]


def _mix(matrix: np.ndarray, images: bool, dtype: str) -> Block:
    """A permutation where the matrix is one, exact both ways; else a frozen matrix."""
    if np.all((matrix == 0) | (matrix == 1)):
        block = Permutation(matrix.argmax(1), event_ndims=3 if images else 1, dtype=dtype)
        return built(block, len(matrix), 0, images)
    return fixed_linear(matrix, images, dtype)


def _matrix(owner: str, block: Block) -> np.ndarray:
    if isinstance(block, Permutation):
        order = permutation_of(owner, block)
        return np.eye(len(order))[order]
    return np.asarray(expect(owner, block, InvertibleLinear).kernel("float64"))


def read_all_in_one(
    weights: StateDict,
    dtype: str,
    activation: Any,
    *,
    affine_clamping: float = 2.0,
    global_affine_type: str = "SOFTPLUS",
    reverse_permutation: bool = False,
) -> Block:
    """`AllInOneBlock`, without GIN; learned Householder reflections become the matrix that they make."""
    net = weights.below("subnet.")
    inputs, outputs, images = network_sizes(net)
    raw = weights.take("global_scale")
    channels, moved = raw.size, outputs // 2
    if moved != channels // 2:
        received = f"a network of {outputs} outputs for {channels} channels"
        raise ValueError(explain(weights.owner, received=received, expected=f"{2 * (channels // 2)}"))
    if "vk_householder" in weights:
        raise weights.refuse(
            "learned_householder_permutation",
            "Add w_perm, the module's _construct_householder_permutation(), and its transpose w_perm_inv in place of "
            "vk_householder and w_0.",
        )
    matrix = weights.take("w_perm").reshape(channels, channels)
    weights.skip("w_perm_inv")
    scale = _global(weights.owner, global_affine_type)[0](raw.ravel())
    at = channels - moved
    coupling = AffineCoupling(
        conditioner=read_network(net, activation, dtype, _outputs),
        split=ChannelSplit(at),
        scale=ExpScale(affine_clamping, "tanh"),
        dtype=dtype,
    )
    built(coupling, channels, inputs - at, images)
    offset = weights.take("global_offset", raw.shape).ravel()
    blocks = [coupling, normalization(offset, np.log(scale), images, dtype), _mix(matrix, images, dtype)]
    return built(
        Chain([_mix(matrix.T, images, dtype), *blocks] if reverse_permutation else blocks), channels, inputs - at, images
    )


def write_all_in_one(owner: str, block: Block, like: StateDict | None, *, global_affine_type: str = "SOFTPLUS") -> Arrays:
    """The state dict of `read_all_in_one`'s.

    Raises:
        ValueError: for a scale that the activation cannot give.
    """
    chain = expect(owner, block, Chain)
    reverse = len(chain.blocks) == 4
    mixing = InvertibleLinear if isinstance(chain.blocks[-1], InvertibleLinear) else Permutation
    blocks = expect_chain(owner, block, *([mixing] if reverse else []), AffineCoupling, ActNorm, mixing)
    coupling, norm, mix = blocks[-3:]
    matrix = _matrix(owner, mix)
    if reverse and not np.allclose(_matrix(owner, blocks[0]), matrix.T, rtol=0.0, atol=1e-6):
        expected = "the transpose of the last block's, as FrEIA's reverse_permutation has it"
        raise ValueError(explain(owner, received="a first block with another matrix", expected=expected))
    log_scale, offset = scale_and_shift(norm)
    scale = np.exp(log_scale)
    if global_affine_type == "SIGMOID" and scale.max() >= 10.0:
        expected = "below 10, the end of FrEIA's sigmoid"
        raise ValueError(explain(owner, received=f"a scale of {scale.max():.4g}", expected=expected))
    raw = _global(owner, global_affine_type)[1](scale)
    ones = (1, 1) if len(coupling.event_shape) == 3 else ()
    found = write_network(owner, coupling.conditioner, "subnet.", like, _outputs)
    return found | {
        "global_scale": raw.reshape(1, -1, *ones),
        "global_offset": offset.reshape(1, -1, *ones),
        "w_perm": matrix.reshape(*matrix.shape, *ones),
        "w_perm_inv": matrix.T.reshape(*matrix.shape, *ones),
    }
