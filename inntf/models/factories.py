"""Named architectures: keyword-only functions that compose blocks into a `Flow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.linear import InvertibleConv1x1
from inntf.blocks.named_couplings import AdditiveCoupling, AffineCoupling
from inntf.blocks.permutation import Permutation
from inntf.blocks.splits import ChannelSplit
from inntf.blocks.squeeze import Squeeze
from inntf.compose.chain import Chain
from inntf.compose.multiscale import Multiscale
from inntf.compose.stacking import Alike
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.flow import Flow
from inntf.models.repeated_steps import part_of_a_chain
from inntf.models.tails import BEND, with_tails
from inntf.nets.convnet import ConvNet
from inntf.nets.mlp import MLP
from inntf.numerics.transformers.scales import ExpScale, Scale, SigmoidScale


def real_nvp(
    *,
    event_shape: Shape | int,
    depth: int = 8,
    hidden: Sequence[int] = (128, 128),
    activation: Any = "relu",
    scale: Scale | None = None,
    additive: bool = False,
    actnorm: bool = True,
    heavy_tails: bool | None = None,
    condition_shape: Shape | int | None = None,
    condition_network: keras.layers.Layer | None = None,
    repeat: bool = True,
    backprop: str = "stored",
    seed: int = 0,
    dtype: Any = None,
    name: str = "real_nvp",
) -> Flow:
    """A flow on vectors: `depth` steps of [ActNorm, permutation, coupling], then heavy tails.

    A chain of affine couplings alone gives a point a few spreads off the data hundreds of nats, or thousands: its networks
    extrapolate, each from what the one before it made.  Here conditioners see entries within `[-3, 3]` spreads (`Clip`),
    beyond which a step is affine, and before the base `RadialTails` draw in what is far out.  With
    `heavy_tails=False` it is the flow of the paper.

    Args:
        event_shape: `(dim,)` or `dim`, at least 2.
        depth: number of couplings.
        hidden: widths of the conditioners' hidden layers.
        activation: of the conditioners.
        scale: of the affine couplings, `ExpScale(2.0)` by default.
        additive: additive couplings in place of affine ones.
        actnorm: whether each step begins with an ActNorm.
        heavy_tails: whether conditioners see entries clipped, and tails are drawn in before the base; by default with
            ActNorms, which make spreads 1 (`DensityModel.fit` initializes them; else `flow.initialize(x)`).
        condition_shape: shape of a condition, if there is one.
        condition_network: embeds the condition first.
        repeat: scan over the steps (`Repeat`), so that tracing time does not grow with depth; `False` unrolls them.
        backprop: `"stored"`, or `"reversible"`: activations are recomputed by the inverse in training, under the drift
            guard of `Chain` and `Repeat`; or `"checkpointed"`, see there.
        seed: of the permutations; for two dimensions the entries are exchanged.
        dtype: dtype or policy of the blocks.
        name: name of the flow.

    Returns:
        A `Flow` over `(dim,)` with a standard normal base, built.

    Raises:
        ValueError: for arguments that are out of range, TypeError: for arguments that are something else.

    Source: Dinh et al., "Density estimation using Real NVP" (2017).

    Example:
        >>> real_nvp(event_shape=2, depth=2, hidden=(8,)).sample(3, seed=0).shape
        TensorShape([3, 2])
    """
    event_shape = check.shape("real_nvp", "event_shape", event_shape, (1,))
    check.count("real_nvp", "depth", depth, remedy="A flow needs a step.")
    hidden = check.widths("real_nvp", "hidden", hidden)
    heavy_tails = actnorm if heavy_tails is None else heavy_tails
    check.flag("real_nvp", additive=additive, actnorm=actnorm, heavy_tails=heavy_tails, repeat=repeat)
    check.backprop("real_nvp", backprop)
    check.seed("real_nvp", seed)
    check.activation("real_nvp", activation)
    if additive:
        check.ignored("real_nvp", "additive=True", "scale", scale, "additive couplings have none")
    coupling = _coupling("real_nvp", additive, scale, ExpScale(2.0))
    (size,) = event_shape
    if size < 2:
        raise ValueError(
            explain(
                "real_nvp",
                received="event_shape=1",
                expected="at least 2 entries: a coupling moves some given the others",
                remedy="Use autoregressive_flow(transformer='spline') for one.",
            )
        )

    def mix(i: int) -> Block:
        return Permutation.reverse() if size == 2 else Permutation.shuffle(seed + i)

    def step(i: int) -> Chain:
        seen = BEND if heavy_tails else None
        among = size // 2 if heavy_tails else None
        net = MLP(hidden, activation=activation, input_bound=seen, bounded_inputs=among, dtype=dtype)
        return Chain(
            [*([ActNorm(dtype=dtype)] if actnorm else []), mix(i), coupling(conditioner=net, dtype=dtype)], dtype=dtype
        )

    steps = Alike(step, drawing=lambda i: [mix(i)])
    return Flow(
        with_tails(steps, depth, size, heavy_tails, repeat=repeat, backprop=backprop, dtype=dtype),
        event_shape=event_shape,
        condition_shape=condition_shape,
        condition_network=condition_network,
        name=name,
    )


def glow(
    *,
    event_shape: Shape,
    levels: int = 3,
    depth: int = 8,
    hidden: int | Sequence[int] = 64,
    preprocessing: Sequence[Block] = (),
    permutation: str = "conv1x1",
    additive: bool = False,
    scale: Scale | None = None,
    actnorm: bool = True,
    max_log_scale: float | None = None,
    factor_out: bool = True,
    priors: str = "learned",
    conditioner: Callable[[int], keras.layers.Layer] | None = None,
    repeat: bool = True,
    backprop: str = "stored",
    condition_shape: Shape | None = None,
    condition_network: keras.layers.Layer | None = None,
    seed: int = 0,
    dtype: Any = None,
    name: str = "glow",
) -> Flow:
    """A flow on images: `levels` of squeeze and `depth` steps of [ActNorm, permutation, coupling], with factor-out.

    Args:
        event_shape: `(height, width, channels)`; height and width divisible by `2^levels`.
        levels: number of levels.
        depth: steps per level.
        hidden: channels of the 3x3-1x1-3x3 conditioners.
        preprocessing: blocks before the first level, such as `[Dequantize(), Logit()]`.
        permutation: `"conv1x1"` (learned), `"shuffle"` or `"reverse"`.
        additive: additive couplings in place of affine ones.
        scale: of the affine couplings; Glow's `sigmoid(raw + 2)` by default.
        actnorm: whether each step begins with an ActNorm.
        max_log_scale: bound on the ActNorms' log-scale.
        factor_out: whether half of the channels leave after each level but the last.
        priors: `"learned"` or `"fixed"`, see `Multiscale`.
        conditioner: a function that makes a conditioner from its number of output channels, in place of the default ConvNet.
        repeat: scan over the steps of a level (`Repeat`), so that tracing time does not grow with depth; `False` unrolls them,
            as layers that `update_norms` or a callback must find by themselves need it.
        condition_shape: shape of a condition (vector or image), if there is one.
        condition_network: makes the feature maps each level needs, see `Multiscale`.
        backprop: `"stored"`, or `"reversible"`: activations are recomputed by the inverse in training, under the drift
            guard of `Chain` and `Repeat`; or `"checkpointed"`, see there.
        seed: of the permutations.
        dtype: dtype or policy of the blocks.
        name: name of the flow.

    Returns:
        A `Flow` over images with a standard normal base on the flat latent, built.

    Raises:
        ValueError: for arguments that are out of range, or an image that does not divide; TypeError: for arguments that are
            something else.

    Source: Kingma & Dhariwal, "Glow" (2018).

    Example:
        >>> flow = glow(event_shape=(8, 8, 1), levels=2, depth=1, hidden=4)
        >>> flow.log_prob(flow.sample(2, seed=0)).shape
        TensorShape([2])
    """
    event_shape = check.shape("glow", "event_shape", event_shape, (3,))
    check.count("glow", "levels", levels, remedy="A flow needs a level.")
    check.count("glow", "depth", depth, remedy="A flow needs a step.")
    if conditioner is None and len(check.widths("glow", "hidden", hidden, one=True)) != 2 and not isinstance(hidden, int):
        expected = "two numbers of channels, or one for both"
        raise ValueError(explain("glow", received=f"hidden={hidden!r}", expected=expected, remedy="Or pass a conditioner."))
    check.priors("glow", priors)
    check.choice("glow", "permutation", permutation, ("conv1x1", "shuffle", "reverse"))
    check.flag("glow", additive=additive, actnorm=actnorm, factor_out=factor_out, repeat=repeat)
    check.backprop("glow", backprop)
    check.seed("glow", seed)
    preprocessing = check.blocks("glow", "preprocessing", preprocessing)
    check.squeezes("glow", event_shape, levels, preprocessing)
    if max_log_scale is not None:
        check.number("glow", "max_log_scale", max_log_scale, 0.0)
    if additive:
        check.ignored("glow", "additive=True", "scale", scale, "additive couplings have none")
    if not actnorm:
        check.ignored("glow", "actnorm=False", "max_log_scale", max_log_scale, "it bounds the ActNorms")
    if condition_network is not None and condition_shape is None:
        raise check.network_without_shape("glow", condition_network)
    check.layer_maker("glow", "conditioner", conditioner)
    if isinstance(conditioner, keras.layers.Layer):  # callable, but one network for all steps
        remedy = "For example conditioner=lambda channels: inntf.nets.ConvNet(64)."
        received, expected = f"conditioner={conditioner!r}", "a function that makes a Keras layer, called for each step"
        raise TypeError(explain("glow", received=received, expected=expected, remedy=remedy))
    coupling = _coupling("glow", additive, scale, SigmoidScale())

    def mix(i: int) -> Block:
        if permutation == "conv1x1":
            return InvertibleConv1x1(seed=seed + i, dtype=dtype)
        return Permutation.reverse() if permutation == "reverse" else Permutation.shuffle(seed + i)

    def step(i: int) -> Chain:
        net = conditioner or ConvNet(hidden, dtype=dtype)
        norm = [ActNorm(max_log_scale=max_log_scale, dtype=dtype)] if actnorm else []
        return Chain([*norm, mix(i), coupling(conditioner=net, split=ChannelSplit(), dtype=dtype)], dtype=dtype)

    def steps(level: int) -> list[Block]:
        first = level * depth
        made = Alike(lambda i: step(first + i), drawing=lambda i: [mix(first + i)])
        return part_of_a_chain(made, depth, repeat=repeat, backprop=backprop, dtype=dtype)

    stages = [Chain([Squeeze(), *steps(level)], dtype=dtype) for level in range(levels)]
    if factor_out:
        body: Block = Multiscale(stages, priors=priors, condition_network=condition_network, dtype=dtype)
    else:
        body = Chain(stages, dtype=dtype)
    block = Chain([*preprocessing, body], dtype=dtype) if preprocessing else body
    return Flow(
        block,
        event_shape=event_shape,
        condition_shape=condition_shape,
        condition_network=None if factor_out else condition_network,
        name=name,
    )


def _coupling(who: str, additive: bool, scale: Scale | None, default: Scale) -> Callable[..., Block]:
    if scale is not None and not isinstance(scale, Scale):
        remedy = "See inntf.numerics: ExpScale, SigmoidScale, SoftplusScale, ReciprocalScale."
        raise TypeError(explain(who, received=f"scale={scale!r}", expected="a Scale", remedy=remedy))
    return AdditiveCoupling if additive else lambda **kwargs: AffineCoupling(scale=scale or default, **kwargs)
