"""Invertible neural networks for TensorFlow whose inverse you can trust."""

import inntf._backend  # noqa: F401  (first: refuses a Keras backend other than TensorFlow)
from inntf import blocks, calibration, compose, core, models, nets, numerics, serving, stability, training
from inntf._version import __version__
from inntf.core import Block, LipschitzBounds
from inntf.models import Flow

__all__ = [
    "Block",
    "Flow",
    "LipschitzBounds",
    "__version__",
    "blocks",
    "calibration",
    "compose",
    "core",
    "models",
    "nets",
    "numerics",
    "serving",
    "stability",
    "training",
]
