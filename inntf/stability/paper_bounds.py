"""Lipschitz bounds of blocks by the formulas of the paper, beside ours."""

from __future__ import annotations

import math

from inntf.blocks import (
    ActNorm,
    ContinuousBlock,
    Coupling,
    InvertibleConv1x1,
    InvertibleLinear,
    Permutation,
    ResidualBlock,
    Squeeze,
)
from inntf.core import Block, LipschitzBounds
from inntf.core.boxes import Box, largest_magnitude
from inntf.core.upper_bounds import upper_exp, upper_product, upper_reciprocal
from inntf.nets.dense_chains import parts_in_turn
from inntf.nets.lipschitz import lipschitz_constant, product
from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.scales import ReciprocalScale


def paper_bounds(block: Block, domain: Box | None = None, image: Box | None = None) -> LipschitzBounds | None:
    r"""The row of the paper's Table 1 for a block.

    | block | forward | inverse |
    |---|---|---|
    | additive coupling | $1 + L$ | $1 + L$ |
    | affine coupling, on a box | $\max(1, c_g) + M$ | $\max(1, c_{1/g}) + M^*$ |
    | residual block | $1 + L$ | $1 / (1 - L)$ |
    | neural ODE | $e^L$ | $e^L$ |
    | squeeze, permutation | 1 | 1 |
    | ActNorm, 1x1 convolution | $\|W\|$ | $\|W^{-1}\|$ |

    Here $M = \max(|a|, |b|)\, c_{g'} L + L$ with data in $[a, b]$, and
    $M^* = \max(|a^*|, |b^*|)\, c_{(1/g)'} L + c_{(1/g)'} L\, c_t + c_{1/g} L$ with latents in $[a^*, b^*]$ and shifts up to
    $c_t$ (from both boxes).  `L` is the product of the norms of the network's layers (the paper's eq. 2), which bounds shift
    and scale alike.

    Args:
        block: built.
        domain: `(low, high)`, a box that the data lie in, or `None`.
        image: a box that their latents lie in, `block.image_box(domain)`.

    Returns:
        The bounds; infinite for an affine coupling without a box; `None` for blocks that the table does not have.

    Source: "On the Invertibility of Invertible Neural Networks", Table 1 and equation 2.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> from inntf.nets import MLP
        >>> block = AdditiveCoupling(conditioner=MLP((8,))).ensure_built((4,))
        >>> tuple(paper_bounds(block))  # its last layer is zero at the start
        (1.0, 1.0)
    """
    kind = type(block)
    if not block.built:
        return None
    if kind in (Permutation, Squeeze):
        return LipschitzBounds(1.0, 1.0)
    if kind in (ActNorm, InvertibleLinear, InvertibleConv1x1):
        return block.lipschitz_bounds()
    if kind is ResidualBlock:
        lipschitz = norms_multiplied(block.network)
        return LipschitzBounds(1 + lipschitz, upper_reciprocal(1 - lipschitz) if lipschitz < 1 else math.inf)
    if kind is ContinuousBlock:
        bound = upper_exp(norms_multiplied(block.dynamics))
        return LipschitzBounds(bound, bound)
    if isinstance(block, Coupling) and kind.lipschitz_bounds is Coupling.lipschitz_bounds:
        return _coupling(block, domain, image)
    return None


def norms_multiplied(network: object) -> float:
    """The product of the norms of a network's layers, whose activations do not stretch; infinite where one is not known."""
    return product(lipschitz_constant(part) for part in parts_in_turn([network]))[0]


def _coupling(block: Coupling, domain: Box | None, image: Box | None) -> LipschitzBounds | None:
    kind = type(block.transformer)
    if kind is AffineTransform and domain is None:
        return LipschitzBounds(math.inf, math.inf, reason="an affine coupling has bounds on a box alone")
    if kind not in (ShiftTransform, AffineTransform):
        return None
    lipschitz = norms_multiplied(block.conditioner)
    if kind is ShiftTransform or domain is None:
        return LipschitzBounds(1 + lipschitz, 1 + lipschitz)
    scale, divided = block.transformer.scale, ReciprocalScale(block.transformer.scale)  # type: ignore[attr-defined]
    magnitude = largest_magnitude(domain)
    by_scale = upper_product(scale.lipschitz, lipschitz)
    forward = max(1.0, scale.high) + upper_product(magnitude, by_scale) + lipschitz
    latent = math.inf if image is None else largest_magnitude(image)
    shift = latent + upper_product(scale.high, magnitude)  # what is no scaled entry of the data
    by_scale = upper_product(divided.lipschitz, lipschitz)
    inverse = max(1.0, divided.high) + upper_product(latent + shift, by_scale) + upper_product(divided.high, lipschitz)
    return LipschitzBounds(forward, inverse, "local")
