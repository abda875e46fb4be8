"""The spectral norm of a 2x2 lower triangular matrix, from which coupling bounds follow."""

from __future__ import annotations

import math


def lower_triangular_norm(off_diagonal: float, scale: float) -> float:
    """Spectral norm of `[[1, 0], [off_diagonal, scale]]`.

    The Jacobian of a coupling has the blocks `[[I, 0], [M, D]]`; with `|M| <= off_diagonal` and `|D| <= scale` its
    norm is at most this one.  For `scale = 1` it equals `m/2 + sqrt(1 + m^2/4)`.

    Args:
        off_diagonal: bound `m >= 0` on the norm of the lower left block.
        scale: bound `c >= 0` on the norm of the lower right block.

    Returns:
        The norm; infinity if an argument is infinite.

    Source: inntf; largest eigenvalue of the 2x2 Gram matrix.

    Example:
        >>> lower_triangular_norm(0.0, 3.0)
        3.0
    """
    if math.isinf(off_diagonal) or math.isinf(scale):
        return math.inf
    trace = 1 + off_diagonal**2 + scale**2
    gap = math.sqrt(max((1 - scale**2 - off_diagonal**2) ** 2 + 4 * off_diagonal**2, 0.0))
    return math.sqrt((trace + gap) / 2)
