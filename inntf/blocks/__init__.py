"""Invertible families, one a file."""

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.asinh import Asinh
from inntf.blocks.autoregressive import MaskedAutoregressive
from inntf.blocks.bi_lipschitz import BiLipschitz
from inntf.blocks.bounded import Bounded
from inntf.blocks.continuous import ContinuousBlock
from inntf.blocks.continuous_solver import SolverNotFinished
from inntf.blocks.coupling import Coupling
from inntf.blocks.coupling_exact import ExactAdditiveCoupling
from inntf.blocks.coupling_two_sided import TwoSidedCoupling
from inntf.blocks.dequantize import Dequantize
from inntf.blocks.elementwise import Exp, LeakyReLU, Power, Softplus, Tanh
from inntf.blocks.from_bijector import FromBijector
from inntf.blocks.haar import Haar
from inntf.blocks.injective_padding import InjectivePadding
from inntf.blocks.inverse_certificate import InverseCertificate, InverseNotReached
from inntf.blocks.linear import InvertibleConv1x1, InvertibleLinear
from inntf.blocks.logit import Logit
from inntf.blocks.monotone import MonotoneBlock
from inntf.blocks.named_couplings import AdditiveCoupling, AffineCoupling, SplineCoupling
from inntf.blocks.orthogonal import OrthogonalLinear
from inntf.blocks.permutation import Permutation
from inntf.blocks.planar import Planar
from inntf.blocks.radial import Radial
from inntf.blocks.radial_tails import RadialTails
from inntf.blocks.rescale import Rescale
from inntf.blocks.residual import ResidualBlock
from inntf.blocks.snap_to_grid import SnapToGrid
from inntf.blocks.soft_tails import SoftTails
from inntf.blocks.splits import ChannelSplit, CheckerboardSplit, HalfSplit, IndexSplit, Split
from inntf.blocks.squeeze import Squeeze
from inntf.blocks.sylvester import Sylvester
from inntf.blocks.volume_preserving import VolumePreservingCoupling

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Asinh",
    "BiLipschitz",
    "Bounded",
    "ChannelSplit",
    "CheckerboardSplit",
    "ContinuousBlock",
    "Coupling",
    "Dequantize",
    "ExactAdditiveCoupling",
    "Exp",
    "FromBijector",
    "Haar",
    "HalfSplit",
    "IndexSplit",
    "InjectivePadding",
    "InverseCertificate",
    "InverseNotReached",
    "InvertibleConv1x1",
    "InvertibleLinear",
    "LeakyReLU",
    "Logit",
    "MaskedAutoregressive",
    "MonotoneBlock",
    "OrthogonalLinear",
    "Permutation",
    "Planar",
    "Power",
    "Radial",
    "RadialTails",
    "Rescale",
    "ResidualBlock",
    "SnapToGrid",
    "SoftTails",
    "Softplus",
    "SolverNotFinished",
    "SplineCoupling",
    "Split",
    "Squeeze",
    "Sylvester",
    "Tanh",
    "TwoSidedCoupling",
    "VolumePreservingCoupling",
]
