"""The SavedModels kept in the repository: small, with a card that tells the truth, and with an inverse."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from inntf.calibration import sbc_test
from inntf.serving import load
from recipes.autoencoder.data import scaled
from recipes.checkerboard import data as checkerboard_data
from recipes.common.data import load_images
from recipes.common.digits_classifier import DigitsClassifier
from recipes.inverse_problems.problems import PROBLEMS, simulate

ROOT = pathlib.Path(__file__).parents[2] / "saved_models"
TASKS = ("bernoulli_glm", "gaussian_linear", "gaussian_mixture", "slcp", "two_moons")
PROBLEM_OF = {f"{kind}_{problem}": problem for kind in ("cinn", "inverse") for problem in ("ballistics", "kinematics")}
NAMES = sorted(("checkerboard_residual", "digits_autoencoder", "digits_classifier", *PROBLEM_OF, *TASKS))
KEPT = [ROOT / f"{name}/1" for name in NAMES]  # recipes that ran here have left theirs beside them


def test_these_are_kept_and_no_others():
    assert all(path.is_dir() for path in KEPT)
    if (ROOT.parent / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "*/card.json"], cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:  # a checkout of another user's is refused by git
            assert sorted(listed.stdout.split()) == [f"{path.relative_to(ROOT)}/card.json" for path in KEPT]


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.parent.name)
def test_small_and_with_a_card_of_its_own(path):
    card = json.loads((path / "card.json").read_text())
    assert (card["name"], card["version"]) == (path.parent.name, int(path.name))
    assert sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) <= 2 * 2**20


def test_checkerboard_residual_is_as_likely_and_as_invertible_as_its_card_says():
    served = load(ROOT / "checkerboard_residual")
    measured = served.card["training"]["measured"]
    x = checkerboard_data.test_set(4000, served.card["training"]["seed"] + 1).numpy()
    nll = -float(np.mean(served.log_prob(x)))
    assert nll == pytest.approx(measured["test_nll"], abs=0.1)  # other samples: three standard errors are 0.05
    assert checkerboard_data.ENTROPY - 0.02 <= nll <= 3.9
    grid = np.stack(np.meshgrid(*[np.linspace(-8, 8, 41, dtype=np.float32)] * 2), -1).reshape(-1, 2)
    assert np.max(np.abs(served.inverse(served.forward(grid)) - grid)) < 1e-3
    assert np.max(np.abs(served.forward(served.inverse(grid)) - grid)) < 1e-3


def test_digits_autoencoder_reconstructs_as_its_card_says_and_its_codes_come_back():
    served = load(ROOT / "digits_autoencoder")
    measured = served.card["training"]["measured"]
    x = scaled(load_images("mnist_5k", None).test)
    assert float(np.mean(np.abs(served.reconstruct(x) - x))) == pytest.approx(measured["l1"], abs=1e-4)
    y = np.random.default_rng(0).standard_normal((16, 12)).astype(np.float32)
    np.testing.assert_allclose(served.encode(served.decode(y)), y, atol=1e-3)
    radius = measured["certified_decoder_radius_to_factor_2"]
    assert radius > 0 and measured["certified_over_centre"] < 2 and measured["certified_radius"] < radius
    samples = np.asarray(served.sample(16, seed=1))
    assert samples.shape == (16, 28, 28, 1) and samples.min() > -0.5 and samples.max() < 1.5


@pytest.mark.parametrize("name", PROBLEM_OF)
def test_sampled_parameters_give_what_was_observed(name):
    served = tf.saved_model.load(str(ROOT / name / "1")).signatures["sample_posterior"]
    card = json.loads((ROOT / name / "1/card.json").read_text())
    problem = PROBLEMS[PROBLEM_OF[name]]()
    x_true, y = simulate(problem, 200, 5)
    x = served(y=y, n=tf.constant(200), seed=tf.constant(3))["x"]
    again = problem.forward(tf.reshape(x, [-1, 4]), tf.constant([0, 1]))
    missed = tf.reduce_sum(tf.square(again - tf.repeat(y, 200, 0)), -1)
    assert np.isfinite(missed).mean() > 0.99
    assert np.nanmean(missed) < 10 * card["measured"]["own_resimulation"] < 0.9
    assert sbc_test(x.numpy(), x_true.numpy()).p_value > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_samplers_of_tasks_are_calibrated(task):
    served = tf.saved_model.load(str(ROOT / task / "1")).signatures["sample_posterior"]
    card = json.loads((ROOT / task / "1/card.json").read_text())
    assert card["problem"] == task and card["measured"].get("c2st_mean", 0.5) < 0.6  # that of gaussian_linear: the next test
    x_true, y = simulate(PROBLEMS[task](), 60, 5)
    x = served(y=y, n=tf.constant(40), seed=tf.constant(3))["x"].numpy()
    assert x.shape == (60, 40, x_true.shape[1])
    assert sbc_test(x, x_true.numpy()).p_value > 1e-3


def test_the_sampler_of_gaussian_linear_has_the_exact_moments():
    """theta ~ N(0, I / 10), y ~ N(theta, I / 10): theta given y is N(y / 2, I / 20)."""
    served = tf.saved_model.load(str(ROOT / "gaussian_linear/1")).signatures["sample_posterior"]
    y = simulate(PROBLEMS["gaussian_linear"](), 20, 9)[1]
    x = served(y=y, n=tf.constant(2000), seed=tf.constant(1))["x"].numpy()
    sd = np.sqrt(0.05)
    assert np.abs(x.mean(1) - y.numpy() / 2).mean() < 0.1 * sd
    np.testing.assert_allclose(x.std(1), sd, rtol=0.12)
    correlations = np.stack([np.corrcoef(samples.T) for samples in x]) - np.eye(10)
    assert np.abs(correlations).mean() < 0.04


def test_digits_classifier_is_as_accurate_as_its_card_says():
    kept = DigitsClassifier(ROOT / "digits_classifier")
    data = load_images("mnist_5k")
    accuracy = np.mean(kept.probabilities(data.test).argmax(-1) == data.test_labels)
    assert accuracy == pytest.approx(kept.accuracy, abs=0.002)  # another processor rounds otherwise
    assert kept.features(data.test[:3]).shape == (3, 64)
