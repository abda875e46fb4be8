"""Settings of `python -m recipes.decorrelation`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import Depth, Images, Length, Rate, Steps, Width, Within

Coupling = Literal["additive_spectral", "additive", "affine"]
ActNorms = Literal["none", "between", "inside", "both"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Decorrelate images by invertible networks, and see which solutions are stable."""

    couplings: Annotated[tuple[Coupling, ...], Length(1, 3)] = ("additive_spectral", "additive", "affine")
    """additive_spectral: additive with spectral normalization and without ActNorm; additive and affine: no constraint."""
    actnorms: Annotated[tuple[ActNorms, ...], Length(1, 4)] = ("none",)
    """Where the unconstrained models have ActNorm: nowhere, between the couplings, inside their networks, both."""
    depths: Annotated[tuple[Depth, ...], Length(1, 8)] = (4,)
    """Couplings per level; of several, each model is trained once for each."""
    size: Annotated[int, Within(4, 256)] | None = 8
    """Side to which images are shrunk by averaging; None leaves them as they are (the paper)."""
    levels: Annotated[int, Within(1, 5)] = 2
    """Squeezes, each followed by couplings."""
    hidden: Width = 16
    """Hidden channels of the couplings' networks."""
    coefficient: Annotated[float, Within(0.01, 100)] = 0.9
    """Largest spectral norm of a convolution in the constrained model."""
    mixing: Literal["shuffle", "conv1x1", "reverse"] = "shuffle"
    """Between the couplings: a fixed order of the channels, or a learned convolution."""
    noise: Annotated[float, Within(0, 1)] = 1e-6
    """Width of the uniform noise of dequantization, on the scale [-1/2, 1/2]."""
    batch_size: Annotated[int, Within(2, 2**16)] = 128
    """Images per step; with fewer than entries of an image the loss cannot reach zero."""
    steps: Steps = 600
    """Steps of each model."""
    rate: Rate = 2e-2
    """Learning rate (Adam), at its highest."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate: constant (the paper), or up over the first twentieth of the steps and down again by a half cosine."""
    log_every: Steps = 60
    """Steps between looks: losses, reconstruction errors of fixed images, a checkpoint."""
    look_every: Steps = 60
    """Steps between looks at singular values; trained models are looked at anyway."""
    watched: Images = 64
    """Fixed test images whose reconstruction is watched."""
    jacobian_images: Images = 4
    """Of these, how many have their Jacobian measured, in float64."""
    linear_dim: Annotated[int, Within(2, 256)] = 2
    """Dimension of the linear case."""
    linear_condition: Annotated[float, Within(1.1, 1e6)] = 10.0
    """Condition number of its scaling; where it is large, gradients vanish outside of a small basin."""
    linear_steps: Steps = 2000
    """Steps of each of its models."""

    def check_together(self) -> None:
        """No model twice; images that are there."""
        for flag, values in (("--couplings", self.couplings), ("--actnorms", self.actnorms), ("--depths", self.depths)):
            if len(set(values)) < len(values):
                raise UserError(f"{flag}: received {', '.join(map(str, values))}, expected no two alike")
        if self.jacobian_images > self.watched:
            raise UserError(
                f"--jacobian-images: received {self.jacobian_images} for {self.watched} watched images",
                remedy="Lower it, or raise --watched.",
            )


_SMOKE = Config(
    couplings=("additive_spectral", "affine"),
    actnorms=("both",),
    depths=(1,),
    hidden=8,
    batch_size=128,
    steps=4,
    log_every=2,
    look_every=2,
    watched=8,
    jacobian_images=1,
    linear_steps=20,
)
_PAPER = Config(
    dataset="cifar10",
    actnorms=("none", "between", "inside", "both"),
    depths=(16,),
    size=None,
    levels=3,
    hidden=128,
    batch_size=64,
    steps=180_000,
    rate=1e-4,
    schedule="constant",
    log_every=200,
    look_every=2000,
    watched=64,
    jacobian_images=1,
)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
