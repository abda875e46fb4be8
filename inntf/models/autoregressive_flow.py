"""The factory of masked autoregressive flows and their inverses."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.autoregressive import MaskedAutoregressive
from inntf.blocks.permutation import Permutation
from inntf.compose.chain import Chain
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.flow import Flow
from inntf.models.tails import BEND, with_tails
from inntf.nets.masked import MaskedMLP
from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.named import make_transformer

_READS = {"maf": "data", "iaf": "latent"}


def autoregressive_flow(
    *,
    event_shape: Shape | int,
    depth: int = 5,
    hidden: Sequence[int] = (128, 128),
    transformer: Any = "affine",
    kind: str = "maf",
    activation: Any = "relu",
    residual: bool = False,
    actnorm: bool = True,
    permutation: str = "reverse",
    heavy_tails: bool | None = None,
    condition_shape: Shape | int | None = None,
    condition_network: keras.layers.Layer | None = None,
    repeat: bool = True,
    backprop: str = "stored",
    seed: int = 0,
    dtype: Any = None,
    name: str = "autoregressive_flow",
    transform: Any = None,
) -> Flow:
    """A flow on vectors: `depth` steps of [ActNorm, permutation, masked autoregressive block], then heavy tails.

    `z_i = T(x_i; net(x_before_i))` in each block: a MAF's `log_prob` takes one evaluation a network and its samples go entry
    by entry; an IAF (`kind="iaf"`) is the other way round.  As in `real_nvp` networks see entries within `[-3, 3]`, and
    `RadialTails` before the base draw in what is far out, so that no outlier is all but impossible.

    Args:
        event_shape: `(dim,)` or `dim`.  With 1 entry an affine flow is a Gaussian, and warns.
        depth: number of autoregressive blocks.
        hidden: widths of the masked networks' hidden layers.
        transformer: `"affine"`, `"spline"`, `"shift"`, a `Scale`, or a `Transformer`; see `MaskedAutoregressive`.
        kind: `"maf"` (fast densities) or `"iaf"` (fast samples).
        activation: of the networks.
        residual: residual hidden layers; needs equal widths.
        actnorm: whether each step begins with an ActNorm.
        permutation: `"reverse"`: the order of entries is reversed between blocks; or `"shuffle"`.
        heavy_tails: whether networks see entries clipped, and tails are drawn in before the base; by default with
            ActNorms, which make spreads 1.  The paper's flow without.
        condition_shape: shape of a condition, if there is one.
        condition_network: embeds the condition first.
        repeat: scan over the steps (`Repeat`), so that tracing time does not grow with depth; `False` unrolls them.
        backprop: `"stored"`, or `"reversible"`: activations are recomputed by the opposite direction in training.
        seed: of the shuffles.
        dtype: dtype or policy of the blocks.
        name: name of the flow.
        transform: the former name of `transformer`.

    Returns:
        A `Flow` over `(dim,)` with a standard normal base, built.

    Raises:
        ValueError: for arguments that are out of range, TypeError: for arguments that are something else.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017), section 3; Kingma et al.,
    "Improved Variational Inference with Inverse Autoregressive Flow" (2016).

    Example:
        >>> flow = autoregressive_flow(event_shape=3, depth=2, hidden=(8,), kind="iaf")
        >>> flow.sample(4, seed=0).shape
        TensorShape([4, 3])
    """
    who = "autoregressive_flow"
    if transform is not None:
        if transformer != "affine":
            raise ValueError(explain(who, received="transformer and transform", expected="transformer alone"))
        transformer = transform
    event_shape = check.shape(who, "event_shape", event_shape, (1,))
    check.count(who, "depth", depth, remedy="A flow needs a step.")
    hidden = check.widths(who, "hidden", hidden)
    check.choice(who, "kind", kind, tuple(_READS))
    check.choice(who, "permutation", permutation, ("reverse", "shuffle"))
    heavy_tails = actnorm if heavy_tails is None else heavy_tails
    check.flag(who, residual=residual, actnorm=actnorm, heavy_tails=heavy_tails, repeat=repeat)
    check.backprop(who, backprop)
    check.seed(who, seed)
    check.activation(who, activation)
    if event_shape == (1,) and isinstance(make_transformer(who, transformer), AffineTransform | ShiftTransform):
        warnings.warn(
            f"{who}: one entry, with nothing before it, is only scaled and shifted by {transformer!r}, whatever the "
            "depth: the density is a Gaussian but for tails (with a condition, one each). Use transformer='spline' for others.",
            stacklevel=2,
        )

    def step(i: int) -> Chain:
        seen = BEND if heavy_tails else None
        net = MaskedMLP(hidden=hidden, activation=activation, residual=residual, input_bound=seen, dtype=dtype)
        mix = Permutation.reverse() if permutation == "reverse" else Permutation.shuffle(seed + i)
        block = MaskedAutoregressive(conditioner=net, transformer=transformer, reads=_READS[kind], dtype=dtype)
        return Chain([*([ActNorm(dtype=dtype)] if actnorm else []), mix, block], dtype=dtype)

    return Flow(
        with_tails(step, depth, event_shape[0], heavy_tails, repeat=repeat, backprop=backprop, dtype=dtype),
        event_shape=event_shape,
        condition_shape=condition_shape,
        condition_network=condition_network,
        name=name,
    )
