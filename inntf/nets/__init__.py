"""Networks inside blocks: conditioners and Lipschitz-bounded layers.  Not invertible themselves."""

from inntf.nets.convnet import ConvNet
from inntf.nets.mlp import MLP

__all__ = ["ConvNet", "MLP"]
