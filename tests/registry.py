"""Every block and composition, each with the shapes and settings under which it is held to the contract.

One entry per case: `"name": Case(make, event_shape, ...)`. `make(dtype)` returns a new, unbuilt block. A block exported by
`inntf.blocks` or `inntf.compose` that no case makes fails `tests/house`. So does a transformer that is not in `TRANSFORMERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Asinh,
    BiLipschitz,
    Bounded,
    ChannelSplit,
    ContinuousBlock,
    Coupling,
    Dequantize,
    ExactAdditiveCoupling,
    Exp,
    FromBijector,
    Haar,
    InjectivePadding,
    InvertibleConv1x1,
    InvertibleLinear,
    LeakyReLU,
    Logit,
    MaskedAutoregressive,
    MonotoneBlock,
    OrthogonalLinear,
    Permutation,
    Planar,
    Power,
    Radial,
    RadialTails,
    Rescale,
    ResidualBlock,
    SnapToGrid,
    Softplus,
    SoftTails,
    SplineCoupling,
    Squeeze,
    Sylvester,
    Tanh,
    TwoSidedCoupling,
    VolumePreservingCoupling,
)
from inntf.compose import Blockwise, Chain, Invert, Multiscale, Repeat
from inntf.nets import MLP, ConditionPyramid, ConvNet, FlatMLP, LipschitzMLP, MaskedMLP, SpectralConv2D
from inntf.numerics import PowerSeries
from inntf.numerics.transformers import (
    AffineTransform,
    CircularSplineTransform,
    ShiftTransform,
    SinhArcsinhTransform,
    SplineTransform,
    Transformer,
)
from inntf.numerics.transformers.scales import ExpScale, ReciprocalScale, SigmoidScale, SoftplusScale
from tests.conformance.subject import Case
from tests.conformance.training import uneven, unruly

tfb = tfp.bijectors
VECTOR, IMAGE = (5,), (4, 4, 3)
INF = float("inf")


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between 0 and 1, clear of the ends: the domain of a logit."""
    return rng.uniform(0.05, 0.95, size=shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers between 0 and 2, clear of zero."""
    return rng.uniform(0.05, 2.0, size=shape)


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers whose last two channels are zero."""
    return rng.standard_normal(shape) * (np.arange(shape[-1]) < shape[-1] - 2)


def mlp(dtype: str) -> MLP:
    return MLP((6,), activation="tanh", dtype=dtype)


def flat(dtype: str) -> FlatMLP:
    return FlatMLP((6,), groups=2, activation="tanh", dtype=dtype)


def masked(dtype: str) -> MaskedMLP:
    return MaskedMLP(hidden=(6, 6), activation="tanh", residual=True, direct=True, ordering="random", seed=4, dtype=dtype)


def contraction(dtype: str) -> LipschitzMLP:
    return LipschitzMLP((6,), coefficient=0.6, dtype=dtype)


def contracting_conv(dtype: str) -> ConvNet:
    arguments = {"coefficient": 0.6, "update_every_call": False}
    return ConvNet(
        4,
        activation="tanh",
        zero_last=False,
        kernel_sizes=(3, 1),
        convolution=SpectralConv2D,
        convolution_arguments=arguments,
        dtype=dtype,
    )


def conv(dtype: str) -> ConvNet:
    return ConvNet(4, activation="tanh", dtype=dtype)


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 8, shape).astype(np.float64)


def on_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Multiples of 2^-10 about as large as normal numbers."""
    return rng.integers(-2048, 2048, shape) / 1024.0


def crowded(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Integers from 0 to 7, most of them small; the last channel is constant."""
    x = np.floor(8 * rng.beta(0.6, 2.0, shape))
    x[..., -1] = 2.0
    return x


def unruly_on_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.round(1024 * unruly(rng, shape)) / 1024


def within_reach(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unruly numbers, most of them where a spline bends."""
    return 0.3 * unruly(rng, shape)


def inside(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The same, within (-8, 8): beyond lies no standard normal number either."""
    return np.clip(within_reach(rng, shape), -7.9, 7.9)


def angles(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Angles in [-pi, pi), more of them near 1, and clear of the seam, at which numbers jump."""
    return np.clip(np.where(rng.random(shape) < 0.5, rng.uniform(-3.1, 3.1, shape), rng.vonmises(1.0, 4.0, shape)), -3.1, 3.1)


def level(dtype: str) -> Chain:
    return Chain([Squeeze(dtype=dtype), AffineCoupling(conditioner=conv(dtype), dtype=dtype)], dtype=dtype)


def step(dtype: str) -> Chain:
    return Chain([AffineCoupling(conditioner=mlp(dtype), dtype=dtype), Permutation.reverse(dtype=dtype)], dtype=dtype)


def stock(dtype: str, bend: bool) -> FromBijector:
    """Bijectors of TFP with trainable variables, of them one positive and one shared by two."""
    kind = np.float64 if dtype == "float64" else np.float32
    shift = tf.Variable(np.zeros(5, kind))
    diagonal = tfp.util.TransformedVariable(np.ones(5, kind), tfb.Softplus())
    parts = [tfb.Shift(shift), tfb.ScaleMatvecDiag(diagonal), tfb.Permute([2, 0, 1, 4, 3]), tfb.Shift(shift)]
    return FromBijector(tfb.Chain([tfb.SinhArcsinh(tf.Variable(kind(0.1))), *parts] if bend else parts), dtype=dtype)


ROUNDING = ("forward_undoes_inverse", "inverse_log_det_is_that_of_the_jacobian")
ROUNDS = "the inverse rounds to integers: a surjection, constant on each cell"
REPEATABLE = (
    "samples_do_not_mix",
    "same_numbers_give_same_results",
    "gradients_of_forward_agree_with_finite_differences",
    "any_leading_dimensions",
    "no_leading_dimension",
    "batch_of_one_is_a_row_of_the_batch",
    "dynamic_batch_traces_once",
    "xla_agrees",
    "vectorized_map_agrees",
    "arrays_are_taken",
    "builds_lazily_inside_a_traced_function",
    "log_prob_is_base_plus_log_det",
    "stock_bijectors_mix",
    "tfp_methods_agree_with_pairs",
    "sequential",
    "configuration_makes_the_same_block",
    "unbuilt_configuration_makes_the_same_block",  # after other calls: alone, both begin with the same draws
    "copy_has_the_same_weights_and_shares_none",
    "initialize_is_explicit_and_repeatable",
)
DIFFERENCES = (
    "gradients_of_forward_agree_with_finite_differences",
    "gradients_of_inverse_agree_with_finite_differences",
)
STEPS = dict.fromkeys(DIFFERENCES, "a step function; its gradient is that of the identity")
OFF_GRID = dict.fromkeys(DIFFERENCES, "a difference leaves the grid; tests/blocks compares with the gradient without rounding")
OFF_GRID["distribution_samples"] = "samples of a continuous base are off the grid; SnapToGrid at the chain's end takes them"
WIDER = dict.fromkeys(
    ("forward_log_det_is_that_of_the_jacobian", "inverse_log_det_is_that_of_the_jacobian"),
    "the Jacobian is not square; its volume factor is 1",
) | {"builds_lazily_from_the_latent_side": "a latent does not tell how many channels hold data"}
HALF_LINE = {"distribution_samples": "normal latents leave the range of the map; it is for data the other way, by Invert"}
RANDOM = "each call draws fresh noise"
ESTIMATES = dict.fromkeys(
    (
        "forward_log_det_is_that_of_the_jacobian",
        "inverse_log_det_is_that_of_the_jacobian",
        "batch_of_one_is_a_row_of_the_batch",
        "vectorized_map_agrees",
    ),
    "an estimate with one draw of noise, another for each row of a batch; tests of the estimators compare its mean",
)
FLAT = {"builds_lazily_from_the_latent_side": "the latent is flat, so the image's shape cannot be told from it"}

SOLVER = (1e-6, 1e-11)  # tolerances of the continuous block in float32 and float64

# Every transformer, with data that reach where it bends; each is run in a coupling and in an autoregressive block.
TRANSFORMERS: dict[str, tuple[Callable[[], Transformer], Callable | None]] = {
    "affine": (AffineTransform, None),
    "shift": (ShiftTransform, None),
    "sinh-arcsinh": (SinhArcsinhTransform, None),
    "spline": (lambda: SplineTransform(4), within_reach),
    "spline-circular": (lambda: CircularSplineTransform(4), angles),
}
# Where a transformer is not one of the whole line: what a coupling or an autoregressive block of it takes and gives.
DOMAINS = {
    "spline-circular": {"sample_x": angles, "sample_z": angles},
}

CASES = {
    f"coupling-{name}": Case(
        lambda d, make=make: Coupling(transformer=make(), conditioner=mlp(d), dtype=d),
        VECTOR,
        train_x=train_x,
        **DOMAINS.get(name, {}),
    )
    for name, (make, train_x) in TRANSFORMERS.items()
}
CASES |= {
    f"autoregressive-{name}": Case(
        lambda d, make=make: MaskedAutoregressive(transformer=make(), conditioner=masked(d), dtype=d),
        VECTOR,
        train_x=train_x,
        **DOMAINS.get(name, {}),
    )
    for name, (make, train_x) in TRANSFORMERS.items()
}
CASES |= {
    "actnorm-vector": Case(lambda d: ActNorm(dtype=d), VECTOR),
    "actnorm-scale": Case(lambda d: ActNorm(scale=SoftplusScale(), dtype=d), VECTOR),
    "actnorm-image-bounded": Case(lambda d: ActNorm(max_log_scale=1.5, dtype=d), IMAGE),
    "additive-default-network": Case(lambda d: AdditiveCoupling(dtype=d), VECTOR, perturb=0.02),
    "additive-image": Case(lambda d: AdditiveCoupling(conditioner=conv(d), dtype=d), IMAGE),
    "additive-conditional": Case(lambda d: AdditiveCoupling(conditioner=mlp(d), dtype=d), VECTOR, (3,)),
    "exact-additive-vector": Case(
        lambda d: ExactAdditiveCoupling(conditioner=mlp(d), dtype=d),
        VECTOR,
        None,
        on_grid,
        on_grid,
        exempt=OFF_GRID,
        train_x=unruly_on_grid,
    ),
    "exact-additive-image-conditional": Case(
        lambda d: ExactAdditiveCoupling(10, conditioner=conv(d), split="checkerboard", dtype=d),
        IMAGE,
        (2,),
        on_grid,
        on_grid,
        exempt=OFF_GRID,
        train_x=unruly_on_grid,
    ),
    "snap-to-grid": Case(lambda d: SnapToGrid(dtype=d), VECTOR, None, on_grid, on_grid, exempt=STEPS),
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
    "affine-reciprocal": Case(
        lambda d: AffineCoupling(conditioner=mlp(d), scale=ReciprocalScale(SigmoidScale(low=0.2)), dtype=d), VECTOR
    ),
    "volume-preserving": Case(lambda d: VolumePreservingCoupling(conditioner=mlp(d), dtype=d), VECTOR, (2,)),
    "two-sided-vector": Case(lambda d: TwoSidedCoupling(conditioner=(mlp(d), mlp(d)), dtype=d), VECTOR),
    "two-sided-image-conditional": Case(
        lambda d: TwoSidedCoupling(conditioner=(conv(d), conv(d)), at=1, dtype=d), IMAGE, (4, 4, 2)
    ),
    "two-sided-flat": Case(lambda d: TwoSidedCoupling(conditioner=(flat(d), flat(d)), scale=ExpScale(1.0), dtype=d), (2, 3, 4)),
    "invert-coupling": Case(lambda d: Invert(AffineCoupling(conditioner=mlp(d), dtype=d)), VECTOR, (2,)),
    "invert-haar": Case(lambda d: Invert(Haar(dtype=d)), (2, 2, 4)),
    "blockwise-conditional": Case(
        lambda d: Blockwise(
            [Bounded([0.0, -1.0], [1.0, INF], dtype=d), Chain([ActNorm(dtype=d), AffineCoupling(conditioner=mlp(d), dtype=d)])],
            columns=[[4, 1], [0, 3, 2]],
        ),
        VECTOR,
        (2,),
        sample_x=unit,
        train_x=uneven,
    ),
    "linear-plu": Case(lambda d: InvertibleLinear(seed=1, dtype=d), VECTOR),
    "linear-dense": Case(lambda d: InvertibleLinear(parametrization="dense", seed=1, dtype=d), VECTOR, perturb=0.05),
    "conv1x1-plu": Case(lambda d: InvertibleConv1x1(seed=1, dtype=d), IMAGE),
    "conv1x1-dense": Case(lambda d: InvertibleConv1x1(parametrization="dense", seed=1, dtype=d), IMAGE, perturb=0.05),
    "orthogonal": Case(lambda d: OrthogonalLinear(seed=1, dtype=d), VECTOR),
    "chain-orthogonal-image": Case(
        lambda d: Chain(
            [ActNorm(dtype=d), OrthogonalLinear(reflections=2, seed=2, dtype=d), AffineCoupling(conditioner=conv(d), dtype=d)],
            dtype=d,
        ),
        IMAGE,
    ),
    "permutation-shuffle": Case(lambda d: Permutation.shuffle(3, dtype=d), VECTOR),
    "permutation-reverse-image": Case(lambda d: Permutation.reverse(dtype=d), IMAGE),
    "permutation-explicit": Case(lambda d: Permutation([2, 0, 1, 4, 3], dtype=d), VECTOR),
    "squeeze": Case(lambda d: Squeeze(dtype=d), IMAGE),
    "squeeze-channel-major": Case(lambda d: Squeeze(4, order="channel_major", dtype=d), IMAGE),
    "haar": Case(lambda d: Haar(dtype=d), IMAGE),
    "haar-channel-major": Case(lambda d: Haar(order="channel_major", dtype=d), IMAGE),
    # Without noise and rounding it is a bijection; those have tests of their own.
    "dequantize-smooth": Case(lambda d: Dequantize(8, noise="center", rounding="none", dtype=d), IMAGE),
    "injective-padding": Case(lambda d: InjectivePadding(5, dtype=d), IMAGE, None, sample_z=padded, exempt=WIDER),
    "logit": Case(lambda d: Logit(dtype=d), VECTOR, sample_x=unit, train_x=uneven),
    "bounded": Case(
        lambda d: Bounded([-1.0, 0.0, -INF, -INF, 0.0], [1.0, INF, 2.0, INF, 1.0], dtype=d),
        VECTOR,
        sample_x=unit,
        train_x=uneven,
    ),
    "exp": Case(lambda d: Exp(dtype=d), VECTOR, sample_z=positive, exempt=HALF_LINE),
    "softplus": Case(lambda d: Softplus(0.5, dtype=d), VECTOR, sample_z=positive, exempt=HALF_LINE),
    "tanh": Case(lambda d: Tanh(dtype=d), VECTOR, sample_z=unit, exempt=HALF_LINE),
    "power": Case(lambda d: Power(-0.5, dtype=d), VECTOR, None, positive, positive, exempt=HALF_LINE),
    "leaky-relu": Case(lambda d: LeakyReLU(dtype=d), VECTOR),
    "from-bijector": Case(lambda d: stock(d, bend=False), VECTOR),
    "from-bijector-bent": Case(lambda d: stock(d, bend=True), VECTOR),
    "planar": Case(lambda d: Planar(dtype=d), VECTOR),
    "radial": Case(lambda d: Radial(dtype=d), VECTOR),
    "sylvester": Case(lambda d: Sylvester(directions=2, seed=1, dtype=d), VECTOR),
    "asinh": Case(lambda d: Asinh([0.0, 1.0, -1.0, 0.5, 0.0], [1.0, 0.5, 2.0, 3.0, 0.25], dtype=d), VECTOR),
    "soft-tails": Case(lambda d: SoftTails(0.7, slope=0.2, dtype=d), VECTOR),
    "radial-tails": Case(lambda d: RadialTails(1.2, 1.0, slope=0.2, dtype=d), VECTOR),
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
    "spline-image-conditional": Case(
        lambda d: SplineCoupling(conditioner=conv(d), num_bins=3, bound=2.0, split="checkerboard", dtype=d),
        (4, 4, 2),
        (2,),
        train_x=within_reach,
    ),
    "spline-free-ends": Case(
        lambda d: SplineCoupling(conditioner=mlp(d), num_bins=4, tails="free", dtype=d), VECTOR, train_x=within_reach
    ),
    "maf-spline-without-tails": Case(
        lambda d: MaskedAutoregressive(conditioner=masked(d), transformer=SplineTransform(3, 8.0, tails="none"), dtype=d),
        (3,),
        train_x=inside,
    ),
    "maf-spline-conditional": Case(
        lambda d: MaskedAutoregressive(conditioner=masked(d), transformer=SplineTransform(4, 2.0), dtype=d),
        VECTOR,
        (3,),
        train_x=within_reach,
    ),
    "iaf-affine-conditional": Case(
        lambda d: MaskedAutoregressive(conditioner=masked(d), transformer=SigmoidScale(low=0.5), reads="latent", dtype=d),
        (3,),
        (2,),
    ),
    "dequantize-center": Case(
        lambda d: Dequantize(8, noise="center", dtype=d), VECTOR, None, integers, unit, exempt=dict.fromkeys(ROUNDING, ROUNDS)
    ),
    "dequantize-uniform": Case(
        lambda d: Dequantize(8, seed=1, dtype=d),
        VECTOR,
        None,
        integers,
        unit,
        exempt=dict.fromkeys(REPEATABLE, RANDOM) | dict.fromkeys(ROUNDING, ROUNDS),
    ),
    "chain-reversible-conditional": Case(
        lambda d: Chain([ActNorm(dtype=d), step(d), step(d)], backprop="reversible", checkpoint_every=2, dtype=d), VECTOR, (2,)
    ),
    "repeat-conditional": Case(lambda d: Repeat(lambda: step(d), 3, dtype=d), VECTOR, (2,)),
    "repeat-reversible-image": Case(
        lambda d: Repeat(
            lambda: Chain([InvertibleConv1x1(seed=3, dtype=d), AffineCoupling(conditioner=conv(d), dtype=d)], dtype=d),
            3,
            backprop="reversible",
            dtype=d,
        ),
        (2, 2, 3),
    ),
    "residual-vector": Case(lambda d: ResidualBlock(network=contraction(d), dtype=d), VECTOR, perturb=0.05, tolerance=10),
    "residual-conditional-refined": Case(
        lambda d: ResidualBlock(
            network=contraction(d), tolerance=1e-6, refine=None if "mixed" in d else "float64", on_failure="flag", dtype=d
        ),
        (3,),
        (2,),
        perturb=0.05,
        tolerance=10,
        inverse_error=1e-6,
    ),
    "residual-image": Case(
        lambda d: ResidualBlock(network=contracting_conv(d), log_det=PowerSeries(40, dense=True), noise="fixed", dtype=d),
        (3, 3, 2),
        perturb=0.05,
        tolerance=10,
        exempt=ESTIMATES,
    ),
    "repeat-residual": Case(
        lambda d: Repeat(lambda: ResidualBlock(network=contraction(d), dtype=d), 2, backprop="reversible", dtype=d),
        (3,),
        perturb=0.05,
        tolerance=10,
    ),
    "bi-lipschitz": Case(lambda d: BiLipschitz(0.4, 5.0, hidden=6, dtype=d), (3,), perturb=0.05, tolerance=10),
    "bi-lipschitz-image-conditional": Case(
        lambda d: BiLipschitz(0.5, 6.0, hidden=10, depth=1, dtype=d), (2, 2, 2), (2,), perturb=0.05, tolerance=10
    ),
    "monotone": Case(
        lambda d: MonotoneBlock(network=contraction(d), dtype=d),
        (3,),
        (2,),
        perturb=0.05,
        tolerance=10,
    ),
    "continuous-conditional": Case(
        lambda d: ContinuousBlock(
            dynamics=MLP((4,), activation="tanh"), rtol=SOLVER[d == "float64"], atol=SOLVER[d == "float64"], dtype=d
        ),
        (2,),
        (1,),
        tolerance=10,
    ),
    "multiscale": Case(lambda d: Multiscale([level(d), level(d)], dtype=d), (4, 4, 2), exempt=FLAT),
    "multiscale-learned-priors-conditional": Case(
        lambda d: Multiscale([level(d), level(d)], priors="learned", dtype=d), (4, 4, 2), (4, 4, 1), exempt=FLAT
    ),
    "multiscale-vector-condition": Case(
        lambda d: Multiscale([level(d), Chain([ActNorm(dtype=d)], dtype=d)], dtype=d), (4, 4, 1), (2,), exempt=FLAT
    ),
    "multiscale-condition-pyramid": Case(
        lambda d: Multiscale(
            [level(d), level(d)], condition_network=ConditionPyramid(2, levels=2, activation="tanh", dtype=d), dtype=d
        ),
        (4, 4, 2),
        (3,),
        exempt=FLAT,
    ),
    "additive-image-spectral": Case(
        lambda d: AdditiveCoupling(conditioner=contracting_conv(d), dtype=d), (3, 3, 3), perturb=0.05
    ),
    "chain-integers-logit": Case(
        lambda d: Chain([Dequantize(8, noise="center", rounding="none", dtype=d), Logit(dtype=d), step(d)], dtype=d),
        VECTOR,
        sample_x=integers,
        train_x=crowded,
    ),
    "chain-mixed": Case(
        lambda d: Chain(
            [
                ActNorm(dtype=d),
                InvertibleLinear(seed=5, dtype=d),
                MaskedAutoregressive(conditioner=masked(d), dtype=d),
                TwoSidedCoupling(conditioner=(mlp(d), mlp(d)), dtype=d),
                ResidualBlock(network=contraction(d), dtype=d),
                SplineCoupling(conditioner=mlp(d), num_bins=4, dtype=d),
            ],
            backprop="checkpointed",
            dtype=d,
        ),
        (4,),
        perturb=0.05,
        tolerance=10,
    ),
}
