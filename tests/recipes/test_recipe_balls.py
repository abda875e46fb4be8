"""Balls in trained models of recipes: the search finds true slopes, a certificate that lies is told."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import recipe_balls
from benchmarks.recipe_models import trained_models
from inntf.numerics import batch_jacobian
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.precision import shared_float64_copy
from recipes.toy_regression.experiment import run
from recipes.toy_regression.settings import PRESETS

pytestmark = pytest.mark.slow  # a training, and traces


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy")
    settings = {"out": str(path / "run"), "export_dir": str(path / "served"), "seed": 3, "preset": "smoke"}
    run(dataclasses.replace(PRESETS["smoke"], **settings))
    return path / "run"


@pytest.mark.parametrize("exact", [True, False])
def test_slopes_are_singular_values_and_grow_uphill(folder, exact, monkeypatch):
    monkeypatch.setattr(recipe_balls, "EXACT_UP_TO", 256 if exact else 0)
    model = next(trained_models(folder, 16))
    maps = BlockFunctions.of(model.block, model.data)
    maps = maps.wide(shared_float64_copy(maps.block))
    for inverse in (False, True):
        slopes, x = recipe_balls.Slopes(maps, inverse), model.data.astype(np.float64)
        found, uphill = slopes(x, np.random.default_rng(0))

        def true(x, slopes=slopes):
            return np.linalg.norm(batch_jacobian(slopes.value, tf.constant(x)).numpy(), 2, axis=(1, 2))

        np.testing.assert_allclose(found, true(x), rtol=1e-6 if exact else 1e-2)
        assert (found <= true(x) * (1 + 1e-9)).all()
        step = 1e-4 * uphill / np.maximum(np.linalg.norm(uphill, axis=1, keepdims=True), 1e-12)
        assert np.mean(true(x + step) >= true(x) * (1 - 1e-9)) > 0.9


def test_the_command_and_a_certificate_that_lies(folder, tmp_path, monkeypatch):
    out = tmp_path / "balls.jsonl"
    arguments = [str(folder), "--exponents", "-4", "--balls", "1", "--models", "none", "--out", str(out)]
    assert recipe_balls.main(arguments) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["model"] == "none" and len(row["ratios"]) == 2 and not row["violations"]
    honest = recipe_balls.certify_balls

    def lying(*arguments):
        found = honest(*arguments)
        return dataclasses.replace(found, inverse=0.9 * found.inverse_at_centre)

    monkeypatch.setattr(recipe_balls, "certify_balls", lying)
    out.unlink()
    assert recipe_balls.main(arguments) == 1
    assert json.loads(out.read_text())["violations"][0]["inverse"]
