"""The trained models of a recipe's run: made by the recipe's own code, with the weights of its newest checkpoints."""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.models import DensityModel
from inntf.nets import certify_norms
from recipes.common import files
from recipes.common.data import load_images


class Trained(NamedTuple):
    """Attributes: name of the model within its run; its block, built; data as it sees them, `(n, ...)` float32."""

    name: str
    block: Block
    data: np.ndarray


def trained_models(folder: pathlib.Path, points: int = 8, data_dir: str | None = None) -> Iterator[Trained]:
    """Every trained model of a run, one after the other.

    Args:
        folder: of the run.
        points: how many of its data come with each.
        data_dir: where the run's data set lies now, if not where it lay then.

    Raises:
        KeyError: for a recipe that is not listed here.
        ValueError: for a checkpoint that is not of the model which the settings make.
    """
    settings = files.read_json(folder / "config.json")
    recipe, settings["data_dir"] = settings.pop("recipe"), data_dir or settings["data_dir"]
    make = {
        "attack": _attack,
        "checkerboard": _checkerboard,
        "classification": _classification,
        "decorrelation": _decorrelation,
        "density": _density,
        "flowgan": _flowgan,
        "iresnet": _iresnet,
        "toy_regression": _toy_regression,
    }[recipe]
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    config = importlib.import_module(f"recipes.{recipe}.settings").Config(**arguments)
    for name, model, block, data in make(config, folder):
        if _restore(folder / "checkpoints" / name, model):
            certify_norms(block, rescale=True)  # as every recipe does before it measures
            yield Trained(name, block, np.asarray(data, np.float32)[:points])


_Made = Iterator[tuple[str, Any, Block, Any]]


def _restore(place: pathlib.Path, model: Any) -> bool:
    """Load the newest checkpoint; whether there is one."""
    steps = sorted(int(path.stem.removeprefix("ckpt-")) for path in place.glob("ckpt-*.json"))
    if not steps:
        return False
    part = "block" if isinstance(model, Block) else "model"
    variables = [v.value for v in model.variables]
    layout = files.read_json(place / f"ckpt-{steps[-1]}.json")["layout"][part]
    ours = [[v.dtype.name, *v.shape.as_list()] for v in variables]
    if layout != ours:
        raise ValueError(f"{place}: received a checkpoint of {layout}, expected {ours}. Use the commit that made the run.")
    checkpoint = tf.train.Checkpoint(**{part: variables})
    checkpoint.read(str(place / f"ckpt-{steps[-1]}")).assert_existing_objects_matched().expect_partial()
    return True


def _attack(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.attack import images, models

    data = images.load(config)
    for name in config.models:
        keras.utils.set_random_seed(config.seed)  # networks with fixed parts draw them from it
        model = DensityModel(models.make_flow(name, config, data.shape))
        models.compile_model(model, name, config)
        x = images.dequantized(tf.constant(data.test[:64]), config.bits, [config.seed, -1])
        yield name, model.initialize(x), model.block, x


def _checkerboard(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.checkerboard import data, models

    for name in models.NAMES if config.model == "all" else (config.model,):
        keras.utils.set_random_seed(config.seed)
        block = models.make_flow(name, config).block
        yield name, block, block, data.test_set(64, config.seed)


def _classification(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.classification import models
    from recipes.classification.experiment import variants

    data = load_images(config.dataset, config.data_dir).halvable(config.levels)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    scale = models.Standardization(data)
    for body, regularizer in variants(config):
        keras.utils.set_random_seed(config.seed)
        model = models.make_classifier(config, data, body, regularizer)
        model.initialize(scale(data.train[: config.init_images]))
        yield f"{body}_{regularizer}", model, model.body, scale(data.test[:64])


def _decorrelation(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.common.scaling import scaled
    from recipes.decorrelation import images, models

    data = images.load(config)
    for variant in models.variants(config):
        keras.utils.set_random_seed(config.seed)
        block = models.make_flow(config, data.shape, variant).block
        x = scaled(data.test[:64], config.noise, [config.seed, -1])
        block.initialize(x)
        yield variant.name, block, block, x


def _density(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.density import images, models

    data = images.load(config)
    for name in config.models:
        keras.utils.set_random_seed(config.seed)
        model = DensityModel(models.make_flow(name, config, data.shape))
        models.compile_model(model, name, config)
        x = images.noisy(data.test[:64], config, images.TEST)
        yield name, model.initialize(x), model.block, x


def _flowgan(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.flowgan import models
    from recipes.flowgan.experiment import trainings

    data = load_images(config.dataset, config.data_dir).halvable(config.levels)
    x = models.scaled(data.test[:64], config.seed)
    for objective, architecture in trainings(config):
        keras.utils.set_random_seed(config.seed)
        flow = models.make_flow(config, data.shape, architecture)
        flow.initialize(x)
        yield f"{objective}_{architecture}", flow.block, flow.block, x


def _iresnet(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.iresnet import models, toys

    keras.utils.set_random_seed(config.seed)
    found = files.read_json(folder / "result.json")["metrics"]
    for toy, pair in found.get("toys", {}).items():
        for name in pair:
            weights = pair["residual"]["weights"] if name != "residual" else None
            model = DensityModel(models.make_toy_flow(name, config, weights))
            x = toys.test_set(toy, 64, config.seed)
            yield f"toys_{toy}_{name}", _compiled(model.initialize(x)), model.block, x
    if not {"density", "classify"} & set(found):
        return
    images = load_images(config.dataset, config.data_dir)
    data = images.halvable(config.levels)
    for name in found.get("density", {}):
        weights = found["density"]["residual"]["weights"] if name != "residual" else None
        model = DensityModel(models.make_image_flow(name, config, data.shape, weights))
        x = models.dequantized(tf.constant(data.test[:64]), tf.constant([config.seed, -1]))
        yield f"density_{name}", _compiled(model.initialize(x)), model.block, x
    data = images.halvable(len(config.blocks) - 1 + config.squeeze_first)
    for name, numbers in found.get("classify", {}).items():
        if numbers["coefficient"] is not None:  # the unconstrained twin has no inverse
            classifier = models.make_classifier(config, data.shape, data.classes, numbers["coefficient"])
            x = models.unit(data.test[:64])
            yield f"classify_{name}", classifier.initialize(x), classifier.body, x


def _compiled(model: DensityModel) -> DensityModel:
    model.compile(keras.optimizers.Adam())
    return model


def _toy_regression(config: Any, folder: pathlib.Path) -> _Made:
    from recipes.toy_regression import data
    from recipes.toy_regression.experiment import variants
    from recipes.toy_regression.models import make_flow

    x = data.pairs(config.points, config.seed)[0]
    for name in variants(config):
        keras.utils.set_random_seed(config.seed)
        block = make_flow(config, name.replace("-", "_")).block
        block.initialize(x)
        yield name, block, block, x
