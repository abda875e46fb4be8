"""What `python -m recipes.inverse_problems` does: train every model on every problem, compare, draw, export."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from recipes.common import files
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.inverse_problems import leaderboard, report
from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.evaluation import calibration
from recipes.inverse_problems.evaluation.ground_truth import GroundTruth, kept_ground_truth
from recipes.inverse_problems.exporting import PosteriorSampler, card, export_sampler
from recipes.inverse_problems.measuring import measure, shown
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.methods.registry import method_named
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems import problem_named
from recipes.inverse_problems.settings import Config
from recipes.inverse_problems.training import Pairs, Training, make_pairs, train

NAME = "inverse_problems"
_GROWING = ("methods", "repeats", "problems")
_HELD_OUT = 4096
_TRAIN_SEED, _HELD_OUT_SEED = 1_000_001, 2_000_001
Arrays = dict[str, dict[str, np.ndarray]]
Data = Callable[[bool], tuple[Pairs, Pairs]]  # simulated at the first training that needs them


def run(config: Config) -> dict[str, Any]:
    """Train, compare, write tables, figures and samplers; returns the result."""
    config.check()
    for name in config.problems:
        problem_named(name)
    for name in config.methods:
        method_named(name)
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=lambda metrics: [line for problem, rows in tables(metrics).items() for line in leaderboard.lines(problem, rows)],
        exports=[f"{kind}_{_plain(problem)}" for kind in ("inverse", "cinn") for problem in config.problems],
        batch_sizes=[config.batch_size],
        may_change=_GROWING,
        extends=_GROWING,
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment; whatever is finished is kept, and not made again when a killed run goes on."""
    numbers: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Arrays] = {}
    exported: dict[str, str | None] = {}
    truths = {}
    for problem_name in config.problems:
        problem = problem_named(problem_name)
        coordinates = Coordinates.of(problem)
        truth = truths[problem_name] = kept_ground_truth(
            run.folder.path / f"ground_truth_{_plain(problem_name)}.npz",
            problem,
            config.observations,
            config.samples,
            config.pool,
            shown(problem)[0],
        )
        data = functools.cache(lambda supervised, c=coordinates: _pairs(c, config, supervised=supervised))
        numbers[problem_name], arrays[problem_name] = {}, {}
        for method_name in config.methods:
            for seed in range(config.seed, config.seed + config.repeats):
                found = _one(problem_name, method_name, seed, coordinates, truth, data, config, run)
                numbers[problem_name][f"{method_name}-seed{seed}"], arrays[problem_name][f"{method_name}-seed{seed}"] = found
        for name, training in exported_trainings(problem_name, numbers[problem_name]).items():
            method = _again(problem_name, training, coordinates, data, config, run)
            posterior = Posterior(coordinates, method)
            words = card(posterior, numbers[problem_name][training], training, run)
            exported[name] = export_sampler(run, name, PosteriorSampler(posterior), words, training)
    metrics = {
        problem: {
            **trainings,
            "ground_truth": truths[problem].summary(),
            "familiar": calibration.familiar(problem_named(problem), truths[problem].y),
        }
        for problem, trainings in numbers.items()
    }
    figure = report.write(config, run.folder, tables(metrics), arrays, truths)
    return Findings(metrics, figure, exported)


def _one(
    problem_name: str,
    method_name: str,
    seed: int,
    coordinates: Coordinates,
    truth: GroundTruth,
    data: Data,
    config: Config,
    run: Run,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train and measure one method, or read what an earlier part of the run has measured of it."""
    name = _plain(f"{problem_name}-{method_name}-seed{seed}")
    stored = run.folder.path / "measured" / f"{name}.npz"
    readable = _readable(stored)

    def measured() -> dict[str, Any]:
        method = _made(method_name, coordinates, config, seed, run)
        pairs, held_out = data(method.supervised)
        history = train(method, name, coordinates, pairs, held_out, _how(config, seed), run.strategy, run.folder)
        print(f"{name}: comparing posteriors ...", flush=True)
        numbers, found = measure(coordinates.problem, Posterior(coordinates, method), truth, held_out, config, seed)
        stored.parent.mkdir(exist_ok=True)
        with files.atomic(stored) as beside:
            np.savez_compressed(beside, **found)
        return {**numbers, "seconds": history[-1]["seconds"], "history": history}

    numbers = run.once("trainings", name, measured, again=not readable)
    with np.load(stored) as file:
        return numbers, dict(file)


def _again(
    problem_name: str,
    training: str,
    coordinates: Coordinates,
    data: Data,
    config: Config,
    run: Run,
) -> Method:
    """A finished training's method, from its last checkpoint."""
    name, _, seed = training.rpartition("-seed")
    method = _made(name, coordinates, config, int(seed), run)
    how = _how(config, int(seed))
    train(method, _plain(f"{problem_name}-{training}"), coordinates, *data(method.supervised), how, run.strategy, run.folder)
    return method


def _made(method_name: str, coordinates: Coordinates, config: Config, seed: int, run: Run) -> Method:
    keras.utils.set_random_seed(seed)
    problem = coordinates.problem
    with run.strategy.scope(), as_user_error():
        return method_named(method_name)(problem.dim_x, problem.dim_y, config.weights)


def _how(config: Config, seed: int) -> Training:
    return Training(config.steps, config.batch_size, config.rate, seed, config.log_every)


def _pairs(coordinates: Coordinates, config: Config, *, supervised: bool) -> tuple[Pairs, Pairs]:
    return (
        make_pairs(coordinates, config.simulations, _TRAIN_SEED, supervised=supervised),
        make_pairs(coordinates, _HELD_OUT, _HELD_OUT_SEED, supervised=supervised),
    )


def _plain(name: str) -> str:
    """A name for files: `module:Class` without its colon."""
    return name.replace(":", ".")


def _readable(path: Any) -> bool:
    return path.exists() and zipfile.is_zipfile(path)


def exported_trainings(problem: str, found: dict[str, Any]) -> dict[str, str]:
    """Samplers that a problem gives, each with its training: the best of all, and the best cINN."""
    inns = {name: m for name, m in found.items() if name.startswith("cinn-seed")}
    samplers = {f"inverse_{_plain(problem)}": winner(found)}
    return {**samplers, f"cinn_{_plain(problem)}": winner(inns)} if inns else samplers


def trainings(metrics: dict[str, Any]) -> dict[str, Any]:
    """The entries of a problem that are trainings."""
    return {name: m for name, m in metrics.items() if "-seed" in name}


def tables(metrics: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows of each problem's table: medians over the repeats, the smallest p-values."""
    return {problem: leaderboard.summarized(trainings(found)) for problem, found in metrics.items()}


def winner(found: dict[str, Any]) -> str:
    """The training of the lowest Err_post of what its sampler gives, rounded or not."""
    return min(trainings(found), key=lambda name: leaderboard.order(found[name]["own_posterior"]))


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The issue's claims, as far as the models that were run can show them."""
    out: dict[str, Any] = {}
    for problem, rows in tables(metrics).items():
        for name in ("inn", "cinn", "mdn", "autoencoder"):
            if name in rows and problem in leaderboard.PAPER:
                post, resim, _ = leaderboard.PAPER[problem][name]
                row = rows[name]
                shown = row["own_posterior"] <= post and row["own_resimulation"] <= resim
                out[f"{problem}: {name} at or below the paper's {post:g} and {resim:g}"] = bool(shown)
        for name in ("iresnet", "iaf_decoder", "maf_decoder", "cvae"):
            if name in rows and "cinn" in rows:
                shown = rows[name]["own_posterior"] <= 2.0 * rows["cinn"]["own_posterior"]
                out[f"{problem}: {name} at most twice the cINN's Err_post"] = bool(shown)
        if {"iresnet", "inn"} <= set(rows):
            shown = rows["iresnet"]["milliseconds"] <= 10.0 * rows["inn"]["milliseconds"]
            out[f"{problem}: i-ResNet samples in at most ten times the INN's time"] = bool(shown)
        best = min(rows, key=lambda name, rows=rows: leaderboard.order(rows[name]["own_posterior"]))
        out[f"{problem}: best Err_post ({best})"] = rows[best]["own_posterior"]
        lowest = min(rows[best][f"{test}_p"] for test in calibration.TESTS)
        out[f"{problem}: {best} not rejected at 1 % by ranks, coverage, TARP"] = bool(lowest > 0.01)
    return out
