"""Every block and composition, each with the shapes and settings under which it is held to the contract.

One entry a case: `"name": Case(make, event_shape, ...)`. `make(dtype)` returns a new, unbuilt block. A block exported by
`inntf.blocks` or `inntf.compose` that no case makes fails `tests/house`.
"""

from __future__ import annotations

import numpy as np

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    ChannelSplit,
    Dequantize,
    Haar,
    InvertibleConv1x1,
    InvertibleLinear,
    Logit,
    Permutation,
    Rescale,
    SplineCoupling,
    Squeeze,
    TwoSidedCoupling,
)
from inntf.compose import Chain, Multiscale
from inntf.nets import MLP, ConvNet
from inntf.numerics.scales import ExpScale, SigmoidScale, SoftplusScale
from tests.conformance.subject import Case

VECTOR, IMAGE = (5,), (4, 4, 3)


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between 0 and 1, clear of the ends: the domain of a logit."""
    return rng.uniform(0.05, 0.95, size=shape)


def mlp(dtype: str) -> MLP:
    return MLP((6,), activation="tanh", dtype=dtype)


def conv(dtype: str) -> ConvNet:
    return ConvNet(4, activation="tanh", dtype=dtype)


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 8, shape).astype(np.float64)


def level(dtype: str) -> Chain:
    return Chain([Squeeze(dtype=dtype), AffineCoupling(conditioner=conv(dtype), dtype=dtype)], dtype=dtype)


ROUNDS = "the inverse rounds to integers: a surjection, constant on each cell"
RANDOM = "each call draws fresh noise"
LATE = "the latent is flat, so the image's shape cannot be told from it"

CASES = {
    "actnorm-vector": Case(lambda d: ActNorm(dtype=d), VECTOR),
    "actnorm-image-bounded": Case(lambda d: ActNorm(max_log_scale=1.5, dtype=d), IMAGE),
    "additive-vector": Case(lambda d: AdditiveCoupling(conditioner=mlp(d), dtype=d), VECTOR),
    "additive-default-network": Case(lambda d: AdditiveCoupling(dtype=d), VECTOR, perturb=0.02),
    "additive-image": Case(lambda d: AdditiveCoupling(conditioner=conv(d), dtype=d), IMAGE),
    "additive-conditional": Case(lambda d: AdditiveCoupling(conditioner=mlp(d), dtype=d), VECTOR, (3,)),
    "affine-vector": Case(lambda d: AffineCoupling(conditioner=mlp(d), dtype=d), VECTOR),
    "affine-index-sets": Case(lambda d: AffineCoupling(conditioner=mlp(d), split=[0, 3], dtype=d), VECTOR),
    "affine-conditional": Case(
        lambda d: AffineCoupling(conditioner=mlp(d), split=ChannelSplit(swap=True), dtype=d), VECTOR, (3,)
    ),
    "affine-image-checkerboard": Case(
        lambda d: AffineCoupling(conditioner=conv(d), split="checkerboard", scale=SigmoidScale(), dtype=d), IMAGE
    ),
    "affine-image-halves-vector-condition": Case(
        lambda d: AffineCoupling(conditioner=conv(d), split="halves", scale=SigmoidScale(low=0.5), dtype=d), IMAGE, (2,)
    ),
    "affine-image-image-condition": Case(
        lambda d: AffineCoupling(conditioner=conv(d), scale=ExpScale(1.0, "tanh"), dtype=d), IMAGE, (4, 4, 2)
    ),
    "affine-softplus": Case(lambda d: AffineCoupling(conditioner=mlp(d), scale=SoftplusScale(), dtype=d), VECTOR),
    "two-sided-vector": Case(lambda d: TwoSidedCoupling(conditioner=(mlp(d), mlp(d)), dtype=d), VECTOR),
    "two-sided-image-conditional": Case(
        lambda d: TwoSidedCoupling(conditioner=(conv(d), conv(d)), at=1, dtype=d), IMAGE, (4, 4, 2)
    ),
    "linear-plu": Case(lambda d: InvertibleLinear(seed=1, dtype=d), VECTOR),
    "linear-dense": Case(lambda d: InvertibleLinear(parametrization="dense", seed=1, dtype=d), VECTOR, perturb=0.05),
    "conv1x1-plu": Case(lambda d: InvertibleConv1x1(seed=1, dtype=d), IMAGE),
    "conv1x1-dense": Case(lambda d: InvertibleConv1x1(parametrization="dense", seed=1, dtype=d), IMAGE, perturb=0.05),
    "permutation-shuffle": Case(lambda d: Permutation.shuffle(3, dtype=d), VECTOR),
    "permutation-reverse-image": Case(lambda d: Permutation.reverse(dtype=d), IMAGE),
    "permutation-explicit": Case(lambda d: Permutation([2, 0, 1, 4, 3], dtype=d), VECTOR),
    "squeeze": Case(lambda d: Squeeze(dtype=d), IMAGE),
    "squeeze-channel-major": Case(lambda d: Squeeze(4, order="channel_major", dtype=d), IMAGE),
    "haar": Case(lambda d: Haar(dtype=d), IMAGE),
    "haar-channel-major": Case(lambda d: Haar(order="channel_major", dtype=d), IMAGE),
    # Without noise and rounding it is a bijection; those have tests of their own.
    "dequantize-smooth": Case(lambda d: Dequantize(8, noise="center", rounding="none", dtype=d), IMAGE),
    "logit": Case(lambda d: Logit(dtype=d), VECTOR, sample_x=unit),
    "rescale": Case(lambda d: Rescale(2.0, -0.5, dtype=d), VECTOR),
    "rescale-channels": Case(lambda d: Rescale([1.0, -2.0, 0.5], [0.0, 1.0, 2.0], dtype=d), IMAGE),
    "chain-vector-conditional": Case(
        lambda d: Chain(
            [
                ActNorm(dtype=d),
                InvertibleLinear(seed=2, dtype=d),
                AffineCoupling(conditioner=mlp(d), dtype=d),
                Permutation.reverse(dtype=d),
                AdditiveCoupling(conditioner=mlp(d), dtype=d),
            ],
            dtype=d,
        ),
        VECTOR,
        (2,),
    ),
    "chain-image": Case(
        lambda d: Chain(
            [ActNorm(dtype=d), InvertibleConv1x1(seed=2, dtype=d), AffineCoupling(conditioner=conv(d), dtype=d)], dtype=d
        ),
        IMAGE,
    ),
    "spline-vector": Case(lambda d: SplineCoupling(conditioner=mlp(d), num_bins=4, dtype=d), VECTOR),
    "spline-image-conditional": Case(
        lambda d: SplineCoupling(conditioner=conv(d), num_bins=3, bound=2.0, split="checkerboard", dtype=d), (4, 4, 2), (2,)
    ),
    "dequantize-center": Case(lambda d: Dequantize(8, noise="center", dtype=d), VECTOR, None, integers, unit),
    "dequantize-uniform": Case(lambda d: Dequantize(8, seed=1, dtype=d), VECTOR, None, integers, unit),
    "multiscale": Case(lambda d: Multiscale([level(d), level(d)], dtype=d), (4, 4, 2)),
    "multiscale-learned-priors-conditional": Case(
        lambda d: Multiscale([level(d), level(d)], priors="learned", dtype=d), (4, 4, 2), (4, 4, 1)
    ),
    "multiscale-vector-condition": Case(
        lambda d: Multiscale([level(d), Chain([ActNorm(dtype=d)], dtype=d)], dtype=d), (4, 4, 1), (2,)
    ),
}
