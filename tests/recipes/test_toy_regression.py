"""The toy regression: its pairs, its claims, and the whole of it, small."""

import dataclasses
import json
import math

import numpy as np
import pytest

from recipes.common.errors import UserError
from recipes.common.run_folder import RunFolder
from recipes.toy_regression import data, experiment
from recipes.toy_regression.measuring import Measurer
from recipes.toy_regression.models import make_flow
from recipes.toy_regression.settings import PRESETS


def config(tmp_path, **settings):
    places = {"out": tmp_path / "run", "export_dir": tmp_path / "saved"}
    return dataclasses.replace(PRESETS["smoke"], preset="smoke", **{**places, **settings})


def test_the_law_of_the_pairs():
    x, y = data.pairs(50_000, seed=1)
    np.testing.assert_allclose(np.cov(np.concatenate([x, y], 1).T)[:2, :2], np.eye(2), atol=0.02)
    np.testing.assert_array_equal(y[:, 1], x[:, 1])
    assert 0.98e-12 < y[:, 0].std() < 1.02e-12
    assert not np.array_equal(x, data.pairs(50_000, seed=2)[0])
    batch = next(iter(data.full_batches(x, y)))
    np.testing.assert_array_equal(batch[0], x)


def test_errors_that_are_not_finite_are_the_worst(tmp_path):
    flow = make_flow(config(tmp_path), "flow")
    measurer = Measurer(flow.block, *data.pairs(5, 0), xla=False)
    x = data.pairs(5, 0)[0]
    errors, worst = measurer._errors(x + np.array([[0, 1], [0, 2], [0, math.nan], [0, 3], [0, math.inf]]))
    assert worst == 2 and errors[3] == pytest.approx(3, abs=1e-6)
    assert measurer._errors(x + np.arange(5)[:, None])[1] == 4


def test_claims():
    def model(mse, error, share, condition):
        numbers = {"mse": mse, "reconstruction_error_max": error, "reconstruction_nonfinite_share": share}
        return {**numbers, "condition_number": condition}

    last = "with one coefficient at least: error 100 times, condition number 1000 times smaller"
    free, held = model(1e-6, 1.0, 0.0, 1e7), model(1e-3, 9e-3, 0.0, 9e3)
    found = experiment.claims({"none": free, "flow_1e-08": free, "flow_1e-06": held})
    assert found["none: mean squared error below 1e-2"] and found[last]
    assert found["flow_1e-06: reconstruction error (max), none over it"] == pytest.approx(111.1, abs=0.1)
    for near in (model(1e-3, 1.1e-2, 0.0, 9e3), model(1e-3, 9e-3, 0.0, 1.1e4)):
        assert not experiment.claims({"none": free, "flow_1e-06": near})[last]
    broken = model(1e-6, 1.0, 0.1, 1e7)  # a share of the errors is not finite: worse than any number
    assert experiment.claims({"none": broken, "flow_1e-06": model(1e-3, 0.5, 0.0, 9e3)})[last]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 0.0])
def test_summaries_and_claims_take_any_number(value, tmp_path):
    keys = ("mse", "reconstruction_error_median", "reconstruction_error_max", "reconstruction_nonfinite_share")
    keys = (*keys, "condition_number", "condition_number_median", "certified_inverse_median")
    folder = RunFolder.open(config(tmp_path), "toy_regression", argv=[])
    folder.note_progress(variants={name: dict.fromkeys(keys, value) for name in ("none", "flow_1e-06")})
    found = folder.noted("variants")
    result = folder.finish(found, claims=experiment.claims(found))
    assert len(experiment.table(result["metrics"])) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"coefficients": (0.0,)}, "--coefficients"),
        ({"coefficients": (1e-6, 1e-6)}, "--coefficients"),
        ({"points": 1}, "--points"),
    ],
)
def test_refusals(settings, said, tmp_path):
    with pytest.raises(UserError, match=said):
        experiment.run(config(tmp_path, **settings))
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_it_runs_from_end_to_end(tmp_path, capsys):
    result = experiment.run(config(tmp_path))
    assert result["recipe"] == "toy_regression" and set(result["metrics"]) == {"none", "flow_1e-06"}
    for name, m in result["metrics"].items():
        assert 0.1 < m["mse"] < 1.5 and m["reconstruction_error_max"] < 1e-5, "hardly trained"
        assert 1 <= m["condition_number"] < 10 and m["certified_inverse_over_slope_median"] >= 1
        assert list((tmp_path / f"run/checkpoints/{name}").glob("*.index"))
        assert list((tmp_path / f"run/logs/{name}").glob("events.out.tfevents*"))
    assert (tmp_path / "run/report.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "saved/toy_regression/1/saved_model.pb").exists()
    assert "flow_1e-06: condition number" in capsys.readouterr().out


@pytest.mark.slow
def test_it_goes_on_from_its_checkpoint_with_the_same_numbers(tmp_path):
    whole = experiment.run(config(tmp_path))
    part = tmp_path / "part"
    experiment.run(config(part, steps=10))
    (part / "run/result.json").unlink()
    progress = json.loads((part / "run/progress.json").read_text())
    (part / "run/progress.json").write_text(json.dumps({**progress, "variants": {}}))
    again = experiment.run(config(part, resume=True))
    for name, m in whole["metrics"].items():
        for key in ("mse", "condition_number", "reconstruction_error_max"):
            assert again["metrics"][name][key] == pytest.approx(m[key], rel=1e-5)
