"""nflows' `MaskedAffineAutoregressiveTransform`, with its weights and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from inntf.blocks import MaskedAutoregressive
from inntf.core import Block
from inntf.core.errors import explain
from inntf.models.peer_weights.layout import expect
from inntf.models.peer_weights.networks import Arrays, Outputs
from inntf.models.peer_weights.state_dict import StateDict
from inntf.nets import MaskedMLP
from inntf.nets.masks import connections
from inntf.numerics import AffineTransform, SoftplusScale

_NET = "autoregressive_net."


def read_masked_affine(weights: StateDict, dtype: str, activation: Any) -> Block:
    """`use_residual_blocks=False`, no context: `scale = softplus(raw) + 1e-3`; its masks become the degrees of ours."""
    net = weights.below(_NET)
    if any("linear_layers." in name or "context_layer." in name or "batch_norm" in name for name in net.names()):
        remedy = "MADE with use_residual_blocks=False, without context and batch normalization, can be imported."
        raise weights.refuse("a MADE with residual blocks, a context or batch normalization", remedy)
    stems = _stems(net.below("blocks.").names())
    kernels = [net.take(f"{stem}.weight", (None, None)) for stem in stems]
    biases = [net.take(f"{stem}.bias", (len(k),)) for stem, k in zip(stems, kernels, strict=True)]
    masks = [net.take(f"{stem}.mask", k.shape) for stem, k in zip(stems, kernels, strict=True)]
    degrees = [net.take(f"{stem}.degrees", (len(k),)) for stem, k in zip(stems, kernels, strict=True)]
    dim = kernels[0].shape[1]
    if len(biases[-1]) != 2 * dim:
        received = f"a network of {len(biases[-1])} outputs for {dim} features"
        raise ValueError(explain(weights.owner, received=received, expected=f"{2 * dim}"))
    hidden = [len(k) for k in kernels[:-1]]
    conditioner = MaskedMLP(
        2, hidden=hidden, activation=activation, hidden_degrees=[d.tolist() for d in degrees[:-1]], dtype=dtype
    )
    conditioner.build((None, dim))
    if not all(np.array_equal(ours, theirs.T) for ours, theirs in zip(conditioner.masks, masks, strict=True)):
        expected = "the ones that its degrees make, entries from left to right"
        raise ValueError(explain(weights.owner, received="masks of another order", expected=expected))
    outputs = _outputs(dim)
    kernels[-1], biases[-1] = (w.T for w in outputs.read(kernels[-1].T, biases[-1]))
    for variable, value in zip(conditioner.kernels, kernels, strict=True):
        variable.assign(value.T)
    for variable, value in zip(conditioner.biases, biases, strict=True):
        variable.assign(value)
    return MaskedAutoregressive(conditioner=conditioner, transformer=_scale(), dtype=dtype).ensure_built((dim,))


def write_masked_affine(owner: str, block: Block, like: StateDict | None) -> Arrays:
    """The state dict of `read_masked_affine`'s.

    Raises:
        ValueError: for a network or a transformer that nflows' is not.
    """
    block = expect(owner, block, MaskedAutoregressive)
    net = expect(owner, block.conditioner, MaskedMLP)
    plain = not (net.residual or net.direct or net.identity or net.features or net.clip) and net.condition_kernel is None
    if block.reads != "data" or not plain or list(net.degrees) != list(range(1, net.dim + 1)):
        expected = "reads='data', entries from left to right, no condition, residual or direct path, no angles, no input_bound"
        raise ValueError(explain(owner, received="another autoregressive block", expected=expected))
    if not _is_theirs(block.transformer):
        received, expected = f"transformer={block.transformer!r}", f"transformer={_scale()!r}, the only one nflows has"
        raise ValueError(explain(owner, received=received, expected=expected, remedy="Train the block with this one."))
    stems = _stems([f"{i}.linear." for i in range(len(net.hidden) - 1)])
    ends = np.repeat(net.degrees, 2)
    degrees = [net.degrees, *net.unit_degrees, ends]
    found: Arrays = {}
    for i, stem in enumerate(stems):
        last = i == len(stems) - 1
        kernel, bias = (np.asarray(w, np.float64) for w in (net.kernels[i], net.biases[i]))
        kernel, bias = _outputs(net.dim).write(kernel, bias) if last else (kernel, bias)
        mask = connections(degrees[i], degrees[i + 1], strict=last).T
        found |= {f"{_NET}{stem}.{k}": v for k, v in (("weight", kernel.T), ("bias", bias), ("mask", mask))}
        found[f"{_NET}{stem}.degrees"] = np.asarray(degrees[i + 1], np.int64)
    return found


def _scale() -> SoftplusScale:
    return SoftplusScale(low=1e-3, offset=0.0)


def _is_theirs(transformer: Any) -> bool:
    if type(transformer) is not AffineTransform or type(transformer.scale) is not SoftplusScale:
        return False
    return (transformer.scale.low, transformer.scale.offset) == (_scale().low, _scale().offset)


def _stems(blocks: list[str]) -> list[str]:
    count = len({name.split(".")[0] for name in blocks})
    return ["initial_layer", *(f"blocks.{i}.linear" for i in range(count)), "final_layer"]


def _outputs(dim: int) -> Outputs:
    return Outputs([2 * i + j for i in range(dim) for j in (1, 0)])  # theirs is scale, shift of each entry
