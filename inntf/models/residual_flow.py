"""The factory of residual flows, on vectors and on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.residual import ResidualBlock
from inntf.blocks.squeeze import Squeeze
from inntf.compose.chain import Chain
from inntf.compose.multiscale import Multiscale
from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape
from inntf.models import argument_checks as check
from inntf.models.flow import Flow
from inntf.models.repeated_steps import part_of_a_chain
from inntf.nets.activations import LipSwish
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense
from inntf.numerics.log_dets import ExactLogDet, LogDetEstimator, PowerSeries, RussianRoulette

_LOG_DETS = {"exact": ExactLogDet, "series": PowerSeries, "roulette": RussianRoulette}
_KERNELS = (3, 1, 3)
_SMALL = 1e-3  # of the last layer at the start: blocks begin near the identity


def residual_flow(
    *,
    event_shape: Shape | int,
    depth: int | Sequence[int] = 10,
    hidden: Sequence[int] | int | None = None,
    coefficient: float = 0.9,
    activation: Callable[[], keras.layers.Layer] = LipSwish,
    log_det: str | LogDetEstimator | None = None,
    actnorm: bool = True,
    levels: int = 0,
    unsqueezed: int = 0,
    factor_out: bool = False,
    priors: str = "learned",
    preprocessing: Sequence[Block] = (),
    network: Callable[[int], keras.layers.Layer] | None = None,
    max_iterations: int = 5,
    tolerance: float | None = None,
    refine: str | None = None,
    condition_shape: Shape | int | None = None,
    condition_network: keras.layers.Layer | None = None,
    repeat: bool = True,
    backprop: str = "stored",
    dtype: Any = None,
    name: str = "residual_flow",
) -> Flow:
    r"""A flow of residual blocks `x + g(x)`, $\mathrm{Lip}(g) < 1$: `depth` steps of [ActNorm, ResidualBlock] a level.

    In g the activation comes before each linear layer, the first one too, and every linear layer is spectrally
    normalized to `coefficient`, so $\mathrm{Lip}(g) \le c^k$ for k layers.  The norms follow the weights in training only if
    they are updated: in `fit` by `inntf.training.SpectralNormCallback` (or by the blocks, once a forward call in training),
    in a loop of your own by `inntf.training.update_spectral_norms`; `certify_spectral_norms(rescale=True)` makes them hold.

    **Images.**  Blocks at full resolution (`unsqueezed`) have the fewest weights and the most arithmetic, and do most for the
    likelihood; so does an activation that keeps more of its slope, `ConcatLipSwish`: recipes/README.md has figures.

    Args:
        event_shape: `(dim,)` or `dim` for vectors, `(height, width, channels)` for images.
        depth: residual blocks per level: one number, or one for each of `levels`.
        hidden: widths of g's hidden layers; for images channels of its 3x3-1x1-3x3 convolutions (two numbers, or one
            for both).  By default `(128, 128, 128)` and `(64, 64)`.
        coefficient: largest spectral norm of each linear layer, below 1.
        activation: makes a 1-Lipschitz activation layer, `LipSwish` by default; it may change the number of channels
            (`inntf.nets.ConcatLipSwish`).
        log_det: `"exact"`, `"roulette"`, `"series"`, or an estimator; by default exact for up to 8 numbers, unbiased beyond.
        actnorm: whether each step begins with an ActNorm.
        levels: of an image, each begun by a squeeze; 0 does not squeeze at all.
        unsqueezed: with `levels`, residual blocks on the image before its first squeeze.
        factor_out: whether half of the channels leave after each level but the last (`Multiscale`).
        priors: with `factor_out`, `"learned"` or `"fixed"`, see `Multiscale`.
        preprocessing: blocks before the first level, such as `[Dequantize(), Logit()]`.
        network: makes g from its number of channels, in place of all of the above.
        max_iterations: the most power iterations of an update of a spectral norm.
        tolerance: largest error of the inverse of a block that passes, see `ResidualBlock`.
        refine: `"float64"` refines the inverse, see `ResidualBlock`.
        condition_shape: shape of a condition, if there is one, without `levels` only: it is joined to the input of every g,
            whose Lipschitz constant in x stays below 1.
        condition_network: embeds the condition first.
        repeat: scan over the steps of a level (`Repeat`), so that tracing time does not grow with depth.
        backprop: `"stored"`, or `"checkpointed"`: only the steps' inputs are kept in training, and what is inside of them is
            computed again, see `Repeat`.  (`"reversible"` works, too, but each step back is an iteration.)
        dtype: dtype or policy of the blocks.
        name: name of the flow.

    Returns:
        A `Flow` with a standard normal base, built.

    Raises:
        ValueError: for arguments that are out of range, such as depths whose number is not that of levels, a coefficient not
            between 0 and 1, levels of vectors, or an image that does not divide; TypeError: for what is something else.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019); Behrmann et al., "Invertible Residual
        Networks" (2019).

    Example:
        >>> flow = residual_flow(event_shape=2, depth=2, hidden=(8,))
        >>> flow.log_prob(flow.sample(3, seed=0)).shape
        TensorShape([3])
    """
    event = check.shape("residual_flow", "event_shape", event_shape, (1, 3))
    levels = check.count("residual_flow", "levels", levels, 0)
    unsqueezed = check.count("residual_flow", "unsqueezed", unsqueezed, 0)
    depths = _depths(depth, levels)
    widths = _widths(hidden, len(event) == 3) if network is None else ()
    preprocessing = check.blocks("residual_flow", "preprocessing", preprocessing)
    check.flag("residual_flow", actnorm=actnorm, factor_out=factor_out, repeat=repeat)
    check.backprop("residual_flow", backprop)
    check.priors("residual_flow", priors)
    check.layer_maker("residual_flow", "activation", activation)
    check.layer_maker("residual_flow", "network", network)
    check.choice("residual_flow", "refine", refine, (None, "float64"))
    check.count("residual_flow", "max_iterations", max_iterations)
    check.number("residual_flow", "coefficient", coefficient, 0.0, 1.0)
    if tolerance is not None:
        check.number("residual_flow", "tolerance", tolerance, 0.0)
    _check(len(event), log_det, levels, unsqueezed, factor_out)
    check.squeezes("residual_flow", event, levels, preprocessing)
    if levels and (condition_shape is not None or condition_network is not None):
        given = {"condition_shape": condition_shape, "condition_network": condition_network, "levels": levels}
        raise ValueError(
            explain(
                "residual_flow",
                received=" and ".join(f"{key}={value!r}" for key, value in given.items() if value is not None),
                expected="a condition without levels: a squeeze changes the shape that it would be joined to",
                remedy="Use glow, whose condition_network makes feature maps level by level.",
            )
        )

    def g(channels: int) -> keras.layers.Layer:
        if network is not None:
            return network(channels)
        common = {"coefficient": coefficient, "max_iterations": max_iterations, "update_every_call": False, "dtype": dtype}
        layers: list[keras.layers.Layer] = []
        for i, units in enumerate((*widths, channels)):
            last = i == len(widths)
            start = keras.initializers.VarianceScaling(_SMALL**2 if last else 1.0, "fan_avg", "uniform")
            made = (
                SpectralDense(units, kernel_initializer=start, **common)
                if len(event) == 1
                else SpectralConv2D(units, _KERNELS[i], kernel_initializer=start, **common)
            )
            layers += [activation(), made]
        return keras.Sequential(layers)

    def step() -> Block:
        estimator = _LOG_DETS[log_det]() if isinstance(log_det, str) else _fresh(log_det)
        block = ResidualBlock(network=g, log_det=estimator, tolerance=tolerance, refine=refine, dtype=dtype)
        return Chain([ActNorm(dtype=dtype), block], dtype=dtype) if actnorm else block

    def steps(n: int) -> list[Block]:
        return part_of_a_chain(lambda _: step(), n, repeat=repeat, backprop=backprop, dtype=dtype)

    if levels:
        stages = [Chain([Squeeze(), *steps(n)], dtype=dtype) for n in depths]
        if unsqueezed:  # part of the first level: nothing leaves before the first squeeze
            stages[0] = Chain([*steps(unsqueezed), Squeeze(), *steps(depths[0])], dtype=dtype)
        body: Block = Multiscale(stages, priors=priors, dtype=dtype) if factor_out else Chain(stages, dtype=dtype)
    else:
        made = steps(depths[0])
        body = made[0] if len(made) == 1 else Chain(made, dtype=dtype)
    block = Chain([*preprocessing, body], dtype=dtype) if preprocessing else body
    return Flow(block, event_shape=event, condition_shape=condition_shape, condition_network=condition_network, name=name)


def _depths(depth: Any, levels: int) -> tuple[int, ...]:
    most, remedy = max(levels, 1), "A flow needs a block."
    if not isinstance(depth, list | tuple):
        return (check.count("residual_flow", "depth", depth, remedy=remedy),) * most
    depths = tuple(check.count("residual_flow", "depth", n, remedy=remedy) for n in depth)
    if len(depths) != most:
        received, expected = f"depth={depth!r}", f"at least 1 block per level, one number or {most}"
        raise ValueError(explain("residual_flow", received=received, expected=expected, remedy="Give one number per level."))
    return depths


def _widths(hidden: Sequence[int] | int | None, image: bool) -> tuple[int, ...]:
    if hidden is None:
        return (64, 64) if image else (128, 128, 128)
    widths = check.widths("residual_flow", "hidden", hidden, one=True)
    widths = widths * 2 if image and not isinstance(hidden, list | tuple) else widths
    if image and len(widths) != len(_KERNELS) - 1:
        raise ValueError(
            explain(
                "residual_flow",
                received=f"hidden={widths} for an image",
                expected="two numbers of channels, or one for both",
                remedy="Pass network=... for another architecture.",
            )
        )
    return widths


def _fresh(estimator: LogDetEstimator | None) -> LogDetEstimator | None:
    return None if estimator is None else type(estimator).from_config(estimator.get_config())


def _check(ndims: int, log_det: Any, levels: int, unsqueezed: int, factor_out: bool) -> None:
    problems = {
        f"log_det={log_det!r}": (
            not isinstance(log_det, LogDetEstimator | None) and log_det not in list(_LOG_DETS),
            f"one of {sorted(_LOG_DETS)}, or an estimator",
        ),
        f"levels={levels}": (ndims == 1 and levels > 0, "0 for vectors, 0 or more for images"),
        f"unsqueezed={unsqueezed}": (
            unsqueezed > 0 and not levels,
            "0 or more, and levels (without squeezes, depth alone counts the blocks)",
        ),
        f"factor_out={factor_out}": (factor_out and not levels, "levels to factor out of"),
    }
    for received, (wrong, expected) in problems.items():
        if wrong:
            raise ValueError(explain("residual_flow", received=received, expected=expected))
