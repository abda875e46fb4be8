"""Networks inside blocks: conditioners and Lipschitz-bounded layers.  Not invertible themselves."""

from inntf.nets.activations import LipSwish, MaxMin, activation_lipschitz, lip_swish, max_min
from inntf.nets.angle_features import AngleFeatures
from inntf.nets.clip import Clip
from inntf.nets.concat_lip_swish import ConcatLipSwish, concat_lip_swish
from inntf.nets.convnet import ConvNet
from inntf.nets.discriminator import Discriminator
from inntf.nets.flat_mlp import FlatMLP
from inntf.nets.lipschitz import lipschitz_constant
from inntf.nets.lipschitz_mlp import LipschitzMLP
from inntf.nets.lipschitz_tensor import lipschitz_tensor
from inntf.nets.masked import MaskedMLP
from inntf.nets.mlp import MLP
from inntf.nets.norms import certify_norms, spectral_layers, update_norms
from inntf.nets.orthogonal_net import OrthogonalNet
from inntf.nets.pyramid import ConditionPyramid
from inntf.nets.residual_net import ResidualNet
from inntf.nets.side_by_side import SideBySide
from inntf.nets.spectral_conv import SpectralConv2D
from inntf.nets.spectral_dense import SpectralDense
from inntf.nets.spectral_layer import SpectralLayer
from inntf.nets.whole_batch_normalization import WholeBatchNormalization

__all__ = [
    "MLP",
    "AngleFeatures",
    "Clip",
    "ConcatLipSwish",
    "ConditionPyramid",
    "ConvNet",
    "Discriminator",
    "FlatMLP",
    "LipSwish",
    "LipschitzMLP",
    "MaskedMLP",
    "MaxMin",
    "OrthogonalNet",
    "ResidualNet",
    "SideBySide",
    "SpectralConv2D",
    "SpectralDense",
    "SpectralLayer",
    "WholeBatchNormalization",
    "activation_lipschitz",
    "certify_norms",
    "concat_lip_swish",
    "lip_swish",
    "lipschitz_constant",
    "lipschitz_tensor",
    "max_min",
    "spectral_layers",
    "update_norms",
]
