"""Invertible families, one a file."""

from inntf.blocks.actnorm import ActNorm
from inntf.blocks.coupling import AdditiveCoupling, AffineCoupling
from inntf.blocks.coupling_two_sided import TwoSidedCoupling
from inntf.blocks.linear import InvertibleConv1x1, InvertibleLinear
from inntf.blocks.permutation import Permutation
from inntf.blocks.splits import ChannelSplit, CheckerboardSplit, HalfSplit, IndexSplit, Split

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "ChannelSplit",
    "CheckerboardSplit",
    "HalfSplit",
    "IndexSplit",
    "InvertibleConv1x1",
    "InvertibleLinear",
    "Permutation",
    "Split",
    "TwoSidedCoupling",
]
