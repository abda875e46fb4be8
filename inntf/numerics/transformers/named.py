"""From what a user passes as `transformer=` to a transformer."""

from __future__ import annotations

from typing import Any

from inntf.core.errors import explain
from inntf.numerics.transformers.affine import AffineTransform, ShiftTransform
from inntf.numerics.transformers.scales import Scale
from inntf.numerics.transformers.spline import SplineTransform
from inntf.numerics.transformers.transformer import Transformer

_NAMED = {"shift": ShiftTransform, "affine": AffineTransform, "spline": SplineTransform}


def make_transformer(owner: str, transformer: Any) -> Transformer:
    """The transformer that a user means by a name, a `Scale` (an affine one with it) or a `Transformer`.

    Args:
        owner: who asks, for the message.
        transformer: `"shift"`, `"affine"`, `"spline"`, a `Scale`, or a `Transformer`.

    Returns:
        The transformer.

    Raises:
        ValueError: for an unknown name; TypeError: for anything else.

    Source: inntf.

    Example:
        >>> make_transformer("block", "spline")
        SplineTransform(num_bins=8, bound=3.0, tails='identity')
    """
    if isinstance(transformer, Transformer):
        return transformer
    if isinstance(transformer, Scale):
        return AffineTransform(transformer)
    if isinstance(transformer, str) and transformer in _NAMED:
        return _NAMED[transformer]()
    error = ValueError if isinstance(transformer, str) else TypeError
    raise error(
        explain(
            owner,
            received=f"transformer={transformer!r}",
            expected=f"one of {sorted(_NAMED)}, a Scale or a Transformer",
            remedy="For example inntf.numerics.SplineTransform(num_bins=4, bound=5.0).",
        )
    )
