"""Settings of `python -m recipes.inverse_problems.digits`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.numbers import tenth
from recipes.common.ranges import BatchSize, Depth, Images, Rate, Steps, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train a flow over the hidden pixels given the seen ones, and one that is shown nothing; compare and calibrate."""

    dataset: Literal["mnist_5k", "mnist"] = "mnist_5k"
    """mnist_5k needs no preparation, mnist `python -m recipes.prepare mnist --source DIR` once."""
    hidden: Literal["lower", "middle"] = "lower"
    """What is hidden: the lower 16 of 28 rows, or the middle 16x16 pixels."""
    bits: Annotated[int, Within(1, 8)] = 3
    """Of a pixel: most of a digit is black, and a level of 8 bits is 32 times as narrow as one of 3, and so are the slopes."""
    levels: Annotated[int, Within(1, 2)] = 2
    """Squeezes of the flow, each followed by couplings."""
    depth: Depth = 6
    """Couplings per level."""
    width: Width = 32
    """Hidden channels of the couplings' networks."""
    channels: Width = 16
    """Of the feature maps that each level is given."""
    summary: Width = 64
    """Numbers in which the whole of what is seen reaches every hidden pixel."""
    batch_size: BatchSize = 64
    """Images per step."""
    steps: Steps = 2000
    """Steps of each training."""
    rate: Rate = 3e-3
    """Highest learning rate (Adam; up from zero in a twentieth of the steps, then down to zero by half a cosine)."""
    log_every: Steps = 200
    """Steps between looks and checkpoints; never more than a tenth of a training."""
    test_images: Images = 1000
    """The most test images of the likelihood and of reconstruction."""
    observations: Annotated[int, Within(50, 10**5)] = 500
    """Test images whose hidden part is sampled; calibration is tested on them."""
    samples: Annotated[int, Within(10, 10**4)] = 50
    """Samples for each of them."""
    projections: Annotated[int, Within(1, 64)] = 4
    """Random projections of the hidden part on which calibration is tested, beside its mean."""
    jacobian_images: Images = 4
    """Test images at which condition numbers are measured."""

    @property
    def every(self) -> int:
        """Steps from one look to the next.

        >>> Config(steps=500, log_every=100).every, Config(steps=5000, log_every=100).every
        (50, 100)
        """
        return min(self.log_every, tenth(self.steps))


_SMOKE = Config(
    depth=1,
    width=8,
    channels=4,
    summary=8,
    batch_size=16,
    steps=4,
    log_every=2,
    test_images=64,
    observations=50,
    samples=10,
    jacobian_images=1,
)
_PAPER = Config(depth=16, width=128, channels=32, summary=128, steps=20_000, rate=1e-3, log_every=1000, samples=200)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
