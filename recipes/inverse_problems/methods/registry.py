"""The models of the benchmark by name; a user's own is named `module:Class` on the command line, or added here."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from recipes.common.errors import UserError
from recipes.inverse_problems.methods.autoencoders import Autoencoder, InvAuto
from recipes.inverse_problems.methods.conditional import ConditionalInn
from recipes.inverse_problems.methods.cvae import ConditionalVae
from recipes.inverse_problems.methods.decoders import ConditionalIaf, ConditionalMaf
from recipes.inverse_problems.methods.flow_matching import FlowMatching
from recipes.inverse_problems.methods.joint import IafDecoder, Inn, InnMmd, IResNet, IResNetMmd, MafDecoder
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
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute) if colon else None
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--methods: received {name!r}, which cannot be imported ({error})") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(
            f"--methods: received {name!r}, expected one of {', '.join(METHODS)}, or module:Class of a Method",
            remedy="A class of your own inherits from recipes.inverse_problems.methods.method.Method.",
        )
    return found
