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
        The norm, `(hypot(m, 1 + c) + hypot(m, 1 - c)) / 2`; infinity if an argument is not finite, or beyond float range.

    Source: inntf; `s_1 + s_2` and `s_1 - s_2` from the trace and the determinant of the 2x2 Gram matrix.

    Example:
        >>> lower_triangular_norm(0.0, 3.0)
        3.0
    """
    if not (math.isfinite(off_diagonal) and math.isfinite(scale)):
        return math.inf
    # Trace and determinant of the Gram matrix as sum and difference of the two singular values: no square, so no overflow.
    return math.hypot(off_diagonal, 1 + scale) / 2 + math.hypot(off_diagonal, 1 - scale) / 2
