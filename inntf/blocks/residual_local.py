"""The residual block in balls: its Jacobian at the centres, that of its inverse, and how far they can be elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks.coupling_local import close_where_finite
from inntf.core.local_maps import LocalMap, inverses
from inntf.nets.conditioning import merge_condition
from inntf.nets.linear_maps import linear_maps
from inntf.nets.local_network import local_network
from inntf.numerics.norms.batched_norms import spectral_norms


def residual_in_balls(block: Any, x: np.ndarray, radius: np.ndarray, condition: Any, inverse: bool) -> LocalMap | str:
    r"""$I + V$ with the Jacobian `V` of the network; of the inverse $(I + V)^{-1}$.

    A ball of radius `r` round `z` comes from one of radius `r K` round `x`, where `K` bounds the slope of the inverse: first
    the global bound, then what it gives in that ball, $q / (1 - q e)$ with $q = \|(I + C)^{-1}\|$ and $\|V - C\| \le e$.  There
    $\|(I + V)^{-1} - (I + C)^{-1}\| \le q^2 e / (1 - q e)$.  A branch that is no contraction has no inverse that is known.

    Args:
        block: a `ResidualBlock`, built, in float64.
        x: centres, `(n, *event)`; of `z` if `inverse`.
        radius: `(n,)`.
        condition: one for each centre, or `None`.
        inverse: of the inverse map.

    Returns:
        A `LocalMap`; or, in words, what is not known of the network.

    Source: inntf; perturbation of an inverse: Horn and Johnson, "Matrix Analysis" (2013), section 5.8.

    Example:
        >>> from inntf.blocks import ResidualBlock
        >>> block = ResidualBlock(dtype="float64").ensure_built((3,))
        >>> residual_in_balls(block, np.zeros([1, 3]), np.full(1, 1e-6), None, False).deviation.tolist()[0] < 1e-3
        True
    """
    n, size = len(x), math.prod(x.shape[1:])
    start = tf.constant(x, tf.float64)
    value, error = start, np.zeros(n)
    bounds = block.lipschitz_bounds()
    if inverse and not np.isfinite(bounds.inverse):  # no contraction: the block refuses to be inverted
        return LocalMap(np.full(x.shape, np.nan), np.full([n, size, size], np.nan), np.full(n, np.inf), bounds.reason)
    if inverse:
        value, _, certificate = block.inverse_with_certificate(start, condition)
        error = certificate.error_bound.numpy().reshape(n)
    seen = merge_condition(block, value, condition)
    maps, unknown = linear_maps(block.network, tuple(seen.shape[1:]))
    if unknown:
        return unknown
    if seen.shape != value.shape:
        return f"{block.name} is conditional"
    centre = value.numpy().reshape(n, size)

    def analysed(radius: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        net = local_network(maps, centre, radius)
        return block.sign * net.value, np.eye(size) + block.sign * net.jacobian, net.deviation

    if not inverse:
        branch, jacobian, deviation = analysed(radius)
    else:
        slope = bounds.inverse
        for _ in range(2):
            branch, matrix, deviation = analysed(radius * slope * (1 + 1e-9) + error)
            jacobian = inverses(matrix)
            q = spectral_norms(jacobian)
            # What is left after inverting counts as a deviation, too.
            left = spectral_norms(matrix @ jacobian - np.eye(size))
            slope = np.minimum(slope, _over(q, q * deviation + left))
        deviation = _over(q * (q * deviation + left), q * deviation + left)
    if not close_where_finite(branch, block.branch(value, condition).numpy().reshape(n, size)):
        return f"{block.network.name} computes something else than its layers in turn"
    image = value.numpy() if inverse else value.numpy() + branch.reshape(x.shape)
    return LocalMap(image, jacobian, deviation, bound=bounds.inverse if inverse else bounds.forward, error=error)


def _over(value: np.ndarray, part: np.ndarray) -> np.ndarray:
    """`value / (1 - part)`, infinite where `part` reaches 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(part < 1, value / (1 - part), np.inf)
