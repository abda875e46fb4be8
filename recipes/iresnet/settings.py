"""Settings of `python -m recipes.iresnet`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import BatchSize, Contraction, Depth, Images, Length, Rate, Steps, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Classify with invertible residual networks, and compare residual flows with affine couplings."""

    task: Literal["all", "classify", "density", "toys"] = "all"
    """all: the three one after the other."""
    coefficients: Annotated[tuple[Contraction, ...], Length(1, 20)] = (0.5, 0.7, 0.9)
    """Largest spectral norms of a convolution in the classifiers; the twin without constraint comes with them."""
    blocks: Annotated[tuple[Depth, ...], Length(1, 5)] = (2, 2, 2)
    """Residual blocks per stage of the classifier."""
    hidden: Annotated[tuple[Width, ...], Length(1, 5)] = (24, 24, 24)
    """Hidden channels of their networks, a number per stage."""
    channels: Width = 16
    """Channels of the first stage; what the image lacks is padded with zeros."""
    squeeze_first: bool = True
    """Whether to halve the resolution before the first stage (not in the paper)."""
    activation: Literal["elu", "max_min", "lip_swish"] = "max_min"
    """Of the classifiers' residual networks (elu in the paper)."""
    batch_size: BatchSize = 64
    """Images a step of the classifiers."""
    steps_classify: Steps = 3000
    """Steps of each classifier."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Of the classifiers; sgd with momentum 0.9."""
    rate_classify: Rate = 6e-3
    """Highest learning rate of the classifiers."""
    weight_decay: Annotated[float, Within(0, 10)] = 0.0
    """Of the classifiers."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Learning rate of the classifiers: to zero by half a cosine, or a fifth after 30, 60 and 80 % of the steps."""
    test_images: Images = 10_000
    """The most test images that are classified."""
    reconstructed: Images = 256
    """Test images that are reconstructed."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes of the flows on images, each followed by blocks."""
    unsqueezed: Annotated[int, Within(0, 1000)] = 16
    """Residual blocks before the first squeeze; as many couplings of one color of the checkerboard on the other side."""
    depth: Annotated[tuple[Depth, ...], Length(1, 5)] = (10, 2)
    """Residual blocks per level; as many couplings on the other side, where that also starts at full resolution."""
    depth_glow: Depth = 6
    """Couplings a level of the Glow on the other side."""
    hidden_density: Width = 16
    """Hidden channels of the residual flow's networks; those of the couplings follow from the number of weights."""
    activation_density: Literal["lip_swish", "concat_lip_swish"] = "concat_lip_swish"
    """Of the residual flow's networks (lip_swish in Residual Flows)."""
    coefficient_density: Contraction = 0.98
    """Largest spectral norm of a layer in the residual flows."""
    logit: Annotated[float, Within(1e-9, 0.49)] = 1e-6
    """Margin of the logit in front of the flows on images (0.05 for natural images)."""
    batch_density: BatchSize = 32
    """Images a step of the flows."""
    steps_density: Steps = 1000
    """Steps of each flow on images."""
    rate_density: Rate = 1e-2
    """Highest learning rate of the flows."""
    test_density: Images = 1000
    """The most test images of the flows."""
    toys: Annotated[tuple[Literal["checkerboard", "two_spirals", "eight_gaussians"], ...], Length(1, 3)] = (
        "checkerboard",
        "two_spirals",
    )
    """Densities in two dimensions."""
    depth_toys: Depth = 8
    """Residual blocks in two dimensions; as many couplings on the other side."""
    hidden_toys: Annotated[tuple[Width, ...], Length(1, 8)] = (64, 64)
    """Hidden layers of their networks."""
    batch_toys: BatchSize = 500
    """Samples a step."""
    steps_toys: Steps = 2500
    """Steps of each flow in two dimensions."""
    rate_toys: Rate = 5e-3
    """Highest learning rate in two dimensions."""
    power_iterations: Annotated[int, Within(1, 1000)] = 1
    """The most power iterations of each spectral norm a step."""
    log_every: Steps = 100
    """Steps between summaries and checkpoints."""

    def check_together(self) -> None:
        """A number of blocks and of channels a stage, of blocks a level; no name twice."""
        if len(self.blocks) != len(self.hidden):
            raise UserError(
                f"--hidden: received {len(self.hidden)} numbers for {len(self.blocks)} stages",
                remedy="Give as many to --hidden as to --blocks.",
            )
        if len(self.depth) != self.levels:
            raise UserError(
                f"--depth: received {len(self.depth)} numbers for --levels {self.levels}", remedy="Give one for each level."
            )
        if len({f"{c:g}" for c in self.coefficients}) < len(self.coefficients):
            raise UserError(f"--coefficients: received {self.coefficients}, of which two are alike", remedy="Leave one out.")
        if len(set(self.toys)) < len(self.toys):
            raise UserError(f"--toys: received {self.toys}, of which two are alike", remedy="Leave one out.")


_SMOKE = Config(
    coefficients=(0.9,),
    blocks=(1, 1),
    hidden=(8, 8),
    channels=12,  # at least four times the colors
    batch_size=16,
    steps_classify=4,
    test_images=64,
    reconstructed=8,
    unsqueezed=1,
    depth=(1, 1),
    depth_glow=1,
    batch_density=16,
    hidden_density=8,
    steps_density=4,
    test_density=32,
    toys=("checkerboard",),
    depth_toys=2,
    hidden_toys=(16,),
    batch_toys=64,
    steps_toys=4,
    log_every=2,
)
_PAPER = Config(
    coefficients=(0.5, 0.6, 0.7, 0.8, 0.9),
    blocks=(7, 7, 7),
    hidden=(32, 64, 128),
    squeeze_first=False,
    activation="elu",
    batch_size=128,
    steps_classify=78_000,
    optimizer="sgd",
    rate_classify=0.1,
    weight_decay=5e-4,
    schedule="steps",
    reconstructed=10_000,
    levels=3,
    unsqueezed=0,
    depth=(16, 16, 16),
    depth_glow=16,
    activation_density="lip_swish",
    batch_density=128,
    hidden_density=512,
    coefficient_density=0.9,
    logit=0.05,
    steps_density=78_000,
    test_density=10_000,
    toys=("checkerboard", "two_spirals", "eight_gaussians"),
    depth_toys=100,
    hidden_toys=(128, 128, 128, 128),
    steps_toys=50_000,
    rate_toys=1e-3,
    power_iterations=3,
    log_every=1000,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
