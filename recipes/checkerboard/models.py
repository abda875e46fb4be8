"""The three flows of the checkerboard experiment: two of affine couplings, one of residual blocks."""

from __future__ import annotations

from inntf.blocks import AffineCoupling, ChannelSplit
from inntf.compose import Chain, Repeat
from inntf.models import Flow, residual_flow
from inntf.nets import MLP
from inntf.numerics import SigmoidScale
from recipes.checkerboard.settings import Config

NAMES = ("affine_sigmoid", "affine_half", "residual")
LABELS = {
    "affine_sigmoid": "affine, scale in (0, 1)",
    "affine_half": "affine, scale in (0.5, 1)",
    "residual": "residual flow",
}


def make_flow(name: str, config: Config) -> Flow:
    """One of the three, built; its weights depend on Keras' seed."""
    if name == "residual":
        return residual_flow(
            event_shape=2,
            depth=config.blocks_residual,
            hidden=config.hidden_residual,
            coefficient=config.coefficient,
            log_det="exact",
            actnorm=False,
            max_iterations=config.power_iterations,
            name="residual",
        )
    scale = SigmoidScale(low=0.5 if name == "affine_half" else 0.0)

    def coupling(swap: bool) -> AffineCoupling:
        # Nothing starts at zero, as in the paper: a coupling is no identity at the start.
        network = MLP(config.hidden_affine, activation="silu", zero_last=False)
        return AffineCoupling(conditioner=network, scale=scale, split=ChannelSplit(swap=swap))

    return Flow(Repeat(lambda: Chain([coupling(False), coupling(True)]), config.blocks_affine), event_shape=2, name=name)
