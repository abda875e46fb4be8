"""How stable a block is: certificates, singular values, reconstruction."""

from inntf.stability.maps import find_block
from inntf.stability.precision import float64_copy
from inntf.stability.reconstruction import (
    ErrorSummary,
    RepeatedReconstruction,
    reconstruction_error,
    repeated_reconstruction,
    summarize,
)
from inntf.stability.singular_values import SingularValues, condition_number, singular_values

__all__ = [
    "ErrorSummary",
    "RepeatedReconstruction",
    "SingularValues",
    "condition_number",
    "find_block",
    "float64_copy",
    "reconstruction_error",
    "repeated_reconstruction",
    "singular_values",
    "summarize",
]
