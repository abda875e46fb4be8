"""Settings of `python -m recipes.flowgan`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import BatchSize, Depth, Images, Rate, Steps, Weight, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train a flow by maximum likelihood, adversarially, or both, and measure its inverse."""

    objective: Literal["all", "mle", "hybrid", "adv"] = "all"
    """all: MLE, hybrid and ADV of the stable architecture, and ADV of the unstable one."""
    architecture: Literal["stable", "unstable"] = "stable"
    """Of a single objective. stable: few blocks, spectral normalization; unstable: many, ActNorm inside, none."""
    coupling: Literal["additive", "affine"] = "additive"
    """Kind of couplings."""
    levels: Annotated[int, Within(1, 5)] = 3
    """Squeezes, each followed by blocks."""
    depth_stable: Depth = 4
    """Blocks a level of the stable architecture."""
    depth_unstable: Depth = 16
    """Blocks a level of the unstable architecture."""
    hidden: Width = 32
    """Hidden channels of the couplings' networks."""
    coefficient: Annotated[float, Within(0.01, 100)] = 0.9
    """Largest spectral norm of a convolution in the stable architecture."""
    discriminator_width: Annotated[int, Within(1, 512)] = 8
    """Channels of the first convolution; the seven have 1, 1, 2, 2, 4, 4, 8 times as many (64 in the paper)."""
    batch_size: BatchSize = 32
    """Images a step."""
    steps_mle: Steps = 600
    """Steps of maximum likelihood."""
    steps_hybrid: Steps = 300
    """Steps of the hybrid objective."""
    steps_adv: Steps = 300
    """Steps of each adversarial model."""
    rate_mle: Rate = 4e-3
    """Learning rate of maximum likelihood."""
    rate_generator: Rate = 6e-3
    """Learning rate of the flow where it is adversarial."""
    rate_discriminator: Rate = 3e-3
    """Learning rate of the discriminator."""
    discriminator_steps: Annotated[int, Within(1, 100)] = 3
    """Steps of the discriminator for each one of the flow; at these learning rates one is not enough to keep up."""
    mle_weight: Weight = 1e-3
    """Weight of the likelihood (nats per image) in the hybrid objective."""
    gradient_penalty: Weight = 10.0
    """Weight of the discriminator's gradient penalty."""
    log_every: Steps = 100
    """Steps between summaries, checkpoints and looks at the inverse."""
    passes: Annotated[int, Within(1, 100)] = 9
    """Passes forward and back in the looks at the inverse."""
    fid_images: Annotated[int, Within(2, 10**6)] = 1000
    """Images on each side of the Frechet distance."""
    jacobian_images: Images = 2
    """Images whose Jacobian is measured."""

    def check_together(self) -> None:
        """This recipe trains by Keras' `fit`."""
        if self.strategy == "multiworker":
            raise UserError(
                "--strategy multiworker: this recipe trains by Keras' fit, which does not run on several workers",
                remedy="Use --strategy mirrored or none.",
            )


_SMOKE = Config(
    depth_stable=1,
    depth_unstable=2,
    hidden=8,
    levels=2,
    discriminator_width=4,
    batch_size=16,
    objective="hybrid",
    steps_mle=4,
    steps_hybrid=4,
    steps_adv=4,
    log_every=2,
    passes=2,
    fid_images=64,
    jacobian_images=1,
)
_PAPER = Config(
    rate_mle=1e-3,
    discriminator_steps=1,
    batch_size=64,
    hidden=128,
    discriminator_width=64,
    steps_mle=50_000,
    steps_hybrid=50_000,
    steps_adv=50_000,
    rate_generator=1e-5,
    rate_discriminator=1e-4,
    log_every=1000,
    fid_images=5000,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
