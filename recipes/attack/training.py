"""Train one of the flows by maximum likelihood, from its newest checkpoint if there is one."""

from __future__ import annotations

import keras
import tensorflow as tf

from inntf.models import DensityModel, Flow
from inntf.stability import reconstruction_error, summarize, weakest_block
from inntf.training import certify_spectral_norms
from recipes.attack import images
from recipes.attack.models import compile_model, make_flow
from recipes.attack.settings import Config
from recipes.common.bits_per_dim import BitsPerDim
from recipes.common.errors import as_user_error
from recipes.common.experiment import Run
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch

_TEST, _INIT = -1, -2  # seeds of noise; steps count from 0
_WATCHED = 32


def train(name: str, config: Config, data: ImageData, run: Run) -> tuple[Flow, list[dict[str, float]]]:
    """The trained flow, its spectral norms certified, and what was logged."""
    keras.utils.set_random_seed(config.seed)  # the weights of each are the same whatever was made before
    with run.strategy.scope(), as_user_error():
        model = DensityModel(make_flow(name, config, data.shape))
        compile_model(model, name, config)
    model.initialize(images.dequantized(tf.constant(data.train[:256]), config.bits, [config.seed, _INIT]))
    likelihood, test = BitsPerDim(model.flow, config.bits), noisy_test(data, config)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers = {"loss": losses["loss"], "test_bits_per_dim": likelihood(test[:256])}
        if name != "residual":  # its inverse is an iteration to rounding, whatever its weights
            numbers["reconstruction_error_max"] = summarize(reconstruction_error(model.block, test[:_WATCHED])).max
        board.scalars(step, numbers, prefix="attack")
        return numbers

    remedy = "Lower --rate-affine or --rate-residual."
    # `variables`, not `weights`: the states of seed generators are among them.
    parts = {"model": model.variables, "optimizer": model.optimizer, "diagnose": lambda: weakest_block(model)}
    trained = model.trainable_weights
    watch = Watch(run.folder, name, weights=model.weights, trained=trained, look=look, remedy=remedy, **parts)
    start, steps = watch.restore(), config.steps(name)
    fit_in_segments(model, name, lambda i: images.stream(data, config, i), start, steps, config.between_looks(name), watch)
    certify_spectral_norms(model.block, rescale=True)  # from here on the spectral norms hold exactly
    return model.flow, watch.finish()


def noisy_test(data: ImageData, config: Config) -> tf.Tensor:
    """Test images with the noise of dequantization, on the scale [0, 1)."""
    return images.dequantized(tf.constant(data.test[: config.test_images]), config.bits, [config.seed, _TEST])
