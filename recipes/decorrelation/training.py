"""Train one network, and what is looked at meanwhile."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import numpy as np

from inntf.stability import weakest_block
from recipes.common import files
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.scaling import to_pixels
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.decorrelation.images import stream
from recipes.decorrelation.measuring import SHOWN, Measurer
from recipes.decorrelation.models import Decorrelator
from recipes.decorrelation.settings import Config


def reconstructions_at(folder: RunFolder, name: str, step: int) -> pathlib.Path:
    """File with what some watched images have become after one pass at a step, `images` on the scale 0 to 255."""
    return folder.path / f"reconstructions_{name}_{step:07d}.npz"


def train(
    model: Decorrelator, name: str, config: Config, data: ImageData, measurer: Measurer, folder: RunFolder
) -> list[dict[str, Any]]:
    """Train from the newest checkpoint if there is one; returns the logged numbers."""

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, Any]:
        back, errors = measurer.reconstructions()
        finite = errors[np.isfinite(errors)]
        numbers = {
            **losses,
            **measurer.losses(),
            "reconstruction_error_median": float(np.median(finite)) if len(finite) else np.inf,
            "reconstruction_error_max": float(np.max(finite)) if len(finite) else np.inf,
            "reconstruction_error_nonfinite_share": 1 - len(finite) / len(errors),
        }
        if step % config.look_every == 0 or step == config.steps:
            numbers |= measurer.extremes()
            board.images(step, "reconstructions", to_pixels(np.concatenate([measurer.watched[:SHOWN], back[:SHOWN]])), SHOWN)
            with files.atomic(reconstructions_at(folder, name, step)) as beside:
                np.savez_compressed(beside, images=to_pixels(back[:SHOWN]).astype(np.float32))
        board.scalars(step, numbers, prefix="decorrelation")
        return {**numbers, "errors": errors.tolist()}

    remedy = "Lower --rate, or use --couplings additive_spectral."
    weights, trained = model.block.weights, model.block.trainable_weights
    parts = {"block": model.block, "optimizer": model.optimizer, "diagnose": lambda: weakest_block(model)}
    watch = Watch(folder, name, weights=weights, trained=trained, look=look, remedy=remedy, **parts)
    start = watch.restore(config.steps)
    fit_in_segments(model, name, lambda step: stream(data, config, step), start, config.steps, config.log_every, watch)
    return watch.finish()


def reconstructions_on_the_way(folder: RunFolder, name: str, history: list[dict[str, Any]]) -> dict[int, np.ndarray]:
    """What some watched images had become, by step, of the looks whose files are there."""
    found = {}
    for step in (int(look["step"]) for look in history):
        with contextlib.suppress(OSError, ValueError, KeyError), np.load(reconstructions_at(folder, name, step)) as file:
            found[step] = file["images"]
    return found
