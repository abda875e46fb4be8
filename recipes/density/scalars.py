"""What TensorBoard shows of a look: six numbers, each described, those that span decades as log10."""

from __future__ import annotations

import math
from collections.abc import Mapping

_SMALLEST = 1e-20  # zeros are drawn there

_LOGS = {
    "squared_error_per_pixel": "Test images, forward and back: mean of the squared differences, median over images; log10. "
    "One pixel level, 1/256, has -4.8; images are on [-1/2, 1/2].",
    "reconstruction_error": "Test images, forward and back: the largest l2 error of all, infinite if one is; log10. "
    "An image's norm is some units.",
    "condition_number": "Largest over smallest singular value of the Jacobian in float64, median over some test images; log10. "
    "Float32 has seven digits: from 5 on rounding alone can show.",
    "largest_singular_value": "Of the Jacobian at those images, the largest: how much the way to the latent stretches; log10.",
    "smallest_singular_value": "Of the Jacobian at those images, the smallest: the inverse stretches by one over it; log10.",
}
DESCRIPTIONS = {"test_bits_per_dim": "Bits per dimension of 8-bit test images; uniform noise has 8."}
DESCRIPTIONS |= {f"log10_{name}": text for name, text in _LOGS.items()}


def scalars(numbers: Mapping[str, float]) -> dict[str, float]:
    """Of a look's numbers.

    >>> scalars(dict.fromkeys([*_LOGS, "test_bits_per_dim"], 0.01))["log10_condition_number"]
    -2.0
    """
    return {"test_bits_per_dim": numbers["test_bits_per_dim"]} | {f"log10_{name}": _log10(numbers[name]) for name in _LOGS}


def _log10(value: float) -> float:
    return math.log10(max(value, _SMALLEST)) if math.isfinite(value) else value
