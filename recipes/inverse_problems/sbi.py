"""The five tasks of simulation-based inference: train on a budget of simulations, compare with the reference posteriors.

    python -m recipes.inverse_problems.sbi slcp resampled --data-dir DIR

Cost: 5 to 15 minutes a task with 30,000 simulations on two cores, and as long for C2ST in ten dimensions.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tyro

from inntf.calibration import c2st
from recipes.common import cli, ranges
from recipes.common.errors import UserError
from recipes.common.flags import read_flags
from recipes.common.places import prove_writable
from recipes.common.ranges import Seed, Steps, Within
from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.early_stopping import Stopping, fit
from recipes.inverse_problems.exporting import PosteriorSampler, names, write_sampler
from recipes.inverse_problems.methods.flow_matching import FlowMatching
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.methods.resampled import ResampledFlow
from recipes.inverse_problems.methods.spline_maf import ConditionalSplineMaf
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems import PROBLEMS
from recipes.inverse_problems.problems.reference import FIRST_FIVE, read_reference
from recipes.inverse_problems.training import Pairs, make_pairs

HELD_OUT = 0.1  # of the simulations


def _flow(coordinates: Coordinates, weights: int, **options: Any) -> Method:
    problem = coordinates.problem
    return ConditionalSplineMaf(problem.dim_x, problem.dim_y, weights, draws=problem.draws, **options)


def _matching(coordinates: Coordinates, weights: int, **options: Any) -> Method:
    problem = coordinates.problem
    return FlowMatching(problem.dim_x, problem.dim_y, weights, draws=problem.draws, **options)


ESTIMATORS: dict[str, Callable[..., Method]] = {
    "spline_maf": _flow,
    "flow_matching": _matching,
    "resampled": ResampledFlow.of,
}


@dataclasses.dataclass
class Fitted:
    """A trained estimator.

    Attributes:
        posterior: the sampler.
        seconds, cpu_seconds: of simulation and training.
        held_out: best held-out loss of each part, nats (of flow matching: its loss), all entries together.
        powers: held-out negative log-likelihood of each power, of `resampled`.
        weights: number of trained weights.
    """

    posterior: Posterior
    seconds: float
    cpu_seconds: float
    held_out: dict[str, float]
    powers: dict[float, float]
    weights: int


def fit_task(
    task: str,
    method: str = "resampled",
    *,
    simulations: int = 30_000,
    seed: int = 0,
    weights: int = 120_000,
    how: Stopping | None = None,
    **options: Any,
) -> Fitted:
    """Train an estimator; all it sees are so many simulations, a tenth of them held out to choose by.

    Args:
        task: a name in `PROBLEMS`.
        method: a name in `ESTIMATORS`.
        simulations: the budget, standardization and held-out ones included.
        seed: of simulations, weights and batches.
        weights: about how many weights.
        how: steps, rate, patience.
        options: of the method.
    """
    start, cpu = time.perf_counter(), time.process_time()
    keras.utils.set_random_seed(seed)
    how = Stopping() if how is None else how
    coordinates = Coordinates.of(PROBLEMS[task](), simulations, seed)
    pairs = make_pairs(coordinates, simulations, seed, supervised=False)  # the same draws
    cut = simulations - max(1, int(HELD_OUT * simulations))
    train, held = Pairs(pairs.x[:cut], pairs.y[:cut]), Pairs(pairs.x[cut:], pairs.y[cut:])
    model = ESTIMATORS[method](coordinates, weights, **options)
    parts = model.parts() if isinstance(model, ResampledFlow) else {method: model}
    held_out = {}
    for i, (name, part) in enumerate(parts.items()):
        losses = fit(part, f"{task}: {name}", coordinates, train, held, how, (1000 * seed + i) % 2**31)
        held_out[name] = min(losses) * (model.dim_y if name.startswith("likelihood") else model.dim_x)
    powers = {}
    if isinstance(model, ResampledFlow):
        powers = model.tune(tf.constant(held.x[:1000]), tf.constant(held.y[:1000]), seed)
    spent = time.perf_counter() - start, time.process_time() - cpu
    return Fitted(Posterior(coordinates, model), *spent, held_out, powers, model.count_weights())


def score_task(
    task: str,
    posterior: Posterior,
    data_dir: pathlib.Path,
    *,
    observations: tuple[int, ...] = FIRST_FIVE,
    seed: int = 0,
) -> dict[str, Any]:
    """C2ST against the reference posteriors, as many samples as they have.

    Args:
        task: a name in `reference.TASKS`.
        posterior: the sampler.
        data_dir: of the prepared reference posteriors.
        observations: their numbers.
        seed: of the samples.

    Returns:
        `c2st` of each observation, `c2st_mean`, and `sample_seconds` of each posterior.
    """
    accuracies, seconds = {}, []
    for reference in read_reference(task, data_dir, observations):
        start = time.perf_counter()
        samples = posterior.sample(reference.observation[None], len(reference.posterior), (seed + reference.number) % 2**31)[0]
        seconds.append(time.perf_counter() - start)
        accuracies[reference.number] = c2st(reference.posterior, samples).accuracy
    return {"c2st": accuracies, "c2st_mean": float(np.mean(list(accuracies.values()))), "sample_seconds": seconds}


def run_task(
    task: str,
    method: str,
    data_dir: pathlib.Path | None = None,
    *,
    seed: int = 0,
    export_dir: pathlib.Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train; compare with the reference posteriors where they are; export the sampler where there is a place for it.

    Args:
        task: as in `fit_task`.
        method: as in `fit_task`.
        data_dir: of the prepared reference posteriors; without, nothing is compared.
        seed: as in `fit_task`.
        export_dir: the sampler becomes `TASK/VERSION` in it, with the signature `sample_posterior(y, n, seed)`.
        **settings: as in `fit_task`.

    Returns:
        Numbers: those of `score_task`, training time, held-out losses.
    """
    if data_dir is not None:
        read_reference(task, data_dir)  # a missing file says so before training
    if export_dir is not None:
        prove_writable(export_dir / task, "--export-dir")
    fitted = fit_task(task, method, seed=seed, **settings)
    numbers = {"task": task, "method": method, "seed": seed, "simulations": settings.get("simulations", 30_000)}
    numbers |= {"train_seconds": fitted.seconds, "train_cpu_seconds": fitted.cpu_seconds, "weights": fitted.weights}
    numbers |= {"held_out": fitted.held_out}
    if fitted.powers:
        numbers |= {"powers": fitted.powers, "power": float(fitted.posterior.method.power)}
    if data_dir is not None:
        numbers |= score_task(task, fitted.posterior, data_dir, seed=seed)
    if export_dir is not None:
        words = {**names(fitted.posterior), "training": f"{method}, seed {seed}", "measured": dict(numbers)}
        numbers["exported"] = str(write_sampler(export_dir / task, PosteriorSampler(fitted.posterior), words))
    return numbers


@dataclasses.dataclass(frozen=True)
class Config:
    """One estimator on one of the five tasks, scored against the reference posteriors."""

    task: tyro.conf.Positional[str]
    """two_moons, gaussian_linear, gaussian_mixture, slcp, slcp_ordered or bernoulli_glm."""
    method: tyro.conf.Positional[Literal["spline_maf", "flow_matching", "resampled"]]
    """The estimator."""
    data_dir: pathlib.Path | None = None
    """Folder that holds sbibm/TASK.npz, as `python -m recipes.prepare sbibm` writes them; without, nothing is compared."""
    export_dir: pathlib.Path | None = None
    """Where the sampler goes, as TASK/VERSION; without, it is not kept."""
    simulations: Annotated[int, Within(10, 10**9)] = 30_000
    """The budget, held-out simulations included."""
    seed: Seed = 0
    """Of simulations, weights and samples."""
    weights: Annotated[int, Within(100, 10**8)] = 120_000
    """About how many weights the model has."""
    steps: Steps = Stopping.steps
    """The most steps of each part."""


def main(argv: Sequence[str]) -> int:
    """The command line; prints the numbers as JSON and returns the exit code."""

    def run() -> None:
        given = read_flags(Config, argv, prog="python -m recipes.inverse_problems.sbi")
        ranges.check(given)
        if given.task not in PROBLEMS:
            raise UserError(f"received the task {given.task!r}, expected one of {', '.join(sorted(PROBLEMS))}")
        how = Stopping(steps=given.steps)
        settings = {"simulations": given.simulations, "weights": given.weights, "how": how}
        places = {"data_dir": given.data_dir, "export_dir": given.export_dir}
        print(json.dumps(run_task(given.task, given.method, **places, seed=given.seed, **settings), indent=1))

    return cli.exit_code(run, interrupted="Nothing was kept.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
