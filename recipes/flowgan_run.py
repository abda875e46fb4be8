"""What `python -m recipes.flowgan` does: train every variant, measure it, refit its prior, report, export."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import refit_prior
from inntf.nets import certify_norms
from inntf.serving import export
from inntf.stability import reconstruction_error, repeated_reconstruction, singular_values, summarize
from recipes import flowgan_models as models
from recipes.common.data import load_images
from recipes.common.errors import UserError, as_user_error
from recipes.common.exporting import export_once
from recipes.common.fid import as_pixels, fid, make_features
from recipes.common.image_data import ImageData
from recipes.common.numbers import cell, claim_lines, ratio
from recipes.common.places import export_root
from recipes.common.run_folder import RunFolder
from recipes.common.strategy import check_batch_size, make_strategy
from recipes.flowgan import RECIPE, Config
from recipes.flowgan_report import draw
from recipes.flowgan_training import train

_STEPS = {"mle": "steps_mle", "hybrid": "steps_hybrid", "adv": "steps_adv"}


def variants(config: Config) -> list[tuple[str, str]]:
    """The (objective, architecture) pairs of a run."""
    if config.objective == "all":
        return [("mle", "stable"), ("hybrid", "stable"), ("adv", "stable"), ("adv", "unstable")]
    return [(config.objective, config.architecture)]


def run(config: Config) -> dict[str, Any]:
    """Train, measure, write `result.json`, `report.png` and a SavedModel; returns the result."""
    config.check()
    strategy = make_strategy(config.strategy)
    check_batch_size(strategy, config.batch_size)
    root = export_root(config.export_dir, [RECIPE.name])
    with RunFolder.open(config, RECIPE.name, may_change=list(_STEPS.values())) as folder:
        if folder.finished:
            print(f"{folder.path} holds a finished run; its result stands.")
            return folder.result()
        data = _prepared(config)
        check_data(config, data)
        features = make_features(data, seed=config.seed, steps=400 if config.preset != "smoke" else 20)
        done: dict[str, Any] = folder.noted("variants")
        pictures, flows = {}, {}
        for objective, architecture in variants(config):
            name = f"{objective}_{architecture}"
            keras.utils.set_random_seed(config.seed)
            with strategy.scope(), as_user_error():
                gan = models.make_gan(config, data.shape, objective, architecture)
            initialize(gan, data, config.seed)
            history = train(gan, name, getattr(config, _STEPS[objective]), config, data, folder)
            certify_norms(gan.block, rescale=True)  # from here on the spectral norms hold exactly
            flows[name] = gan.flow
            if name not in done:
                print(f"{name}: measuring the inverse, the prior, the samples ...", flush=True)
                done[name] = {**measure(gan, data, features, config), "history": history}
                folder.note_progress(**{**folder.progress(), "variants": done})
            pictures[name] = take_pictures(gan.flow, data, config.seed)
        best = "hybrid_stable" if "hybrid_stable" in flows else next(iter(flows))
        folder.write_figure("report.png", draw(config, data, features.label, done, pictures))
        where = export_once(
            folder,
            root / RECIPE.name,
            lambda: export_flow(flows[best], best, config, root, done[best]),
            done[best]["bits_per_dim"],
        )
        metrics = {name: {k: v for k, v in numbers.items() if k != "history"} for name, numbers in done.items()}
        result = folder.finish(metrics, claims=claims(metrics), exported=where, sample_quality=features.label)
    print(summary(result))
    print(f"report: {folder.path / 'report.png'}\nresult: {folder.path / 'result.json'}\nSavedModel: {where or 'none'}")
    print(f"tensorboard --logdir {folder.logs}")
    return result


def _prepared(config: Config) -> ImageData:
    data = load_images(config.dataset, config.data_dir)
    side = 2**config.levels
    size = -(-max(data.shape[:2]) // side) * side
    data = data if data.shape[:2] == (size, size) else data.padded(size)
    return data.first(train=256, test=64) if config.preset == "smoke" else data


def check_data(config: Config, data: ImageData) -> None:
    """Refuse settings that ask for more images than there are, before anything is trained.

    Raises:
        UserError: naming the flag.
    """
    data.check_batch(config.batch_size, "--batch-size")
    if len(data.test) < 2:
        raise UserError(f"{data.name}: received {len(data.test)} test images, expected at least 2 for the Frechet distance")
    if config.jacobian_images > len(data.test):
        raise UserError(f"--jacobian-images: received {config.jacobian_images} for {len(data.test)} test images")


def initialize(gan: Any, data: ImageData, seed: int) -> None:
    """ActNorm from the first images, between the blocks and inside them."""
    gan.flow.initialize(models.scaled(data.train[:256], seed))


def measure(gan: Any, data: ImageData, features: Any, config: Config) -> dict[str, Any]:
    """Likelihood, inverse, singular values, samples, refitted prior of one trained flow."""
    flow = gan.flow
    test, train_x = models.scaled(data.test, 1), models.scaled(data.train, 2)
    some = test[:256]
    on_train, on_test = models.latents(flow, train_x, test)
    log_prob = on_test.log_prob()
    errors = summarize(np.concatenate([reconstruction_error(flow, some[i : i + 64]).numpy() for i in range(0, len(some), 64)]))
    values = singular_values(flow, test[: config.jacobian_images], iterations=40, tolerance=1e-3)
    passes = repeated_reconstruction(flow, test[:32], 9)
    samples, broken = as_pixels(models.to_pixels(models.sample_in_batches(flow, config.fid_images, config.seed)))
    bounds = gan.block.lipschitz_bounds()
    out = {
        "bits_per_dim": _bits(gan, log_prob),
        "log_prob_nonfinite_share": float(np.mean(~np.isfinite(log_prob))),
        "log_det_mean": float(np.mean(on_test.log_det)),
        "reconstruction_error": errors._asdict(),
        "reconstruction_error_after_9_passes": summarize(passes.errors[-1])._asdict(),
        "largest_singular_value": _worst(values.largest, max),
        "smallest_singular_value": _worst(values.smallest, min),
        "condition_number": _worst(values.condition_number, max),
        "condition_number_at_least": _worst(values.condition_at_least, max),
        "jacobian_consistent": bool(np.all(values.consistent)),
        "certified_forward": float(bounds.forward),
        "certified_inverse": float(bounds.inverse),
        "fid": fid(features, data.test[: config.fid_images], samples[: len(data.test)]),
        "samples_nonfinite_share": broken,
        "weights": int(sum(np.prod(w.shape) for w in gan.block.trainable_weights)),
    }
    return {**out, "prior_refit": measure_refit(gan, on_train, on_test)}


def measure_refit(gan: Any, on_train: models.Latents, on_test: models.Latents) -> dict[str, Any]:
    """Bits/dim before and after fitting the base's variance, in closed form and by gradient."""
    out: dict[str, Any] = {}
    try:
        second = on_train.second_moment()
        fits = {m: refit_prior(gan.flow, second_moment=second, method=m) for m in ("closed_form", "gradient")}
    except ValueError as error:
        return {"failed": str(error)}
    for split, images in (("train", on_train), ("test", on_test)):
        out[f"{split}_before"] = _bits(gan, images.log_prob())
        for method, fit in fits.items():
            out[f"{split}_{method}"] = _bits(gan, images.log_prob(fit.scale))
    out["gain_nats_closed_form"], out["gain_nats_gradient"] = fits["closed_form"].gain, fits["gradient"].gain
    out["relative_difference"] = abs(fits["gradient"].gain / fits["closed_form"].gain - 1) if fits["closed_form"].gain else 0.0
    return out


def take_pictures(flow: Any, data: ImageData, seed: int) -> dict[str, Any]:
    """Samples, samples after the prior is refitted, and nine passes forward and back, as pixels."""
    x = models.scaled(data.test[:8], 1)
    (on_train,) = models.latents(flow, models.scaled(data.train, 2))
    try:
        refitted = models.sample_in_batches(refit_prior(flow, second_moment=on_train.second_moment()).flow, 32, seed)
    except ValueError:
        refitted = np.full((32, *data.shape), np.nan)
    return {
        "samples": models.to_pixels(models.sample_in_batches(flow, 32, seed)),
        "refitted": models.to_pixels(refitted),
        "passes": models.to_pixels(repeated_reconstruction(flow, x, 9).samples),
    }


def export_flow(flow: Any, variant: str, config: Config, root: pathlib.Path, numbers: dict[str, Any]) -> pathlib.Path:
    """The flow over integer pixels as a SavedModel."""
    card = {"recipe": "flowgan", "variant": variant, "preset": config.preset, "dataset": config.dataset, "seed": config.seed}
    card |= {"measured": {k: v for k, v in numbers.items() if k != "history"}}
    return export(models.over_pixels(flow), root / RECIPE.name, card=card)


def _bits(gan: Any, log_prob: np.ndarray) -> float:
    return float(gan.bits_per_dim(tf.constant(-np.mean(log_prob.astype(np.float64)))))


def _worst(values: Any, which: Any) -> float:
    finite = [float(v) for v in np.asarray(values) if np.isfinite(v)]
    return which(finite) if finite else math.nan


def claims(metrics: dict[str, Any]) -> dict[str, Any]:
    """The papers' claims, each with what this run shows."""
    out: dict[str, Any] = {}
    for name, m in metrics.items():
        refit = m["prior_refit"]
        if "failed" not in refit:
            out[f"{name}: refit never lowers the training likelihood"] = (
                refit["train_closed_form"] <= refit["train_before"] + 1e-6
            )
            likelihoods = ratio(refit["train_gradient"], refit["train_closed_form"])
            out[f"{name}: gradient refit within 1 % of the closed form"] = abs(likelihoods - 1) < 0.01
    if len(metrics) < 4:
        return out
    mle, hybrid, stable, unstable = (metrics[k] for k in ("mle_stable", "hybrid_stable", "adv_stable", "adv_unstable"))
    out["bits/dim MLE < hybrid < ADV"] = mle["bits_per_dim"] < hybrid["bits_per_dim"] < stable["bits_per_dim"]
    out["ADV at least 1 bit/dim above MLE"] = stable["bits_per_dim"] >= mle["bits_per_dim"] + 1
    factor = ratio(unstable["condition_number"], stable["condition_number"])
    out["condition number, unstable over stable"] = factor
    out["condition number at least 100 times"] = factor >= 100
    broken = unstable["reconstruction_error"]
    out["unstable: reconstruction visibly broken (9 passes)"] = not unstable["reconstruction_error_after_9_passes"]["max"] < 1.0
    out["unstable: largest reconstruction error"] = broken["max"]
    out["stable: reconstruction error below 1e-3"] = stable["reconstruction_error"]["max"] < 1e-3
    return out


def summary(result: dict[str, Any]) -> str:
    """A table for the terminal."""
    lines = [f"{'':16s}{'bits/dim':>12s}{'error max':>12s}{'condition':>12s}{'FID':>10s}{'refit gain':>12s}"]
    for name, m in result["metrics"].items():
        gain = m["prior_refit"].get("gain_nats_closed_form", math.nan)
        cells = (m["bits_per_dim"], m["reconstruction_error"]["max"], m["condition_number"], m["fid"], gain)
        lines.append(f"{name:16s}" + "".join(cell(c, w) for c, w in zip(cells, (12, 12, 12, 10, 12), strict=True)))
    return "\n".join([*lines, *claim_lines(result["claims"])])
