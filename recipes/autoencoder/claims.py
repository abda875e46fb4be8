"""The paper's claims, each with what a run shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recipes.autoencoder.intrinsic import saturation
from recipes.common.numbers import ratio

FALLS, WINS, ALIKE = 0.75, 0.7, 0.25  # INN at 64 over itself at 12, over classic at 64; how far apart both are at 12
MMD_FALLS, COST = 5.0, 0.15  # of the INN-VAE beside the INN
LARGE = 256  # bottlenecks from which the INN beats the classical network on CIFAR-10

Numbers = Mapping[str, Mapping[str, Any]]


def trainings_of(metrics: Numbers) -> list[Mapping[str, Any]]:
    """The entries of the metrics that are trainings."""
    return [found for found in metrics.values() if "l1" in found]


def by_bottleneck(metrics: Numbers, model: str, key: str = "l1") -> dict[int, list[Any]]:
    """A measurement of a model by bottleneck, a value a seed."""
    out: dict[int, list[Any]] = {}
    for found in trainings_of(metrics):
        if found["model"] == model and key in found:
            out.setdefault(found["bottleneck"], []).append(found[key])
    return dict(sorted(out.items()))


def medians(metrics: Numbers, model: str, key: str = "l1") -> dict[int, float]:
    """The medians of `by_bottleneck`."""
    return {bottleneck: float(np.median(values)) for bottleneck, values in by_bottleneck(metrics, model, key).items()}


def claims(metrics: Numbers) -> dict[str, Any]:
    """Every claim that the trainings of a run allow to judge; medians over seeds."""
    out: dict[str, Any] = {}
    inn, classic = medians(metrics, "inn"), medians(metrics, "classic")
    if {12, 64} <= set(inn):
        factor = ratio(inn[64], inn[12])
        out["INN: L1 at 64 over L1 at 12"] = factor
        out[f"INN: below {FALLS}"] = factor < FALLS
    if 64 in inn and 64 in classic:
        factor = ratio(inn[64], classic[64])
        out["L1 at 64: INN over classic"] = factor
        out[f"L1 at 64: below {WINS}"] = factor < WINS
    if 12 in inn and 12 in classic:
        apart = ratio(max(inn[12], classic[12]), min(inn[12], classic[12])) - 1
        out["L1 at 12: how far INN and classic are apart"] = apart
        out["L1 at 12: within 25 %"] = apart <= ALIKE
    if any(m["dataset"] == "cifar10" for m in trainings_of(metrics)):
        for bottleneck in sorted(b for b in set(inn) & set(classic) if b >= LARGE):
            out[f"INN below classic at {bottleneck}"] = inn[bottleneck] < classic[bottleneck]
    out |= _saturations(metrics)
    return out | _priors(metrics)


def _saturations(metrics: Numbers) -> dict[str, Any]:
    """Classical curves stop falling, the INN's does not; of a curve that is not finite nothing is said."""
    out: dict[str, Any] = {}
    for model in ("classic", "classic_1024", "classic_2048", "classic_deep", "inn"):
        curve = medians(metrics, model)
        if len(curve) < 3 or not np.isfinite(list(curve.values())).all():  # of fewer points nothing is to be seen
            continue
        found = saturation(curve)
        name = model.replace("_", " ") if model != "inn" else "INN"
        out[f"{name}: saturates at"] = found if found is not None else "nowhere"
        out[f"{name}: {'saturates' if model != 'inn' else 'does not saturate'}"] = (found is None) == (model == "inn")
    return out


def _priors(metrics: Numbers) -> dict[str, Any]:
    """What the MMD in the loss does to codes and reconstructions."""
    out: dict[str, Any] = {}
    plain, vae = (by_bottleneck(metrics, model, "mmd_squared") for model in ("inn", "inn_vae"))
    errors, errors_vae = medians(metrics, "inn"), medians(metrics, "inn_vae")
    for bottleneck in sorted(set(plain) & set(vae)):
        before, after = float(np.median(plain[bottleneck])), float(np.median(vae[bottleneck]))
        cost = ratio(errors_vae[bottleneck], errors[bottleneck]) - 1
        where = f"INN-VAE at {bottleneck}"
        # The unbiased estimate is around zero, or below, where codes are as the prior.
        out[f"{where}: MMD^2 of the INN over its own"] = ratio(before, after) if after > 0 else "its own is zero"
        p_plain, p = (float(np.median(by_bottleneck(metrics, m, "mmd_p_value")[bottleneck])) for m in ("inn", "inn_vae"))
        falls = before >= MMD_FALLS**2 * max(after, 0.0) and p_plain < 0.05
        out[f"{where}: the MMD falls at least {MMD_FALLS:.0f} times"] = bool(np.isfinite([before, after]).all() and falls)
        out[f"{where}: p-value"] = p
        out[f"{where}: reconstruction cost"] = cost
        out[f"{where}: cost below {COST:.0%}"] = cost < COST
    return out
