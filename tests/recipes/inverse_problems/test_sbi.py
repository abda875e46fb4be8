"""The five tasks from simulation to score, on a budget that teaches nothing."""

import json

import numpy as np
import pytest
import tensorflow as tf

from recipes.common.ranges import MAX_SEED
from recipes.inverse_problems import sbi
from recipes.inverse_problems.early_stopping import Stopping
from recipes.inverse_problems.problems.problem import simulate


@pytest.fixture
def data_dir(tmp_path):
    """Five made-up reference posteriors of the mixture, of sixty samples each."""
    rng, arrays = np.random.default_rng(0), {}
    for k in range(1, 6):
        theta = rng.uniform(-5, 5, (1, 2))
        arrays |= {f"theta_{k}": theta, f"observation_{k}": theta, f"posterior_{k}": theta + 0.5 * rng.normal(size=(60, 2))}
    np.savez(tmp_path / "gaussian_mixture.npz", **arrays)
    return tmp_path


def test_an_estimator_sees_no_more_than_its_budget(monkeypatch):
    drawn = set()

    def counted(problem, n, seed):
        drawn.add((n, seed))
        return simulate(problem, n, seed)

    monkeypatch.setattr("recipes.inverse_problems.coordinates.simulate", counted)
    monkeypatch.setattr("recipes.inverse_problems.training.simulate", counted)
    seen = []
    monkeypatch.setattr(sbi, "fit", lambda part, name, coordinates, pairs, held, how, seed: seen.append((pairs, held)) or [1.0])
    sbi.fit_task("gaussian_mixture", "spline_maf", simulations=300, seed=4, weights=1000)
    assert drawn == {(300, 4)}  # standardization, training and the choice of weights share them
    assert [(len(pairs.x), len(held.x)) for pairs, held in seen] == [(270, 30)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spline_maf", "flow_matching", "resampled"])
def test_from_simulation_to_score(data_dir, method, capsys):
    how = Stopping(steps=4, batch_size=32, look_every=2)
    places = {"data_dir": data_dir, "export_dir": data_dir / "saved"}
    found = sbi.run_task("gaussian_mixture", method, **places, simulations=300, weights=2000, how=how)
    served = tf.saved_model.load(found["exported"]).signatures["sample_posterior"]
    draw = {"y": tf.constant([[0.5, 1.0], [2.0, -3.0]]), "n": tf.constant(3), "seed": tf.constant(7)}
    x = served(**draw)["x"].numpy()
    assert x.shape == (2, 3, 2) and np.abs(x).max() <= 10
    np.testing.assert_array_equal(x, served(**draw)["x"])
    card = json.loads((data_dir / "saved" / "gaussian_mixture" / "1" / "card.json").read_text())
    assert card["problem"] == "gaussian_mixture" and card["measured"]["c2st_mean"] == found["c2st_mean"]
    assert set(found["c2st"]) == {1, 2, 3, 4, 5} and 0.3 < found["c2st_mean"] <= 1.0
    assert np.isfinite(list(found["held_out"].values())).all() and found["train_cpu_seconds"] > 0
    json.dumps(found)


def test_without_references_nothing_is_compared(monkeypatch):
    monkeypatch.setattr(sbi, "fit", lambda *_: [1.0])
    found = sbi.run_task("gaussian_mixture", "spline_maf", simulations=100, weights=1000)
    assert "c2st" not in found and "exported" not in found and found["weights"] > 100


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--steps", "0"), ("--weights", "0"), ("--simulations", "1"), ("--seed", "-1"), ("--seed", "3000000000")],
)
def test_numbers_that_cannot_be_are_refused(flag, value, capsys, monkeypatch):
    monkeypatch.setattr(sbi, "run_task", pytest.fail)
    assert sbi.main(["slcp", "resampled", flag, value]) == 2
    assert f"{flag}: received {value}, expected a whole number from" in capsys.readouterr().err


def test_the_largest_seed(data_dir):
    how = Stopping(steps=1, batch_size=8, look_every=1)
    settings = {"simulations": 60, "weights": 500, "how": how}
    assert sbi.run_task("gaussian_mixture", "spline_maf", data_dir, seed=MAX_SEED, **settings)["seed"] == MAX_SEED


def test_a_task_that_is_none_and_files_that_are_missing(tmp_path, capsys):
    assert sbi.main(["sir", "resampled", "--data-dir", str(tmp_path)]) == 2
    assert sbi.main(["slcp", "resampled", "--data-dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "gaussian_mixture" in err and "recipes.prepare sbibm" in err
