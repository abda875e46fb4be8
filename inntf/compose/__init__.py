"""Compositions of blocks, each a block itself."""

from inntf.compose.chain import Chain
from inntf.compose.multiscale import Multiscale

__all__ = ["Chain", "Multiscale"]
