"""Settings of `python -m recipes.inverse_problems`, and its presets."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Literal

from recipes.common.cli import RecipeConfig
from recipes.common.errors import UserError
from recipes.common.ranges import BatchSize, Length, Rate, Seed, Steps, Within, check_repeats, shown

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
Count = Annotated[int, Within(1, 10**9)]
PAPER_METHODS = ("inn", "inn_mmd", "cinn", "iaf_decoder", "maf_decoder", "iresnet", "invauto", "autoencoder", "cvae", "mdn")
TODAY = ("spline_maf", "flow_matching")
OTHERS = ("iresnet_mmd", "iresnet_energy", "iaf_joint", "maf_joint")
TASKS = ("two_moons", "gaussian_linear", "gaussian_mixture", "slcp", "slcp_ordered", "bernoulli_glm")
PROBLEMS = ("kinematics", "kinematics_code", "ballistics", "ballistics_code", *TASKS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RecipeConfig):
    """Train every model on every problem, and compare their posteriors with the ground truth."""

    dataset: Literal["simulated"] = "simulated"
    """Simulated, the same pairs for every seed; --data-dir is not used."""
    seed: Seed = 0
    """First seed of weights, batches and samples; what is simulated does not change with it."""
    problems: Annotated[tuple[str, ...], Length(1, 8)] = ("kinematics", "ballistics")
    """Problems by name, see recipes/inverse_problems/problems; your own as module:Class."""
    methods: Annotated[tuple[str, ...], Length(1, 32)] = (*PAPER_METHODS, *TODAY)
    """Models by name, see recipes/inverse_problems/methods; your own as module:Class.  With --resume more can be added."""
    repeats: Annotated[int, Within(1, 100)] = 3
    """Trainings of each model, with seeds from --seed on."""
    weights: Annotated[int, Within(100, 10**8)] = 300_000
    """About how many weights a model has (3,000,000 in the paper)."""
    simulations: Count = 1_000_000
    """Pairs to train on, the same for all models."""
    steps: Steps = 6000
    """Steps of each training, the same for all models."""
    batch_size: BatchSize = 512
    """Pairs in a batch."""
    rate: Rate = 2e-3
    """Highest learning rate (Adam; up from zero in a twentieth of the steps, then down to zero by half a cosine)."""
    observations: Annotated[int, Within(1, 10**5)] = 1000
    """Observations on which posteriors are compared."""
    samples: Annotated[int, Within(2, 10**5)] = 1000
    """Samples of each posterior, of the models and of the ground truth."""
    c2st_observations: Annotated[int, Within(0, 10**5)] = 3
    """The first so many of them: a classifier tells samples from the ground truth there (C2ST)."""
    pool: Count = 40_000_000
    """Draws of the prior from which the ground truth takes the nearest."""
    calibration: Annotated[int, Within(50, 10**5)] = 500
    """Fresh simulations on which posteriors are checked for calibration."""
    calibration_samples: Annotated[int, Within(10, 10**4)] = 200
    """Samples of each of them."""
    log_every: Steps = 500
    """Steps between summaries and checkpoints."""

    def check_together(self) -> None:
        """Names must be known and different, the pool must hold the samples, and each repeat must have a seed."""
        known = {"problems": PROBLEMS, "methods": (*PAPER_METHODS, *TODAY, *OTHERS)}
        for field, names in known.items():
            given = getattr(self, field)
            for name in given:
                if name not in names and not _PLACE.fullmatch(name):
                    raise UserError(
                        f"--{field}: received {shown(name)}, expected module:Class, or some of {', '.join(names)}",
                        remedy="A class of your own is named by the place that Python imports it from.",
                    )
            if len(set(given)) < len(given):
                raise UserError(f"--{field}: received {shown(given)}, expected different names")
        if self.pool < self.samples:
            raise UserError(f"--pool: received {self.pool}, expected at least --samples {self.samples}")
        check_repeats(self.seed, self.repeats)


_SMOKE = Config(
    methods=("cinn", "autoencoder", "mdn"),
    repeats=1,
    weights=3000,
    simulations=5000,
    steps=20,
    batch_size=64,
    observations=5,
    samples=50,
    c2st_observations=1,
    pool=20_000,
    calibration=50,
    calibration_samples=20,
    log_every=10,
)
_PAPER = Config(weights=3_000_000, steps=50_000, batch_size=1000, pool=100_000_000, log_every=1000)
PRESETS = {"smoke": _SMOKE, "small": Config(), "paper": _PAPER}
