"""Compositions of blocks, each a block itself."""

from inntf.compose.backprop import backprop_mode
from inntf.compose.blockwise import Blockwise
from inntf.compose.chain import Chain
from inntf.compose.drift import worst_drift
from inntf.compose.invert import Invert
from inntf.compose.multiscale import Multiscale
from inntf.compose.repeat import Repeat

__all__ = ["Blockwise", "Chain", "Invert", "Multiscale", "Repeat", "backprop_mode", "worst_drift"]
