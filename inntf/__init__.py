"""Invertible neural networks for TensorFlow whose inverse you can trust."""

from inntf._version import __version__
from inntf.core import Block, LipschitzBounds

__all__ = ["Block", "LipschitzBounds", "__version__"]
