"""The SavedModels kept in the repository: small, with a card that tells the truth, and with an inverse."""

import json
import pathlib

import numpy as np
import pytest

from inntf.serving import load
from recipes.checkerboard import data as checkerboard_data
from recipes.common.data import load_images
from recipes.common.digits_classifier import DigitsClassifier

ROOT = pathlib.Path(__file__).parents[2] / "saved_models"
KEPT = sorted(p for p in ROOT.glob("*/*") if p.is_dir())


def test_some_are_kept():
    assert [str(p.relative_to(ROOT)) for p in KEPT] == ["checkerboard_residual/1", "digits_classifier/1"]


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


def test_digits_classifier_is_as_accurate_as_its_card_says():
    kept = DigitsClassifier(ROOT / "digits_classifier")
    data = load_images("mnist_5k")
    accuracy = np.mean(kept.probabilities(data.test).argmax(-1) == data.test_labels)
    assert accuracy == pytest.approx(kept.accuracy, abs=0.002)  # another processor rounds otherwise
    assert kept.features(data.test[:3]).shape == (3, 64)
