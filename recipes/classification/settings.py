"""Settings of `python -m recipes.classification`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import BatchSize, Depth, Images, Length, Rate, Steps, Weight, Width, Within

Body = Literal["affine_conv1x1", "affine_shuffle", "additive_conv1x1", "additive_shuffle"]
Regularizer = Literal["none", "fd", "nf", "nf_strong"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Classify images by invertible networks, with and without a regularizer, and measure their inverses."""

    bodies: Annotated[tuple[Body, ...], Length(1, 4)] = ("affine_conv1x1", "affine_shuffle")
    """Couplings, and what stands between them: a learned 1x1 convolution or a fixed order of the channels."""
    regularizers: Annotated[tuple[Regularizer, ...], Length(1, 4)] = ("none", "fd", "nf", "nf_strong")
    """fd: bi-directional finite differences; nf: the loss of a normalizing flow; nf_strong: of one body alone."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes, each followed by steps; nothing is factored out."""
    depth: Depth = 4
    """Steps of [ActNorm, mixing, coupling] per level."""
    hidden: Width = 16
    """Hidden channels of the couplings' networks."""
    coefficient_fd: Weight = 3e-4
    """Of the finite differences, as in the paper's tables."""
    every: Steps = 10
    """Steps from one application of the finite differences to the next."""
    weight_nf: Weight = 3e-5
    """Of the loss of a normalizing flow, nats per image."""
    weight_nf_strong: Weight = 1e-3
    """The same, too large."""
    backprop: Literal["stored", "reversible"] = "stored"
    """Of the regularized networks: reversible recomputes activations by the inverse (the papers); the others always store."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd with momentum 0.9 (Nesterov)."""
    rate: Rate = 1.5e-3
    """Highest learning rate."""
    weight_decay: Annotated[float, Within(0, 10)] = 0.0
    """Of all weights."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Learning rate: to zero by half a cosine, or a tenth after 30, 60 and 80 % of the steps."""
    batch_size: BatchSize = 64
    """Images per step."""
    steps: Steps = 1500
    """Steps of each network."""
    crop: Annotated[int, Within(0, 32)] = 0
    """Pixels by which training images are moved at random (4 in the papers); they are mirrored where that makes sense."""
    init_images: Images = 256
    """Images that the ActNorms are initialized from."""
    test_images: Images = 5000
    """The most test images that are classified."""
    reconstructed: Images = 256
    """Test images that are reconstructed."""
    jacobian_images: Images = 1
    """Test images whose Jacobian is measured, in float64."""
    angle_batches: Annotated[int, Within(1, 1000)] = 8
    """Training batches whose gradients are compared with those of memory-saving backpropagation."""
    timed_every: Annotated[tuple[Steps, ...], Length(0, 5)] = (10,)
    """Steps from one application to the next for which the time of a step is measured."""
    log_every: Steps = 150
    """Steps between summaries and checkpoints."""

    def check_together(self) -> None:
        """Every variant once."""
        for flag, given in (("--bodies", self.bodies), ("--regularizers", self.regularizers)):
            if len(set(given)) < len(given):
                raise UserError(f"{flag}: received {' '.join(given)}, of which two are alike", remedy="Leave one out.")


_SMOKE = Config(
    bodies=("affine_shuffle",),
    regularizers=("none", "fd"),
    depth=1,
    hidden=4,
    every=2,
    batch_size=16,
    steps=4,
    init_images=32,
    test_images=64,
    reconstructed=8,
    angle_batches=1,
    timed_every=(),
    log_every=2,
)
_PAPER = Config(
    bodies=("additive_conv1x1", "additive_shuffle", "affine_shuffle", "affine_conv1x1"),
    levels=3,
    depth=16,
    hidden=128,
    coefficient_fd=5e-5,
    weight_nf=1e-5,
    backprop="reversible",
    rate=1e-4,
    schedule="steps",
    batch_size=128,
    steps=78_000,
    crop=4,
    init_images=512,
    test_images=10_000,
    reconstructed=10_000,
    angle_batches=40,
    timed_every=(1, 5, 10),
    log_every=1000,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
