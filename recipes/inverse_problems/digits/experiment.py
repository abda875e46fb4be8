"""What `python -m recipes.inverse_problems.digits` does: train both flows, sample, measure, draw, export."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from recipes.common import files
from recipes.common.experiment import Findings, Run, conduct
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell
from recipes.inverse_problems.digits import measuring
from recipes.inverse_problems.digits.card import card
from recipes.inverse_problems.digits.report import draw
from recipes.inverse_problems.digits.sampling import HiddenSampler
from recipes.inverse_problems.digits.settings import Config
from recipes.inverse_problems.digits.training import Trained, load, train, train_likelihood
from recipes.inverse_problems.exporting import export_sampler

NAME, EXPORT = "inverse_problems.digits", "inverse_digits"
MODELS = ("shown", "blind")
CHANCE = 0.1
LARGEST_ERROR = 1e-3


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and the sampler; returns the result."""
    return conduct(
        config,
        NAME,
        lambda run: work(config, run),
        claims=claims,
        table=table,
        exports=[EXPORT],
        batch_sizes=[config.batch_size],
    )


def work(config: Config, run: Run) -> Findings:
    """The experiment; whatever is finished is kept, and not made again when a killed run goes on."""
    data = load(config)
    numbers: dict[str, Any] = {}
    samples: dict[str, np.ndarray] = {}
    samplers = {}
    for name in MODELS:
        trained = train(config, data, run, blind=name == "blind")
        samplers[name] = HiddenSampler(trained.model.flow, trained.observing, data.test[:2])
        numbers[name], samples[name] = _measured(name, trained, samplers[name], data, config, run)
    observing = samplers["shown"].observing
    seen = data.test[: config.observations]
    labels = data.test_labels[: config.observations]
    nothing = np.zeros((len(seen), 1, *observing.shape), np.float32)
    levels = observing.levels(seen)
    references = {"truth": levels[:, None].numpy(), "hidden part black": observing.whole(nothing, levels).numpy()}
    numbers["recognized"] = {key: measuring.recognized(observing.pixels(images), labels) for key, images in references.items()}
    where = export_sampler(run, EXPORT, samplers["shown"], card(run, samplers["shown"], numbers["shown"]))
    return Findings(numbers, draw(config, data, observing, numbers, samples), {EXPORT: where})


def _measured(
    name: str, trained: Trained, sampler: HiddenSampler, data: ImageData, config: Config, run: Run
) -> tuple[dict[str, Any], np.ndarray]:
    """Numbers and samples of one flow, or what an earlier part of the run has of them."""
    stored = run.folder.path / f"samples_{name}.npz"

    def measured() -> dict[str, Any]:
        print(f"{name}: sampling hidden parts, measuring ...", flush=True)
        seen = data.test[: config.observations]
        samples = sampler.sample(seen, config.samples, config.seed)
        with files.atomic(stored) as beside:
            np.savez_compressed(beside, samples=samples)
        observing = trained.observing
        top, bottom, left, right = observing.box
        levels = observing.levels(seen)
        unit, truth = 2**config.bits - 1, levels.numpy()[:, top:bottom, left:right]
        last = trained.history[-1]
        whole = observing.pixels(observing.whole(samples.astype(np.float32), levels).numpy())
        tests = measuring.calibration(samples / unit, truth / unit, config)
        return {
            "bits_per_dim": last["test_bits_per_dim"],
            "bits_per_dim_of_training_images": train_likelihood(trained, config, data),
            "seen_difference": measuring.resimulated(observing, samples, levels),
            **measuring.spread(samples / unit, truth / unit),
            **{f"{key}_p": float(test.p_value) for key, test in tests.items()},
            "rank_deviation": measuring.rank_deviation(tests["sbc"]),
            "dims": trained.model.flow.dim,
            "recognized": measuring.recognized(whole, data.test_labels[: config.observations]),
            **measuring.stability(trained, observing.levels(data.test[: config.test_images]), config),
            "weights": sum(int(np.prod(w.shape)) for w in trained.model.trainable_weights),
            "seconds": last["seconds"],
            "history": trained.history,
        }

    numbers = run.once("models", name, measured, again=not (stored.exists() and zipfile.is_zipfile(stored)))
    with np.load(stored) as file:
        return numbers, file["samples"]


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the issue asks of the problem, each with what this run shows."""
    shown, blind = metrics["shown"], metrics["blind"]
    share, error = shown["recognized"]["share"], shown["recognized"]["error"]
    blind_share, blind_error = blind["recognized"]["share"], blind["recognized"]["error"]
    saved = blind["bits_per_dim"] - shown["bits_per_dim"]
    return {
        "bits per hidden pixel that seeing the rest saves": saved,
        "bits per image": saved * shown["dims"],
        "seeing the rest helps": bool(shown["bits_per_dim"] < blind["bits_per_dim"]),
        "what is seen is in every sample, exactly": shown["seen_difference"] == 0.0,
        "samples differ in the hidden part: mean deviation of a pixel": shown["sd"],
        "energy score below that of a point mass at the mean": bool(shown["energy_score"] < shown["energy_score_of_mean"]),
        "the true digit is seen in samples (share)": share,
        "more often than by chance, by 3 standard errors": bool(share - 3 * error > CHANCE),
        "more often than in those of the blind flow, by 3 standard errors": bool(
            share - blind_share > 3 * np.hypot(error, blind_error)
        ),
        "not rejected at 1 % by ranks, coverage, TARP": bool(min(shown[f"{test}_p"] for test in measuring.TESTS) > 0.01),
        "deviation of ranks over that of uniform ones (above 1: too narrow)": shown["rank_deviation"],
        "spread of pixels over error (1 if calibrated)": shown["spread_over_error"],
        "largest error of reconstructed test images": shown["reconstruction_max"],
        "below 1e-3, all finite": bool(shown["reconstruction_max"] < LARGEST_ERROR and not shown["not_finite"]),
    }


def table(metrics: dict[str, Any]) -> list[str]:
    """The numbers, a line a flow."""
    heads = {
        "bits/dim": "bits_per_dim",
        "training": "bits_per_dim_of_training_images",
        "sd": "sd",
        "spread/err": "spread_over_error",
        "ranks": "rank_deviation",
        "energy": "energy_score",
        "of mean": "energy_score_of_mean",
        "SBC p": "sbc_p",
        "coverage p": "coverage_p",
        "TARP p": "tarp_p",
        "inverse": "reconstruction_max",
        "condition": "condition_median",
    }
    lines = [f"{'':18s}" + "".join(f"{head:>11s}" for head in heads) + f"{'recognized':>12s}"]
    for name in MODELS:
        m = metrics[name]
        lines.append(
            f"{name:18s}"
            + "".join(cell(m[key], 11, ".3g") for key in heads.values())
            + cell(m["recognized"]["share"], 12, ".3f")
        )
    for name, found in metrics["recognized"].items():
        lines.append(f"{name:18s}" + " " * 11 * len(heads) + cell(found["share"], 12, ".3f"))
    return lines
