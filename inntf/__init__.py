"""Invertible neural networks for TensorFlow whose inverse you can trust."""

import inntf._backend  # noqa: F401  (first: refuses a Keras backend other than TensorFlow)
from inntf._version import __version__
from inntf.core import Block, LipschitzBounds

__all__ = ["Block", "LipschitzBounds", "__version__"]
