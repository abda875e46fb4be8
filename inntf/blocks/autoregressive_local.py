"""The autoregressive block in balls: its Jacobian at the centres, that of its inverse, and how far off they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks.coupling_local import close_where_finite
from inntf.blocks.entries_local import entries_in_balls
from inntf.core.local_maps import LocalMap, inverses
from inntf.nets.masked import MaskedMLP
from inntf.nets.masked_maps import masked_in_balls
from inntf.nets.slope_ranges import why_no_slopes
from inntf.numerics.norms.batched_norms import spectral_norms

_GUESSES = (1.2, 2.0, 5.0)  # of the slope in a ball, over that at its centre


def autoregressive_in_balls(block: Any, x: np.ndarray, radius: np.ndarray, condition: Any, inverse: bool) -> LocalMap | str:
    r"""$J = \mathrm{diag}(T') + \sum_k \mathrm{diag}(\partial_k T) V_k$ with the network's Jacobian `V`, triangular.

    That is the direction that takes one evaluation, `f`.  The other one takes a ball of radius `r` into one of radius `r K`,
    if `K` bounds its slope there: with $q = \|C^{-1}\|$ at the centre and $\|J - C\| \le e$ in the ball of radius $r K'$ round
    it, the slope is at most $K = q / (1 - q e)$; where $K \le K'$, no path of length `r` leaves that ball.  There
    $\|J^{-1} - C^{-1}\| \le q^2 e / (1 - q e)$.

    Args:
        block: a `MaskedAutoregressive`, built, in float64.
        x: centres, `(n, dim)`; of `z` if `inverse`.
        radius: `(n,)`.
        condition: one for each centre, or `None`.
        inverse: of the inverse map.

    Returns:
        A `LocalMap`; or, in words, what is not known.

    Source: inntf; perturbation of an inverse: Horn and Johnson, "Matrix Analysis" (2013), section 5.8.

    Example:
        >>> from inntf.blocks import MaskedAutoregressive
        >>> block = MaskedAutoregressive(dtype="float64").ensure_built((3,))
        >>> autoregressive_in_balls(block, np.zeros([1, 3]), np.full(1, 1e-6), None, True).deviation.tolist()[0] < 1e-3
        True
    """
    if type(block.conditioner) is not MaskedMLP:
        return f"{block.conditioner.name} ({type(block.conditioner).__name__}) is no network whose slopes are known"
    if unknown := why_no_slopes(block.conditioner.activation):
        return f"{block.conditioner.name}: {unknown}"
    n, dim = x.shape
    at_once = inverse == (block.reads == "latent")
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    back = block.forward_and_log_det if inverse else block.inverse_and_log_det
    image = way(tf.constant(x, tf.float64), condition)[0].numpy()
    read = x if at_once else image  # what the network reads
    each = block.transformer.parameters
    raw = [np.arange(dim) * each + k for k in range(each)]
    given = (read,) if condition is None else (read, condition)
    expected = block.conditioner(*given).numpy().reshape(n, -1)

    def analysed(radius: np.ndarray) -> LocalMap:
        net = masked_in_balls(block.conditioner, read, radius, condition)
        found = entries_in_balls(block.transformer, read, net, raw, radius, inverse=False, shared=True)
        jacobian = sum(m[:, :, None] * net.jacobian[:, k] for m, k in zip(found.by_raw, raw, strict=True))
        np.einsum("nii->ni", jacobian)[:] += found.own
        return LocalMap(net.value, jacobian, found.deviation)

    first = analysed(radius if at_once else np.zeros(n))
    if not close_where_finite(first.value, expected):
        return f"{block.conditioner.name} computes something else than its layers in turn"
    if at_once:
        return _or_globally(block, LocalMap(image, first.jacobian, first.deviation), inverse)
    # The centre is where `image` really goes, which is as far from `x` as it was lost by rounding.
    missed = np.linalg.norm(back(tf.constant(image), condition)[0].numpy() - x, axis=1)
    radius = (radius + missed) * (1 + 1e-9) + 1e-12 * (1 + np.abs(x).max(1))
    jacobian, deviation = inverses(first.jacobian), np.full(n, np.inf)
    q = spectral_norms(jacobian)
    for guess in _GUESSES:
        slope = q * guess
        for _ in range(2):  # once with a slope that may be one, then with the one that it gives
            inner = analysed(radius * np.where(np.isfinite(slope), slope, 1.0))
            turned = inverses(inner.jacobian)
            norm = spectral_norms(turned)
            # What is left after inverting counts as a deviation, too.
            part = norm * inner.deviation + spectral_norms(inner.jacobian @ turned - np.eye(dim)) + 1e-13 * dim
            with np.errstate(divide="ignore", invalid="ignore"):
                bound, moved = (np.where(part < 1, value / (1 - part), np.inf) for value in (norm, norm * part))
            holds = np.isfinite(slope) & (bound <= slope) & (moved < deviation)
            jacobian, deviation = np.where(holds[:, None, None], turned, jacobian), np.where(holds, moved, deviation)
            slope = np.where(holds, bound, np.inf)
        if np.isfinite(deviation).all():
            break
    error = np.where(missed > 0, (spectral_norms(jacobian) + deviation) * missed, 0.0)
    return _or_globally(block, LocalMap(image, jacobian, deviation, error=error), inverse)


def _or_globally(block: Any, found: LocalMap, inverse: bool) -> LocalMap:
    """With the global bound where nothing is known of a ball, if there is one."""
    unknown = ~np.isfinite(found.deviation)
    if not unknown.any():
        return found
    bounds = block.lipschitz_bounds()
    bound = bounds.inverse if inverse else bounds.forward
    jacobian, reason = found.jacobian, f"{block.name}: its Jacobian can change too much in a ball"
    if np.isfinite(bound):
        jacobian = np.where(unknown[:, None, None], 0.0, jacobian)
    error = np.where(unknown & np.isinf(found.error), bound, found.error)
    return LocalMap(found.value, jacobian, np.where(unknown, bound, found.deviation), reason, error=error)
