"""The Glow of the regression."""

from __future__ import annotations

from inntf.blocks import ActNorm, AffineCoupling, Permutation
from inntf.compose import Chain, Repeat
from inntf.models import Flow
from inntf.nets import MLP
from inntf.numerics import SigmoidScale
from recipes.toy_regression.settings import Config


def make_flow(config: Config, name: str) -> Flow:
    """ActNorm, reverse permutation, affine coupling with a scale of `sigmoid(. + 2)`, again and again; in one scan."""

    def step() -> Chain:
        coupling = AffineCoupling(conditioner=MLP(config.hidden, activation="relu"), scale=SigmoidScale())
        return Chain([ActNorm(), Permutation.reverse(), coupling])

    return Flow(Repeat(step, config.depth), event_shape=2, name=name)
