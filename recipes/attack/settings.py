"""Settings of `python -m recipes.attack`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.numbers import tenth
from recipes.common.ranges import BatchSize, Contraction, Depth, Images, Length, Rate, Steps, Weight, Width, Within

Model = Literal["affine_sigmoid", "affine_half", "residual"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train flows by maximum likelihood, and search the data's dequantization bins for images that they lose."""

    models: Annotated[tuple[Model, ...], Length(1, 3)] = ("affine_sigmoid", "affine_half", "residual")
    """affine_sigmoid: scales in (0, 1); affine_half: scales in (0.5, 1); residual: a residual flow."""
    size: Annotated[int, Within(4, 256)] | None = 16
    """Side to which images are shrunk by averaging; None leaves them as they are."""
    bits: Annotated[int, Within(1, 8)] = 5
    """Bits to which pixels are rounded before the noise is added."""
    logit: Annotated[float, Within(1e-6, 0.49)] = 0.05
    """Margin of the logit in front of the flows."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes, each followed by blocks; nothing is factored out."""
    depth_affine: Depth = 32
    """Couplings per level of the affine flows."""
    depth_residual: Depth = 4
    """Residual blocks per level."""
    hidden_affine: Width = 16
    """Hidden channels of the couplings' networks."""
    hidden_residual: Width = 16
    """Hidden channels of the residual blocks' networks."""
    mixing: Literal["conv1x1", "shuffle", "reverse"] = "conv1x1"
    """Between the couplings: a learned convolution, a fixed order of the channels, or the reverse one (the paper)."""
    dense_end: Annotated[int, Within(0, 100)] = 0
    """Further blocks in the end, whose networks see whole images (4 in the paper)."""
    hidden_dense: Width = 128
    """Width of their networks."""
    activation: Literal["lip_swish", "concat_lip_swish"] = "concat_lip_swish"
    """Of the residual blocks' networks (lip_swish in the paper)."""
    coefficient: Contraction = 0.98
    """Largest spectral norm of each layer of the residual flow."""
    exact_terms: Annotated[int, Within(0, 100)] = 2
    """Terms of its log-determinants that always count (8 in the paper); the estimates are unbiased with any number."""
    batch_size: BatchSize = 32
    """Images per step."""
    steps_affine: Steps = 3000
    """Steps of each affine flow."""
    steps_residual: Steps = 300
    """Steps of the residual flow."""
    rate_affine: Rate = 2e-2
    """Highest learning rate of the affine flows (Adamax)."""
    rate_residual: Rate = 1e-2
    """Highest learning rate of the residual flow (Adam)."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate: up over the first twentieth of the steps and down by half a cosine, or up and constant (the paper)."""
    warm_up: Annotated[int, Within(1, 10**6)] = 50
    """Steps before a constant rate is reached."""
    clip_norm: Annotated[float, Within(1e-6, 1e9)] | None = 100.0
    """Largest norm of a gradient over all weights, None for none."""
    log_every: Steps | None = None
    """Steps between looks and checkpoints; None for a tenth of each training."""
    attacked: Images = 4
    """Training images that are attacked."""
    attack_steps: Steps = 200
    """Steps of the attack."""
    step_size: Annotated[float, Within(0, 1, above=True)] = 5e-4
    """Length of a step, in each pixel, on the scale [0, 1]."""
    starts: Annotated[int, Within(1, 1000)] = 2
    """Searches an image: the first from the centre of its bin, the others from uniform points of it."""
    latent_noise: Weight = 0.0
    """Noise in the latent that the attack climbs with, over its size; 0 is the papers' attack."""
    test_images: Images = 1000
    """The most test images of the likelihood."""
    unlike: Images = 100
    """Images of each kind of noise, and of the test set beside them."""
    passes: Annotated[int, Within(1, 100)] = 9
    """Passes forward and back through them."""
    certified: Images = 1
    """Attacked images round which the inverse is certified in balls."""
    ball: Annotated[float, Within(0, 1e3, above=True)] = 1e-3
    """Radius of the balls, l2, in the latent."""
    ball_points: Annotated[int, Within(1, 10**4)] = 2
    """Points of each ball at which the slope is measured."""

    def steps(self, name: str) -> int:
        """Of a model's training."""
        return self.steps_residual if name == "residual" else self.steps_affine

    def between_looks(self, name: str) -> int:
        """Steps from one look at a model's training to the next."""
        return self.log_every or tenth(self.steps(name))

    def check_together(self) -> None:
        """No model twice; images that are there."""
        if len(set(self.models)) < len(self.models):
            raise UserError(f"--models: received {', '.join(self.models)}, expected no two alike")
        if self.size is not None and self.size % 2**self.levels:
            raise UserError(
                f"--size: received {self.size}, expected a multiple of {2**self.levels} for --levels {self.levels}",
                remedy="Or fewer levels.",
            )
        if self.certified > self.attacked:
            raise UserError(f"--certified: received {self.certified}, expected at most --attacked, which is {self.attacked}")


_SMOKE = Config(
    models=("affine_sigmoid", "residual"),
    size=8,
    levels=1,
    depth_affine=2,
    depth_residual=1,
    hidden_affine=8,
    hidden_residual=8,
    batch_size=16,
    steps_affine=4,
    steps_residual=4,
    warm_up=1,
    log_every=2,
    attacked=2,
    attack_steps=4,
    starts=2,
    test_images=32,
    unlike=8,
    passes=2,
    certified=1,
    ball_points=2,
)
_PAPER = Config(
    size=None,
    levels=4,
    depth_affine=16,
    depth_residual=16,
    hidden_affine=512,
    hidden_residual=512,
    mixing="reverse",
    dense_end=4,
    activation="lip_swish",
    exact_terms=8,
    batch_size=64,
    steps_affine=100_000,
    steps_residual=100_000,
    rate_affine=1e-3,
    rate_residual=1e-3,
    schedule="constant",
    warm_up=1000,
    clip_norm=1.0,
    log_every=1000,
    attacked=6,
    starts=1,
    test_images=10_000,
    unlike=10_000,
    certified=1,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
