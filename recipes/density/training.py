"""Train one of the flows by maximum likelihood, from its newest checkpoint if there is one, and watch its inverse."""

from __future__ import annotations

from typing import Any

import keras

from inntf.models import DensityModel
from inntf.stability import weakest_block
from inntf.training import certify_spectral_norms
from recipes.common.errors import as_user_error
from recipes.common.experiment import Run
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.scaling import to_pixels
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.density.images import INIT, noisy, stream
from recipes.density.measuring import SHOWN, Measurer
from recipes.density.models import compile_model, make_flow
from recipes.density.scalars import DESCRIPTIONS, scalars
from recipes.density.settings import Config


def train(name: str, config: Config, data: ImageData, run: Run) -> tuple[Measurer, list[dict[str, Any]]]:
    """The trained flow, its spectral norms certified, in what measures it; and the looks at it, the first one untrained."""
    keras.utils.set_random_seed(config.seed)  # the weights of each are the same whatever was made before
    with run.strategy.scope(), as_user_error():
        model = DensityModel(make_flow(name, config, data.shape))
        compile_model(model, name, config)
    model.initialize(noisy(data.train[: config.init_images], config, INIT))
    measurer = Measurer(model.flow, config, data)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, Any]:
        with measurer.certified():
            numbers, pictures = measurer.look(), measurer.pictures(measurer.watched[:SHOWN])
        board.scalars(step, scalars(numbers), "density", DESCRIPTIONS)
        pictures = to_pixels(pictures.reshape(-1, *data.shape))
        board.images(step, "density/test_images_by_passes", pictures, SHOWN)
        return {**losses, **numbers}

    remedy = "Lower --rate or --rate-residual."
    # `variables`, not `weights`: the states of seed generators are among them.
    parts = {"model": model.variables, "optimizer": model.optimizer, "diagnose": lambda: weakest_block(model)}
    trained = model.trainable_weights
    watch = Watch(run.folder, name, weights=model.weights, trained=trained, look=look, remedy=remedy, **parts)

    def untrained() -> dict[str, Any]:
        with Summaries(run.folder.logs / name) as board:
            return {"step": 0, **look(0, {}, board)}

    first = run.once("untrained", name, untrained)
    start, steps = watch.restore(), config.steps_of(name)
    fit_in_segments(model, name, lambda i: stream(data, config, i), start, steps, config.every(name), watch)
    certify_spectral_norms(model.block, rescale=True)  # from here on the spectral norms hold exactly
    return measurer, [first, *watch.finish()]
