"""Settings of `python -m recipes.checkerboard`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.ranges import BatchSize, Contraction, Depth, Length, Rate, Steps, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Learn a checkerboard with three flows, and map where each can be inverted."""

    dataset: Literal["checkerboard"] = "checkerboard"
    """Drawn anew every step; --data-dir is not used."""
    model: Literal["all", "affine_sigmoid", "affine_half", "residual"] = "all"
    """affine_sigmoid: scale in (0, 1); affine_half: scale in (0.5, 1); residual: residual flow."""
    blocks_affine: Depth = 70
    """Blocks of the affine flows, of two couplings each, with exchanged roles."""
    blocks_residual: Depth = 40
    """Blocks of the residual flow."""
    hidden_affine: Annotated[tuple[Width, ...], Length(1, 8)] = (64, 64, 64)
    """Widths of the couplings' networks."""
    hidden_residual: Annotated[tuple[Width, ...], Length(1, 8)] = (128,)
    """Widths of the residual blocks' networks."""
    coefficient: Contraction = 0.8
    """Largest spectral norm of each linear layer of the residual flow."""
    power_iterations: Annotated[int, Within(1, 1000)] = 5
    """Power iterations of each spectral norm after every step."""
    batch_size: BatchSize = 500
    """Samples a step."""
    steps_affine: Steps = 1000
    """Steps of each affine flow."""
    steps_residual: Steps = 1500
    """Steps of the residual flow."""
    rate_affine: Rate = 5e-3
    """Learning rate of the affine flows (Adam) at its highest."""
    rate_residual: Rate = 1e-2
    """Learning rate of the residual flow (Adam) at its highest."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate: constant, or up from zero over the first twentieth of the steps and down again by a half cosine."""
    clip_norm: Annotated[float, Within(1e-6, 1e9)] | None = 1.0
    """Largest norm of a gradient over all weights, None for none: a deep affine flow has spikes that throw it far back."""
    test_samples: Annotated[int, Within(2, 10**6)] = 20_000
    """Samples of the test likelihood."""
    log_every: Steps = 100
    """Steps between summaries, checkpoints and looks at the inverse."""
    grid_step: Annotated[float, Within(0.01, 4)] = 0.1
    """Distance of the grid's points on [-8, 8]^2 (0.05 in the paper)."""


_SMOKE = Config(
    blocks_affine=2,
    blocks_residual=2,
    hidden_affine=(16, 16),
    hidden_residual=(16, 16),
    batch_size=100,
    steps_affine=20,
    steps_residual=20,
    test_samples=1000,
    log_every=10,
    grid_step=0.5,
)
_PAPER = Config(
    blocks_affine=100,
    blocks_residual=100,
    hidden_affine=(128, 128, 128, 128),
    hidden_residual=(128, 128, 128, 128),
    steps_affine=50_000,
    steps_residual=50_000,
    rate_affine=1e-3,
    rate_residual=1e-3,
    schedule="constant",
    clip_norm=None,
    log_every=1000,
    grid_step=0.05,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
