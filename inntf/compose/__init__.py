"""Compositions of blocks, each a block itself."""

from inntf.compose.chain import Chain
from inntf.compose.multiscale import Multiscale
from inntf.compose.repeat import Repeat

__all__ = ["Chain", "Multiscale", "Repeat"]
