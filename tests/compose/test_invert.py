"""A block the other way round: what the registry's cases do not see."""

from inntf.blocks import Rescale
from inntf.compose import Invert


def test_bounds_are_exchanged_built_or_not():
    block = Invert(Rescale(scale=2.0))
    for _ in range(2):
        bounds = block.lipschitz_bounds()
        assert (bounds.forward, bounds.inverse) == (0.5, 2.0)
        block.ensure_built((3,))
