"""The contract: `Block`, and what makes it two things at once."""

from inntf.core.block import Block
from inntf.core.bounds import LipschitzBounds

__all__ = ["Block", "LipschitzBounds"]
