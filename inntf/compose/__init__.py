"""Compositions of blocks, each a block itself."""

from inntf.compose.chain import Chain

__all__ = ["Chain"]
