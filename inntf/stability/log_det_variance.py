"""Where a random log-determinant may have an infinite variance."""

from __future__ import annotations

from inntf.core import Block
from inntf.nets.lipschitz import lipschitz_constant
from inntf.numerics.log_dets import RussianRoulette


def infinite_variances(block: Block) -> list[str]:
    """A sentence for each residual block inside whose estimator may have an infinite variance, by its certified constant.

    Args:
        block: a built block.

    Returns:
        The sentences; none where all variances are finite or nothing is random.

    Source: Chen et al., "Residual Flows for Invertible Generative Modeling" (2019), section 3.2; the criterion is that of
    `RussianRoulette.variance_warning`.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> infinite_variances(ActNorm().ensure_built((2,)))
        []
    """
    found: list[str] = []

    def look(part: Block) -> None:
        estimator = getattr(part, "log_det", None)
        if isinstance(estimator, RussianRoulette) and part.built:
            sentence = estimator.variance_warning(lipschitz_constant(part.network)[0])
            found.extend([f"{part.name}: {sentence}"] if sentence else [])

    for layer in block._flatten_layers():
        if isinstance(layer, Block):
            look(layer)
            layer.for_each_inner_block(look)
    return list(dict.fromkeys(found))
