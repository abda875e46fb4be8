"""What `python -m recipes.classification` does: train every classifier, measure its inverse, report, export."""

from __future__ import annotations

import math
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.compose import Chain
from inntf.models import IResNetClassifier
from recipes.classification import models
from recipes.classification.measuring import measure, seconds_per_step
from recipes.classification.report import draw
from recipes.classification.settings import Config
from recipes.classification.training import fixed_batches, stream, train
from recipes.common import files
from recipes.common.data import load_images
from recipes.common.errors import NonFiniteError, as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, ratio

NAME = "classification"
WEAK = ("fd", "nf")
STRONG = "affine_conv1x1"  # whose accuracy the paper gives with a strong weight
FACTOR = 10.0  # condition number without a regularizer over that with one
POINTS_LOST = 1.0
ANGLE, BROKEN_ANGLE = 1.0, 10.0  # degrees
OVERHEAD = 1.3


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and a SavedModel; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[NAME],
        batch_sizes=[config.batch_size],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    data = load_images(config.dataset, config.data_dir).halvable(config.levels)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    data.check_batch(config.batch_size, "--batch-size")
    scale = models.Standardization(data)
    fixed = fixed_batches(config, data, scale)
    numbers, pictures, failed, best = {}, {}, {}, None
    for body, regularizer in variants(config):
        name = f"{body}_{regularizer}"
        model = make_classifier(config, run, data, scale, body, regularizer)
        try:
            history = train(model, name, config, data, scale, run.folder)
        except NonFiniteError as error:
            failed[name] = str(error)
            if len(failed) == len(variants(config)):
                raise
            print(f"{error} It counts as failed; the others are trained.", file=sys.stderr)
            continue
        stored = run.folder.path / f"reconstructions_{name}.npz"

        def measured(
            model: IResNetClassifier = model, name: str = name, history: Any = history, stored: Any = stored
        ) -> dict[str, Any]:
            print(f"{name}: measuring the inverse, the gradients ...", flush=True)
            board = tf.summary.create_file_writer(str(run.folder.logs / name))
            found, shown = measure(model, config, data, scale, fixed, board)
            with files.atomic(stored) as beside:
                np.savez_compressed(beside, **shown)
            return {**found, "history": history}

        numbers[name] = run.once("classifiers", name, measured, again=not stored.exists())
        with np.load(stored) as file:
            pictures[name] = dict(file)
        if best is None or _better(numbers[name], numbers[best[0]]):
            best = name, model
    name, model = best
    served = Chain([scale.block(), model.body], name="latents_of_pixels").ensure_built(data.shape)
    measured_best = numbers[name]
    figure = measured_best["reconstruction_error"]["median"]
    where = export_once(run.folder, served, run.exports / NAME, variant=name, measured=measured_best, figure=figure)
    times = run.once("times", "steps", lambda: seconds_per_step(config, data, scale, lambda: stream(config, data, scale)))
    metrics = {**numbers, "time of a step": times} if times else numbers
    more = {"failed": failed} if failed else {}
    return Findings(metrics, draw(config, data, numbers, pictures), {NAME: where}, more)


def variants(config: Config) -> list[tuple[str, str]]:
    """Pairs of body and regularizer; the strong one is for the paper's body of it alone, or the first."""
    strong = STRONG if STRONG in config.bodies else config.bodies[0]
    return [
        (body, regularizer)
        for body in config.bodies
        for regularizer in config.regularizers
        if regularizer != "nf_strong" or body == strong
    ]


def make_classifier(
    config: Config, run: Run, data: ImageData, scale: models.Standardization, body: str, regularizer: str
) -> IResNetClassifier:
    """A classifier, initialized from data; those of a body start from the same weights."""
    keras.utils.set_random_seed(config.seed)
    with run.strategy.scope(), as_user_error():
        model = models.make_classifier(config, data, body, regularizer)
    return model.initialize(scale(data.train[: config.init_images]))


def _better(found: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether it is the better one to serve: whose worst reconstruction is smaller."""
    errors = [
        math.inf if m["reconstruction_error"]["nonfinite_share"] else m["reconstruction_error"]["max"] for m in (found, other)
    ]
    return errors[0] < errors[1]


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    free = [name for name in metrics if name.endswith("_none")]
    for name in free:
        body, none = name.removesuffix("_none"), metrics[name]
        for regularizer in WEAK:
            if (m := metrics.get(f"{body}_{regularizer}")) is None:
                continue
            factor = ratio(_condition(none), _condition(m))
            lost = 100 * (none["test_accuracy"] - m["test_accuracy"])
            out[f"{body}, {regularizer}: condition number without it over that with it"] = factor
            if body.startswith("affine"):
                out[f"{body}, {regularizer}: at least 10 times"] = factor >= FACTOR
                out[f"{body}, {regularizer}: memory-saving gradients within 1 degree"] = _angle(m) <= ANGLE
            out[f"{body}, {regularizer}: points of accuracy lost"] = lost
            out[f"{body}, {regularizer}: at most 1"] = lost <= POINTS_LOST
        if body.startswith("affine"):
            out[f"{body}: memory-saving gradients without a regularizer, degrees"] = _angle(none)
            out[f"{body}: broken (beyond 10 degrees, or not finite)"] = not _angle(none) <= BROKEN_ANGLE
        if (strong := metrics.get(f"{body}_nf_strong")) is not None:
            lost = 100 * (none["test_accuracy"] - strong["test_accuracy"])
            out[f"{body}: points lost with a strong weight of the flow loss"] = lost
            out[f"{body}: it costs accuracy"] = lost > 0
    for every, factor in metrics.get("time of a step", {}).items():
        out[f"time of a step with finite differences {every}, over one without"] = factor
        if every == "every 10":
            out["at most 1.3 times at every 10th"] = factor <= OVERHEAD
    return out


def _condition(m: dict[str, Any]) -> float:
    """Condition number; where float64 cannot resolve the smallest value, what it certainly is at least."""
    known = [float(m[key]) for key in ("condition_number", "condition_number_at_least") if not math.isnan(float(m[key]))]
    return max(known, default=math.nan)


def _angle(m: dict[str, Any]) -> float:
    """Mean angle in degrees; not finite gradients are infinitely far off."""
    return math.inf if m["gradients_nonfinite"] else float(m["angle_degrees"])


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line per classifier."""
    lines = [f"{'':28s}{'accuracy':>10s}{'error max':>12s}{'not finite':>12s}{'condition':>12s}{'angle':>10s}"]
    for name, m in metrics.items():
        if "test_accuracy" in m:
            error = m["reconstruction_error"]
            cells = (m["test_accuracy"], error["max"], error["nonfinite_share"], _condition(m), _angle(m))
            widths = (10, 12, 12, 12, 10)
            lines.append(f"{name:28s}" + "".join(cell(c, w, ".4g") for c, w in zip(cells, widths, strict=True)))
    return lines
