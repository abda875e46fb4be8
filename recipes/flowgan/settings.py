"""Settings of `python -m recipes.flowgan`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.numbers import tenth
from recipes.common.ranges import BatchSize, Depth, Images, Rate, Steps, Weight, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train a flow by maximum likelihood, adversarially, or both, and measure its inverse."""

    objective: Literal["all", "mle", "hybrid", "adv"] = "all"
    """all: MLE, hybrid and ADV of the unstable architecture, MLE and ADV of the stable one."""
    architecture: Literal["stable", "unstable"] = "stable"
    """Of a single objective. stable: few additive blocks, spectral normalization; unstable: no constraint."""
    coupling: Literal["additive", "affine"] = "affine"
    """Couplings of the unstable architecture; affine ones with a scale from 0.97 to 33. The stable one's are additive."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes, each followed by blocks."""
    depth_stable: Depth = 4
    """Blocks per level of the stable architecture."""
    depth_unstable: Depth = 6
    """Blocks per level of the unstable architecture."""
    hidden: Width = 32
    """Hidden channels of the couplings' networks."""
    coefficient: Annotated[float, Within(0.01, 100)] = 0.9
    """Largest spectral norm of a convolution in the stable architecture."""
    preprocessing: Literal["logit", "none"] = "logit"
    """In front of the unstable architecture: a logit with a margin of 1e-6, or nothing (the papers)."""
    mixing: Literal["conv1x1", "shuffle"] = "conv1x1"
    """Between the blocks of the unstable architecture: a learned convolution, or a fixed order (the papers)."""
    actnorm_inside: bool = False
    """Whether the networks of the unstable architecture hold ActNorms (the papers)."""
    discriminator: Literal["spectral", "plain"] = "plain"
    """spectral: the papers' seven spectrally normalized convolutions; plain: three of stride 2."""
    discriminator_width: Annotated[int, Within(1, 512)] = 16
    """Channels of its first convolution; later ones have up to eight (spectral) or four (plain) times as many."""
    batch_size: BatchSize = 32
    """Images per step."""
    warm_start: bool = True
    """Whether hybrid and adversarial training go on from the weights of maximum likelihood (in the papers they do not)."""
    steps_mle: Steps = 300
    """Steps of maximum likelihood."""
    steps_hybrid: Steps = 300
    """Steps of the hybrid objective."""
    steps_adv: Steps = 500
    """Steps of each adversarial model."""
    rate_mle: Rate = 1e-2
    """Highest learning rate of maximum likelihood: up over a twentieth of the steps, then half a cosine."""
    rate_generator: Rate = 1e-3
    """Learning rate of the flow where it is adversarial."""
    rate_discriminator: Rate = 2e-3
    """Learning rate of the discriminator."""
    head_start: Annotated[int, Within(0, 10**6)] = 50
    """Steps in which the discriminator learns alone, before the flow moves (none in the papers)."""
    discriminator_steps: Annotated[int, Within(1, 100)] = 1
    """Steps of the discriminator for each one of the flow."""
    mle_weight: Weight = 1e-3
    """Weight of the likelihood (nats per image) in the hybrid objective."""
    gradient_penalty: Weight = 1.0
    """Weight of the discriminator's gradient penalty (10 in the papers)."""
    log_every: Steps | None = None
    """Steps between checkpoints and looks at the inverse and the samples; None for a tenth of each training."""
    passes: Annotated[int, Within(1, 100)] = 9
    """Passes forward and back in the looks at the inverse."""
    fid_images: Annotated[int, Within(2, 10**6)] = 1000
    """Images on each side of the Frechet distance."""
    jacobian_images: Images = 2
    """Images whose Jacobian is measured, in float64; of trained models."""

    def steps(self, objective: str) -> int:
        """Of an objective's training."""
        return {"mle": self.steps_mle, "hybrid": self.steps_hybrid, "adv": self.steps_adv}[objective]

    def between_looks(self, objective: str) -> int:
        """Steps from one look at a training to the next."""
        return self.log_every or tenth(self.steps(objective))


_SMOKE = Config(
    depth_stable=1,
    depth_unstable=2,
    hidden=8,
    levels=2,
    discriminator_width=4,
    batch_size=16,
    objective="hybrid",
    steps_mle=2,
    steps_hybrid=4,
    steps_adv=4,
    head_start=1,
    log_every=2,
    passes=2,
    fid_images=64,
    jacobian_images=1,
)
_PAPER = Config(
    levels=3,
    coupling="additive",
    depth_unstable=16,
    hidden=128,
    preprocessing="none",
    mixing="shuffle",
    actnorm_inside=True,
    discriminator="spectral",
    discriminator_width=64,
    batch_size=64,
    warm_start=False,
    steps_mle=50_000,
    steps_hybrid=50_000,
    steps_adv=50_000,
    rate_mle=1e-3,
    rate_generator=1e-5,
    rate_discriminator=1e-4,
    head_start=0,
    gradient_penalty=10.0,
    log_every=1000,
    fid_images=5000,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
