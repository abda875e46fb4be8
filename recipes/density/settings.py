"""Settings of `python -m recipes.density`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.numbers import tenth
from recipes.common.ranges import BatchSize, Contraction, Depth, Images, Length, Rate, Steps, Width, Within

Model = Literal["affine", "additive", "residual"]
Other = Literal["mnist_5k", "fashion_mnist", "mnist", "cifar10"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train flows by maximum likelihood, watch their inverses meanwhile, and show them inputs unlike the data."""

    models: Annotated[tuple[Model, ...], Length(1, 3)] = ("affine", "additive", "residual")
    """affine, additive: Glow with such couplings; residual: a residual flow."""
    others: Annotated[tuple[Other, ...], Length(0, 4)] = ("mnist_5k",)
    """Further data sets whose test images are reconstructed, brought to the same shape; the run's own is left out."""
    size: Annotated[int, Within(4, 256)] | None = 16
    """Side to which images are shrunk by averaging; None leaves them as they are (the papers)."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes, each followed by blocks."""
    factor_out: bool = True
    """Whether half of a Glow's channels leave after each level but the last."""
    depth: Depth = 8
    """Couplings per level of a Glow."""
    depth_residual: Depth = 4
    """Residual blocks per level."""
    hidden: Width = 32
    """Hidden channels of the couplings' networks."""
    hidden_residual: Width = 16
    """Hidden channels of the residual blocks' networks."""
    mixing: Literal["conv1x1", "shuffle", "reverse"] = "conv1x1"
    """Between couplings: a learned convolution (table 5), a fixed order of the channels, or the reverse one (table 6)."""
    lowest_scale: Annotated[float, Within(0, 0.99)] = 0.01
    """Of the affine couplings, which multiply by this and a sigmoid on the way to the latent."""
    actnorm_inside: bool = False
    """ActNorm also inside of the couplings' networks (the papers)."""
    activation: Literal["lip_swish", "concat_lip_swish"] = "concat_lip_swish"
    """Of the residual blocks' networks (lip_swish in the papers)."""
    coefficient: Contraction = 0.98
    """Largest spectral norm of each layer of the residual flow."""
    exact_terms: Annotated[int, Within(0, 100)] = 2
    """Terms of its log-determinants that always count (8 in the papers); the estimates are unbiased with any number."""
    batch_size: BatchSize = 32
    """Images per step."""
    steps: Steps = 1000
    """Steps of each Glow."""
    steps_residual: Steps = 300
    """Steps of the residual flow."""
    rate: Rate = 1e-2
    """Highest learning rate of a Glow (Adamax)."""
    rate_residual: Rate = 1e-2
    """Highest learning rate of the residual flow (Adam)."""
    weight_decay: Annotated[float, Within(0, 10)] = 0.0
    """Of a Glow's weights, apart from the gradient's step (Keras); 5e-5 in the papers, part of the gradient there."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate: up over the first twentieth of the steps and down by half a cosine, or up and constant (the papers)."""
    warm_up: Annotated[int, Within(1, 10**6)] = 50
    """Steps before a constant rate is reached."""
    clip_norm: Annotated[float, Within(1e-6, 1e9)] | None = 100.0
    """Largest norm of a gradient over all weights, None for none."""
    crop: Annotated[int, Within(0, 32)] = 0
    """Pixels by which training images are moved at random; they are mirrored where that makes sense."""
    init_images: Images = 256
    """Training images that the ActNorms are initialized from."""
    log_every: Steps = 100
    """Steps between looks and checkpoints; never more than a tenth of a training."""
    watched: Images = 64
    """Test images whose reconstruction is watched."""
    jacobian_images: Images = 2
    """Of these, how many have their Jacobian measured, in float64."""
    test_images: Images = 1000
    """The most test images of the likelihood in the end."""
    unlike: Images = 100
    """Images of each kind of noise, of the other data sets, and of the test set beside them."""
    passes: Annotated[int, Within(1, 100)] = 9
    """Passes forward and back through them."""

    def steps_of(self, name: str) -> int:
        """Of a model's training."""
        return self.steps_residual if name == "residual" else self.steps

    def every(self, name: str) -> int:
        """Steps from one look at a model to the next: at least every tenth of its training.

        >>> Config(steps=500, log_every=100).every("affine"), Config(steps=5000).every("affine")
        (50, 100)
        """
        return min(self.log_every, tenth(self.steps_of(name)))

    def check_together(self) -> None:
        """No model twice; images that are there."""
        for flag, values in (("--models", self.models), ("--others", self.others)):
            if len(set(values)) < len(values):
                raise UserError(f"{flag}: received {', '.join(values)}, expected no two alike")
        if self.size is not None and self.size % 2**self.levels:
            raise UserError(
                f"--size: received {self.size}, expected a multiple of {2**self.levels} for --levels {self.levels}",
                remedy="Or fewer levels.",
            )
        if self.jacobian_images > self.watched:
            raise UserError(
                f"--jacobian-images: received {self.jacobian_images} for {self.watched} watched images",
                remedy="Lower it, or raise --watched.",
            )


_SMOKE = Config(
    models=("affine", "residual"),
    size=8,
    levels=1,
    depth=2,
    depth_residual=1,
    hidden=8,
    hidden_residual=8,
    batch_size=16,
    steps=4,
    steps_residual=4,
    warm_up=1,
    init_images=64,
    log_every=2,
    watched=8,
    jacobian_images=1,
    test_images=32,
    unlike=8,
    passes=2,
)
_PAPER = Config(
    size=None,
    levels=3,
    depth=32,
    depth_residual=16,
    hidden=512,
    hidden_residual=512,
    mixing="reverse",
    actnorm_inside=True,
    activation="lip_swish",
    exact_terms=8,
    batch_size=64,
    steps=100_000,
    steps_residual=100_000,
    rate=5e-4,
    rate_residual=1e-3,
    weight_decay=5e-5,
    schedule="constant",
    warm_up=3905,
    clip_norm=None,
    crop=3,
    init_images=640,
    log_every=1000,
    jacobian_images=1,
    test_images=10_000,
    unlike=10_000,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
