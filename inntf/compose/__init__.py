"""Compositions of blocks, each a block itself."""

from inntf.compose.backprop import backprop_mode
from inntf.compose.chain import Chain
from inntf.compose.multiscale import Multiscale
from inntf.compose.repeat import Repeat

__all__ = ["Chain", "Multiscale", "Repeat", "backprop_mode"]
