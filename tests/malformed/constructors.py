"""Every constructor and factory with each of its arguments replaced by something that it cannot be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from inntf import blocks, compose, models, nets, numerics, training
from tests.malformed.outcome import Call

NAN, INF = float("nan"), float("inf")
WRONG: dict[str, list[Any]] = {
    "int": [-1, 1.5, NAN, "3", True, None, 2j],
    "float": [NAN, INF, -INF, -1.0, "x", 1j, None, [0.5], True],
    "Limit": [NAN, -INF, -1.0, "x", 1j, None, [0.5], True],
    "bool": ["yes", 2, None],
    "str": ["no_such", 3, None],
    "Sequence[int]": ["abc", (0,), (-1,), (1.5,), (True,), None, 2.5],
    "Shape": [(2.5,), "4", (-1,), None, (True,)],
    "other": ["no_such", 3.7],
}
# What looks wrong and is meant: any integer is a seed, an offset may be negative, indices may count from the end, ...
MEANT = {
    ("seed", -1), ("scale", 3.7), ("shift", 3.7), ("offset", -1.0), ("slope", -1.0), ("initial", -1.0), ("identity", (0,)),
    ("identity", (-1,)), ("initial_slope", -1.0),
}  # fmt: skip
VECTOR = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
IMAGE = np.linspace(-1, 1, 96, dtype=np.float32).reshape(2, 4, 4, 3)


def made() -> dict[str, tuple[Callable, dict[str, Any], Callable[[Any], Any]]]:
    """By name: what is called, the smallest right arguments, and how the result is used."""
    on_vectors = {
        "ActNorm": {}, "AdditiveCoupling": {}, "AffineCoupling": {}, "ContinuousBlock": {"trace": "exact"},
        "ExactAdditiveCoupling": {}, "InjectivePadding": {"channels": 6}, "InvertibleLinear": {}, "MaskedAutoregressive": {},
        "Permutation": {}, "Rescale": {}, "ResidualBlock": {}, "SnapToGrid": {}, "SplineCoupling": {}, "TwoSidedCoupling": {},
        "Softplus": {}, "Power": {"exponent": 2.0}, "LeakyReLU": {}, "FromBijector": {"bijector": tfp.bijectors.Softplus()},
        "BiLipschitz": {"lower": 0.5, "upper": 2.0}, "Asinh": {}, "SoftTails": {}, "Logit": {}, "Dequantize": {},
        "RadialTails": {}, "VolumePreservingCoupling": {}, "OrthogonalLinear": {}, "Sylvester": {},
    }  # fmt: skip
    on_images = {"Haar": {}, "Squeeze": {}, "InvertibleConv1x1": {}}
    found = {n: (getattr(blocks, n), k, _through(np.abs(VECTOR))) for n, k in on_vectors.items()}
    found |= {n: (getattr(blocks, n), k, _through(IMAGE)) for n, k in on_images.items()}
    for name in ("ChannelSplit", "CheckerboardSplit", "HalfSplit", "IndexSplit"):
        arguments = {"identity": [0, 2]} if name == "IndexSplit" else {}
        use = _split(IMAGE if name in ("CheckerboardSplit", "HalfSplit") else VECTOR)
        found[name] = (getattr(blocks, name), arguments, use)
    small = {"event_shape": 4, "depth": 1, "hidden": (4,)}
    density = lambda flow: flow.log_prob(np.zeros((2, *flow.event_shape), np.float32))  # noqa: E731
    for name in ("real_nvp", "autoregressive_flow", "residual_flow", "ffjord", "spline_flow"):
        found[name] = (getattr(models, name), small, density)
    found["glow"] = (models.glow, {"event_shape": (4, 4, 1), "levels": 1, "depth": 1, "hidden": 4}, density)
    found["i_resnet_classifier"] = (
        models.i_resnet_classifier,
        {"event_shape": (4, 4, 1), "classes": 2, "blocks": (1,), "hidden": (4,), "channels": 4},
        lambda m: m(np.zeros((2, 4, 4, 1), np.float32)),
    )
    block = blocks.AffineCoupling().ensure_built((4,))
    images = models.glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4)
    found["Flow"] = (models.Flow, {"block": block}, density)
    found["DensityModel"] = (models.DensityModel, {"flow": models.Flow(block)}, lambda m: m(VECTOR))
    found["FlowGan"] = (models.FlowGan, {"flow": images, "objective": "mle"}, lambda m: m(IMAGE[..., :1]))
    found["Chain"] = (compose.Chain, {"blocks": [blocks.ActNorm()]}, _through(VECTOR))
    sides = {"blocks": [blocks.ActNorm(), blocks.ActNorm()], "columns": [0, [1, 2, 3]]}
    found["Blockwise"] = (compose.Blockwise, sides, _through(VECTOR))
    found["Repeat"] = (compose.Repeat, {"make_block": lambda: blocks.ActNorm(), "n": 2}, _through(VECTOR))
    found["Multiscale"] = (compose.Multiscale, {"levels": [blocks.Squeeze()]}, _through(IMAGE))
    for name, arguments in {
        "MLP": {"hidden": (4,), "out_channels": 2}, "LipschitzMLP": {"hidden": (4,), "out_channels": 2},
        "MaskedMLP": {"hidden": (4,), "out_channels": 2}, "SpectralDense": {"units": 2}, "LipSwish": {}, "ConcatLipSwish": {},
        "MaxMin": {}, "AngleFeatures": {}, "Clip": {}, "OrthogonalNet": {"hidden": 4, "out_channels": 2},
        "ResidualNet": {"hidden": 4, "out_channels": 2}, "SideBySide": {"networks": [nets.MLP((4,), out_channels=2)]},
    }.items():  # fmt: skip
        found[name] = (getattr(nets, name), arguments, lambda net: net(VECTOR))
    for name, arguments in {
        "ConvNet": {"hidden": 4, "out_channels": 2}, "SpectralConv2D": {"filters": 2, "kernel_size": 3},
        "ConditionPyramid": {"channels": 4, "levels": 1}, "Discriminator": {"widths": (4,)},
    }.items():  # fmt: skip
        found[name] = (getattr(nets, name), arguments, lambda net: net(IMAGE))
    for name in ("ExpScale", "SigmoidScale", "SoftplusScale"):
        found[name] = (getattr(numerics, name), {}, lambda s: s.log_scale(tf.constant([0.5])))
    of = {"of": numerics.SigmoidScale()}
    found["ReciprocalScale"] = (numerics.ReciprocalScale, of, lambda s: s.log_scale(tf.constant([0.5])))
    for name in ("PowerSeries", "RussianRoulette"):
        found[name] = (getattr(numerics, name), {}, lambda e: e(lambda x: 0.5 * x, tf.ones([2, 3]), seed=[1, 2]))
    for name in ("Geometric", "Poisson"):
        found[name] = (getattr(numerics, name), {}, lambda d: numerics.RussianRoulette(d))
    found["SplineTransform"] = (numerics.SplineTransform, {}, lambda t: blocks.MaskedAutoregressive(transformer=t))
    angles = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    use = lambda t: blocks.Coupling(transformer=t)(angles)  # noqa: E731
    found["CircularSplineTransform"] = (numerics.CircularSplineTransform, {}, use)
    found["SinhArcsinhTransform"] = (numerics.SinhArcsinhTransform, {}, use)
    found["CircularBase"] = (models.CircularBase, {"dim": 3}, lambda base: base.log_prob(np.zeros(3, np.float32)))
    found["AffineTransform"] = (numerics.AffineTransform, {}, lambda t: blocks.MaskedAutoregressive(transformer=t))
    found["SpectralNormCallback"] = (training.SpectralNormCallback, {}, lambda c: c)
    return found


def constructor_calls() -> Iterator[Call]:
    """All of them."""
    for name, (function, right, use) in made().items():
        signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
        for parameter in signature.parameters.values():
            if parameter.name == "self" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            for value in _wrong(parameter):
                if parameter.name in ("name", "autocast") or (parameter.name, str(value)) in {(n, str(v)) for n, v in MEANT}:
                    continue
                yield _call(name, function, right | {parameter.name: value}, use, f"{parameter.name}={value!r}")
        yield _call(name, function, right | {"no_such": 1}, use, "no_such=1")
        if isinstance(function, type) and issubclass(function, keras.layers.Layer):
            for key, value in (("dtype", "no_such"), ("dtype", 3.5), ("trainable", "yes"), ("name", 3)):
                yield _call(name, function, right | {key: value}, use, f"{key}={value!r}")


def _wrong(parameter: inspect.Parameter) -> list[Any]:
    kinds = parameter.annotation.replace(" ", "").split("|") if isinstance(parameter.annotation, str) else ["other"]
    known = [kind for kind in kinds if kind in WRONG] or ["other"]
    values = [value for kind in known for value in WRONG[kind]]
    if "None" in kinds or parameter.default is None:
        values = [value for value in values if value is not None]
    if "Any" in kinds or parameter.annotation is parameter.empty:
        values = [value for value in values if not isinstance(value, bool)]
    fine = {"int": int, "float": (int, float), "Limit": (int, float), "str": str, "bool": bool}
    types = tuple(t for kind in kinds if kind in fine for t in np.atleast_1d(fine[kind]))
    # A word where a number or a word is meant, and the like, is only wrong by its value.
    return [v for v in values if len(known) == 1 or not types or not isinstance(v, types) or v in ("no_such", -1)]


def _call(name: str, function: Callable, arguments: dict[str, Any], use: Callable, shown: str) -> Call:
    return Call(f"{name}({shown})", lambda: use(function(**arguments)))


def _through(x: np.ndarray) -> Callable[[Any], Any]:
    def use(block: Any) -> Any:
        z, log_det = block.forward_and_log_det(x)
        return block.inverse_and_log_det(z)[0], log_det

    return use


def _split(x: np.ndarray) -> Callable[[Any], Any]:
    return lambda split: blocks.AdditiveCoupling(split=split).forward_and_log_det(x)
