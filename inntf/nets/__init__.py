"""Networks inside blocks: conditioners and Lipschitz-bounded layers.  Not invertible themselves."""

from inntf.nets.activations import LipSwish, MaxMin, activation_lipschitz, lip_swish, max_min
from inntf.nets.convnet import ConvNet
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.mlp import MLP

__all__ = [
    "MLP",
    "ConvNet",
    "LipSwish",
    "MaxMin",
    "activation_lipschitz",
    "lip_swish",
    "lipschitz_constant",
    "max_min",
]
