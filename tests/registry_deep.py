"""Deep compositions, only run after training: each family at depths 1, 8, 16 and 64, scanned and one after the other.

A `Chain` has the weights of the `Repeat` of its depth (`train_as`): the map that was trained is the same, and tracing 64 blocks
backwards is left out. Chains that are trained as such are in `tests/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from inntf import Block
from inntf.blocks import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    InvertibleLinear,
    MaskedAutoregressive,
    Permutation,
    ResidualBlock,
    SplineCoupling,
)
from inntf.compose import Chain, Repeat
from inntf.nets import MLP, LipschitzMLP, MaskedMLP
from tests.conformance.subject import Case

DEPTHS = (1, 8, 16, 64)
EVENT = (4,)


def mlp(dtype: str) -> MLP:
    return MLP((6,), activation="tanh", dtype=dtype)


def residual(dtype: str) -> ResidualBlock:
    return ResidualBlock(network=LipschitzMLP((6,), coefficient=0.6, dtype=dtype), dtype=dtype)


def masked(dtype: str) -> MaskedAutoregressive:
    return MaskedAutoregressive(conditioner=MaskedMLP(hidden=(6,), activation="tanh", dtype=dtype), dtype=dtype)


FAMILIES: dict[str, Callable[[str], list[Block]]] = {
    "affine": lambda d: [AffineCoupling(conditioner=mlp(d), dtype=d), Permutation.reverse(dtype=d)],
    "additive": lambda d: [AdditiveCoupling(conditioner=mlp(d), dtype=d), Permutation.reverse(dtype=d)],
    "spline": lambda d: [SplineCoupling(conditioner=mlp(d), num_bins=4, dtype=d), Permutation.reverse(dtype=d)],
    "residual": lambda d: [residual(d)],
    "autoregressive": lambda d: [masked(d), Permutation.reverse(dtype=d)],
    "mixed": lambda d: [
        InvertibleLinear(dtype=d),
        AffineCoupling(conditioner=mlp(d), dtype=d),
        residual(d),
        Permutation.reverse(dtype=d),
        SplineCoupling(conditioner=mlp(d), num_bins=4, dtype=d),
    ],
}
ITERATES = ("residual", "mixed")


def step(family: str, dtype: str) -> Chain:
    return Chain([ActNorm(dtype=dtype), *FAMILIES[family](dtype)], dtype=dtype)


def repeated(family: str, depth: int) -> Callable[[str], Block]:
    return lambda d: Repeat(lambda: step(family, d), depth, dtype=d)


def chained(family: str, depth: int) -> Callable[[str], Block]:
    return lambda d: Chain([step(family, d) for _ in range(depth)], dtype=d)


def _case(make: Callable, family: str, depth: int, train_as: str | None = None) -> Case:
    tolerance = 10.0 if family in ITERATES else 1.0
    return Case(make(family, depth), EVENT, tolerance=tolerance, train_as=train_as, rate=0.02 if depth == 1 else 0.005)


DEEP = {f"repeat-{f}-{n}": _case(repeated, f, n) for f in FAMILIES for n in DEPTHS} | {
    f"chain-{f}-{n}": _case(chained, f, n, f"repeat-{f}-{n}") for f in FAMILIES for n in DEPTHS
}
