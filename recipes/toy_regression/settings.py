"""Settings of `python -m recipes.toy_regression`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import Depth, Length, Rate, Steps, Weight, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Learn (x1, x2) -> (0, x2) with and without the flow loss, and measure the inverse."""

    dataset: Literal["gaussian_pairs"] = "gaussian_pairs"
    """Drawn by the seed; --data-dir is not used."""
    coefficients: Annotated[tuple[Weight, ...], Length(1, 8)] = (1e-8, 1e-6)
    """Of the flow loss, a model each; one without it is trained before them."""
    points: Annotated[int, Within(2, 10**6)] = 500
    """Pairs of input and target; every step sees all of them (10,000 in the paper)."""
    depth: Depth = 24
    """Steps of the Glow: ActNorm, reverse permutation, affine coupling."""
    hidden: Annotated[tuple[Width, ...], Length(1, 8)] = (10, 10)
    """Widths of the couplings' networks (10, 10 in the released code; 128, 128 in the supplement)."""
    steps: Steps = 4000
    """Steps of each model."""
    rate: Rate = 6e-3
    """Learning rate (Adam), constant."""
    adam_epsilon: Annotated[float, Within(1e-12, 1)] = 1e-8
    """Adam's epsilon, that of PyTorch: gradients of a lost direction are smaller than Keras' 1e-7."""
    xla: bool = True
    """Whether steps are compiled by XLA: half a minute once, several times faster from then on."""
    log_every: Steps = 200
    """Steps between summaries, checkpoints and looks at the inverse."""

    def check_together(self) -> None:
        """The first model is the one without a regularizer."""
        if 0.0 in self.coefficients or len(set(self.coefficients)) < len(self.coefficients):
            raise UserError(
                f"--coefficients: received {self.coefficients}, expected different numbers above 0",
                remedy="A model without the flow loss is trained anyway.",
            )


_SMOKE = Config(coefficients=(1e-6,), points=100, depth=3, hidden=(4, 4), steps=20, xla=False, log_every=10)
_PAPER = Config(coefficients=(1e-8,), points=10_000, hidden=(128, 128), steps=40_000, rate=1e-4, log_every=200)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
