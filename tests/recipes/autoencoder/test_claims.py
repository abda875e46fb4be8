"""What is concluded from the numbers."""

import numpy as np
import pytest

from recipes.autoencoder.claims import claims
from recipes.autoencoder.experiment import dimensions
from recipes.autoencoder.intrinsic import saturation
from recipes.autoencoder.settings import PRESETS

PUBLISHED = {"inn": {12: 0.035, 32: 0.0224, 64: 0.0185}, "classic": {12: 0.0357, 32: 0.0369, 64: 0.0355}}


def metrics(curves, seeds=1, dataset="mnist_5k", **more):
    return {
        f"{model}_{b}_{seed}": {"model": model, "bottleneck": b, "seed": seed, "dataset": dataset, "l1": l1, **more}
        for model, curve in curves.items()
        for b, l1 in curve.items()
        for seed in range(seeds)
    }


def test_the_published_curves_show_what_the_paper_claims():
    found = claims(metrics(PUBLISHED, seeds=3))
    assert found["INN: below 0.75"] and found["L1 at 64: below 0.7"] and found["L1 at 12: within 25 %"]
    assert found["classic: saturates at"] == 12 and found["classic: saturates"]
    assert found["INN: saturates at"] == "nowhere" and found["INN: does not saturate"]
    assert dimensions(metrics(PUBLISHED)) == {"classic": 12, "inn": None}


def test_curves_that_show_nothing_of_it():
    flat = {"inn": {12: 0.05, 32: 0.05, 64: 0.05}, "classic": {12: 0.09, 32: 0.07, 64: 0.05}}
    found = claims(metrics(flat))
    assert not any(value is True for value in found.values())


def test_saturation_compares_with_all_larger_bottlenecks():
    assert saturation({1: 0.1, 2: 0.099, 4: 0.05}) is None
    assert saturation({4: 0.05, 1: 0.1, 2: 0.052}) == 2
    assert saturation({1: 0.1}) is None and saturation({}) is None


def test_large_bottlenecks_are_for_cifar10():
    curves = {"inn": {128: 0.05, 256: 0.03, 1024: 0.02}, "classic": {128: 0.04, 256: 0.04, 1024: 0.01}}
    found = claims(metrics(curves, dataset="cifar10"))
    assert found["INN below classic at 256"] and not found["INN below classic at 1024"]
    assert not any("at 128" in claim for claim in found)


def test_a_prior_is_compared_at_the_same_bottleneck():
    plain = metrics({"inn": {12: 0.05}}, mmd_squared=1.0, mmd_p_value=0.002)
    near = metrics({"inn_vae": {12: 0.056}}, mmd_squared=-0.001, mmd_p_value=0.4)
    found = claims(plain | near)
    assert found["INN-VAE at 12: the MMD falls at least 5 times"] and found["INN-VAE at 12: cost below 15%"]
    assert found["INN-VAE at 12: p-value"] == 0.4
    far = metrics({"inn_vae": {12: 0.06}}, mmd_squared=0.05, mmd_p_value=0.002)
    found = claims(plain | far)
    assert not found["INN-VAE at 12: the MMD falls at least 5 times"] and not found["INN-VAE at 12: cost below 15%"]
    assert "INN-VAE at 6: p-value" not in claims(plain | metrics({"inn_vae": {6: 0.05}}, mmd_squared=0.1))


@pytest.mark.parametrize(
    ("before", "after"), [((np.inf, 0.0), (np.inf, 0.0)), ((1e-6, 0.5), (-1e-6, 0.5)), ((1.0, 0.0), (np.nan, 0.0))]
)
def test_nothing_falls_where_nothing_was_measured_or_there_was_nothing_to_fall(before, after):
    sets = [({"inn": {12: 0.05}}, before), ({"inn_vae": {12: 0.05}}, after)]
    plain, near = (metrics(curve, mmd_squared=value, mmd_p_value=p) for curve, (value, p) in sets)
    assert not claims(plain | near)["INN-VAE at 12: the MMD falls at least 5 times"]


def test_curves_that_are_not_finite_say_nothing_of_saturation():
    found = claims(metrics({"inn": {12: 0.05, 32: np.nan, 64: np.nan}}))
    assert not any("saturate" in claim for claim in found)


def test_presets_hold():
    for preset in PRESETS.values():
        preset.check()
