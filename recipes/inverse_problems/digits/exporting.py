"""The sampler as a SavedModel with one signature, `sample_posterior(y, n, seed)`, over whole images."""

from __future__ import annotations

import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from inntf.serving.card import write_card
from inntf.serving.export import newest_version
from recipes.common.experiment import Run
from recipes.inverse_problems.digits.sampling import HiddenSampler


def export_sampler(run: Run, name: str, sampler: HiddenSampler, numbers: Mapping[str, Any]) -> str:
    """Write `exports/NAME/VERSION`, beside its place and renamed; a run that goes on finds what it has exported.

    Args:
        run: the run.
        name: of the folder.
        sampler: of the trained flow.
        numbers: what was measured of it.

    Returns:
        The version's folder.
    """
    done = run.folder.strings("exported")
    if name in done and pathlib.Path(done[name]).is_dir():
        return done[name]
    folder = run.exports / name
    folder.mkdir(parents=True, exist_ok=True)
    version = newest_version(folder) + 1
    beside = folder / f".partial-{uuid.uuid4().hex}"
    try:
        served = sampler.sample_posterior
        tf.saved_model.save(sampler, str(beside), signatures={"sample_posterior": served, "serving_default": served})
        write_card(beside, card(run, sampler, numbers))
        os.replace(beside, folder / str(version))
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    where = str((folder / str(version)).absolute())
    run.folder.note_progress(**{**run.folder.progress(), "exported": {**done, name: where}})
    return where


def card(run: Run, sampler: HiddenSampler, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What `card.json` says."""
    config, observing = run.folder.config, sampler.observing
    return {
        "problem": "digits",
        "dataset": config.dataset,
        "preset": config.preset,
        "seed": config.seed,
        "hidden": observing.hidden,
        "box": list(observing.box),
        "bits": observing.bits,
        "signature": "sample_posterior: y (batch, 28, 28, 1) uint8, whatever is in the box, n int32, seed int32 -> "
        "x (batch, n, 28, 28, 1) uint8",
        "measured": {key: value for key, value in numbers.items() if key != "history"},
    }
