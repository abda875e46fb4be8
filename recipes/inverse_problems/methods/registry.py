"""The models of the benchmark by name; a user's own is named `module:Class` on the command line, or added here."""

from __future__ import annotations

from collections.abc import Callable

from recipes.common.named_classes import class_at
from recipes.inverse_problems.methods.autoencoders import Autoencoder, InvAuto
from recipes.inverse_problems.methods.conditional import ConditionalInn
from recipes.inverse_problems.methods.cvae import ConditionalVae
from recipes.inverse_problems.methods.decoders import ConditionalIaf, ConditionalMaf
from recipes.inverse_problems.methods.flow_matching import FlowMatching
from recipes.inverse_problems.methods.iresnet import IResNet, IResNetEnergy, IResNetMmd
from recipes.inverse_problems.methods.joint import IafDecoder, Inn, InnMmd, MafDecoder
from recipes.inverse_problems.methods.mdn import Mdn
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.methods.spline_maf import ConditionalSplineMaf

METHODS: dict[str, Callable[[int, int, int], Method]] = {
    "inn": Inn,
    "inn_mmd": InnMmd,
    "cinn": ConditionalInn,
    "iaf_decoder": ConditionalIaf,
    "maf_decoder": ConditionalMaf,
    "iaf_joint": IafDecoder,
    "maf_joint": MafDecoder,
    "iresnet": IResNet,
    "iresnet_mmd": IResNetMmd,
    "iresnet_energy": IResNetEnergy,
    "invauto": InvAuto,
    "autoencoder": Autoencoder,
    "cvae": ConditionalVae,
    "mdn": Mdn,
    "spline_maf": ConditionalSplineMaf,
    "flow_matching": FlowMatching,
}


def method_named(name: str) -> Callable[[int, int, int], Method]:
    """The class of a name in `METHODS`, or of `module:Class`.

    Raises:
        UserError: if there is none.
    """
    return METHODS[name] if name in METHODS else class_at(name, Method, "--methods")
