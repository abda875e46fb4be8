"""What `python -m recipes.autoencoder` does: train every model at every bottleneck, measure it, report, export."""

from __future__ import annotations

import shutil
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.autoencoder import models, stability
from recipes.autoencoder.claims import claims, medians, trainings_of
from recipes.autoencoder.data import images_for, scaled
from recipes.autoencoder.intrinsic import saturation
from recipes.autoencoder.measuring import at_other_bottlenecks, measure
from recipes.autoencoder.report import AFTERWARDS, draw
from recipes.autoencoder.settings import Config
from recipes.autoencoder.training import steps_of, train
from recipes.common import files
from recipes.common.errors import as_user_error
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.exporting import export_once
from recipes.common.fid import Features, inception_weights, make_features
from recipes.common.numbers import cell

NAME = "autoencoder"
EXPORTS = {"inn": "autoencoder_inn", "inn_vae": "autoencoder_inn_vae"}
DIMENSION = "intrinsic dimension"
JOIN = ("models", "bottlenecks", "generative_bottlenecks", "repeats")  # trainings are independent: more may join a run


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and SavedModels; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[EXPORTS[name] for name in config.models if name in EXPORTS],
        batch_sizes=[config.batch],
        may_change=JOIN,
        extends=JOIN,
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment."""
    for name in config.models:
        images_for(config, name)  # what is wrong with them is known before anything is trained
    features = features_of(config)
    metrics: dict[str, Any] = {}
    pictures = {}
    kept = kept_trainings(config)
    for model, bottleneck, seed in config.trainings():
        name = name_of(model, bottleneck, seed)
        metrics[name] = one(config, run, model, bottleneck, seed, features)
        if seed == config.seed:
            with np.load(pictures_of(run, name)) as file:
                pictures[name] = dict(file)
        if name not in kept.values():  # its numbers stay, in progress.json
            shutil.rmtree(run.folder.checkpoints / name, ignore_errors=True)
    # Of the largest bottleneck alone: an earlier part of the run may have ended at another.
    largest = max((b for model, b, _ in config.trainings() if model == "inn"), default=0)
    seeds = range(config.seed, config.seed + config.repeats)
    after = run.folder.noted(AFTERWARDS)
    after = {name: after[name] for name in (name_of("inn", largest, seed) for seed in seeds) if name in after}
    more = {AFTERWARDS: after, DIMENSION: dimensions(metrics)}
    exported = {EXPORTS[model]: export(config, run, model, metrics[name]) for model, name in kept.items()}
    label = "no network knows this data set"
    if features is not None:
        label = features.label.removeprefix("FID (").removesuffix(")")
    report = draw(config, {**metrics, **more}, pictures, label)
    return Findings({**metrics, **more}, report, exported, {"sample_quality": label})


def one(config: Config, run: Run, model: str, bottleneck: int, seed: int, features: Features | None) -> dict[str, Any]:
    """The numbers of one training, which is made unless the run has them."""
    name = name_of(model, bottleneck, seed)

    def trained_and_measured() -> dict[str, Any]:
        data = images_for(config, model)
        built = make(config, run, model, bottleneck, seed)
        history = train(built, name, seed, config, data, steps_of(config, model, data), run.folder)
        print(f"{name}: measuring errors, codes, Jacobians ...", flush=True)
        board = tf.summary.create_file_writer(str(run.folder.logs / name))
        found, shown = measure(built, model, config, data, features, seed, board)
        with files.atomic(pictures_of(run, name)) as beside:
            np.savez_compressed(beside, **shown)
        others = [b for other, b, s in config.trainings() if other == model and s == seed]
        if model == "inn" and bottleneck == max(others) and len(others) > 1:
            run.once(AFTERWARDS, name, lambda: at_other_bottlenecks(built, others, data))
        about = {"model": model, "bottleneck": bottleneck, "seed": seed, "dataset": config.dataset, "name": name}
        return {**about, **found, "seconds": history[-1]["seconds"], "history": history}

    again = not pictures_of(run, name).exists()
    try:
        return run.once("trainings", name, trained_and_measured, again=again)
    finally:
        keras.utils.clear_session()  # of many models; each is made anew from its own seed


def make(config: Config, run: Run, model: str, bottleneck: int, seed: int) -> Any:
    """A model with its first weights, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    data = images_for(config, model)
    with run.strategy.scope(), as_user_error():
        return models.make_model(config, model, data.shape, bottleneck, seed, steps_of(config, model, data))


def export(config: Config, run: Run, model: str, found: dict[str, Any]) -> str | None:
    """Export a trained INN from its last checkpoint; returns the path."""
    data = images_for(config, model)
    built = make(config, run, model, found["bottleneck"], found["seed"])
    train(built, found["name"], found["seed"], config, data, steps_of(config, model, data), run.folder)
    target, batch = run.exports / EXPORTS[model], scaled(data.test[:32])
    print(f"{found['name']}: certifying the decoder round {config.certified_images} codes ...", flush=True)
    proved = stability.certified_for_the_card(built, data.test[: config.certified_images])
    return export_once(
        run.folder, built, target, variant=found["name"], measured=found | proved, figure=found["l1"], batch=batch
    )


def kept_trainings(config: Config) -> dict[str, str]:
    """The trainings that are exported, by model: the first seed's of the largest bottleneck."""
    found = {}
    for model in EXPORTS:
        widths = [bottleneck for name, bottleneck, _ in config.trainings() if name == model]
        if widths:
            found[model] = name_of(model, max(widths), config.seed)
    return found


def features_of(config: Config) -> Features | None:
    """To compare samples by; of celeba there are none without Inception's weights, its classes being unknown."""
    if not any(models.is_generative(name) for name in config.models):
        return None
    if config.dataset == "celeba" and inception_weights() is None:
        return None
    steps = 400 if config.preset != "smoke" else 20
    data = images_for(config, next(name for name in config.models if models.is_generative(name)))
    return make_features(data, seed=config.seed, steps=steps)


def dimensions(metrics: dict[str, Any]) -> dict[str, int | None]:
    """Where each model's curve stops falling: of the classical ones, an estimate of the data's intrinsic dimension."""
    curves = {model: medians(metrics, model) for model in {m["model"] for m in trainings_of(metrics)}}
    return {model: saturation(curve) for model, curve in sorted(curves.items()) if len(curve) > 2}


def name_of(model: str, bottleneck: int, seed: int) -> str:
    """Of a training.

    >>> name_of("inn", 12, 0)
    'inn_b12_seed0'
    """
    return f"{model}_b{bottleneck}_seed{seed}"


def pictures_of(run: Run, name: str) -> Any:
    """File with the pictures of a training."""
    return run.folder.path / f"pictures_{name}.npz"


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line a training."""
    columns = ("l1", "l2", "weights", "seconds", "mmd_squared", "mmd_p_value", "kid", "decoder_condition")
    lines = [f"{'':24s}" + "".join(f"{column.removeprefix('decoder_'):>12s}" for column in columns)]
    for name, m in metrics.items():
        if "l1" in m:
            lines.append(f"{name:24s}" + "".join(cell(m.get(column), 12) for column in columns))
    return lines
