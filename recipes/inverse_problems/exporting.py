"""The sampler of a problem as a SavedModel with one signature: `sample_posterior(y, n, seed)`."""

from __future__ import annotations

import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from inntf.serving.card import write_card
from inntf.serving.export import newest_version
from inntf.serving.input_checks import checked, checked_count, finite
from inntf.serving.rehearsal import refuse, try_elsewhere
from recipes.common.experiment import Run
from recipes.inverse_problems.posterior import Posterior
from recipes.inverse_problems.problems import simulate


class Sampler(Protocol):
    """What can be exported.

    Attributes:
        sample_posterior: traced, of `y`, `n` and `seed`.
        observed: some observations, to try it on.
    """

    sample_posterior: Any
    observed: np.ndarray


class PosteriorSampler(tf.Module):
    """`sample_posterior(y, n, seed)`: `(batch, dim y)`, a count and an integer to `(batch, n, dim x)`, in the problem's units.

    The graph needs TensorFlow alone.  The same seed gives the same samples.
    """

    def __init__(self, posterior: Posterior):
        super().__init__()
        method, coordinates = posterior.method, posterior.coordinates
        self._weights = [v.value if hasattr(v, "value") else v for v in method.variables]
        rounded = not method.supervised

        def sample(y: tf.Tensor, n: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
            y = finite("sample_posterior", "y", checked("sample_posterior", y, spec[0]))
            n = checked_count(n, method.dim_x * tf.shape(y)[0])
            rows = tf.repeat(coordinates.observed(y), n, axis=0)
            v = method.sample_posterior(rows, tf.stack([seed, 0]))
            x = coordinates.parameters(v, rounded=rounded)
            return {"x": tf.reshape(x, [tf.shape(y)[0], n, method.dim_x])}

        spec = tf.TensorSpec([None, method.dim_y], tf.float32, "y"), *(tf.TensorSpec([], tf.int32, k) for k in ("n", "seed"))
        self.sample_posterior = tf.function(sample, input_signature=spec, autograph=False)
        self.observed = simulate(coordinates.problem, 4, 0)[1].numpy()


def export_sampler(run: Run, name: str, sampler: Sampler, words: Mapping[str, Any], training: str = "") -> str:
    """Write `exports/NAME/VERSION` once a training: a run that goes on finds what it has exported.

    Args:
        run: the run.
        name: of the folder.
        sampler: a module with a traced `sample_posterior(y, n, seed)`.
        words: for `card.json`.
        training: whose sampler it is, where a run that goes on may find a better one.

    Returns:
        The version's folder.
    """
    done, key = run.folder.strings("exported"), f"{name} {training}".strip()
    if key in done and pathlib.Path(done[key]).is_dir():
        return done[key]
    where = str(write_sampler(run.exports / name, sampler, words))
    run.folder.note_progress(**{**run.folder.progress(), "exported": {**done, key: where}})
    return where


def write_sampler(folder: pathlib.Path, sampler: Sampler, words: Mapping[str, Any]) -> pathlib.Path:
    """Write the next version of a sampler, beside its place and renamed.

    Args:
        folder: of the sampler, whose versions are 1, 2, ...
        sampler: as in `export_sampler`.
        words: for `card.json`, plain data.

    Returns:
        The version's folder.

    Raises:
        ExportRefusedError: if it does not give in another process what it gives here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    version = newest_version(folder) + 1
    beside = folder / f".partial-{uuid.uuid4().hex}"
    try:
        served = sampler.sample_posterior
        plain = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # a sampler is not differentiated
        tf.saved_model.save(sampler, str(beside), {"sample_posterior": served, "serving_default": served}, plain)
        inputs = {"y": sampler.observed, "n": np.int32(3), "seed": np.int32(0)}
        given = {f"sample_posterior/{key}": value for key, value in inputs.items()}
        report = try_elsewhere(beside, {"sample_posterior": served.get_concrete_function()}, given)
        refuse(folder.name, report)
        write_card(beside, {"name": folder.name, "version": version, **words, "rehearsal": report})
        os.replace(beside, folder / str(version))
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return (folder / str(version)).absolute()


def card(posterior: Posterior, numbers: Mapping[str, Any], training: str, run: Run) -> dict[str, Any]:
    """What `card.json` says of a run's sampler."""
    measured = {key: value for key, value in numbers.items() if key != "history"}
    return {
        **names(posterior),
        "training": training,
        "chosen": "of the run's trainings that of the lowest Err_post, on the observations that measured is about",
        "preset": run.folder.config.preset,
        "measured": measured,
    }


def names(posterior: Posterior) -> dict[str, Any]:
    """What a card says of any sampler."""
    problem = posterior.coordinates.problem
    return {
        "problem": problem.name,
        "model": posterior.method.title,
        "parameters": list(problem.parameters),
        "observations": list(problem.observations),
        "signature": "sample_posterior: y (batch, dim y) float32, n int32, seed int32 -> x (batch, n, dim x) float32",
    }
