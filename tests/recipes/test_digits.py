"""`python -m recipes.digits`: a classifier that is trained, measured, kept; versions count up; bad input ends in one line."""

import json

import numpy as np
import pytest

from recipes import digits
from recipes.common.data import load_images
from recipes.common.digits_classifier import DigitsClassifier
from recipes.common.digits_training import moved


def test_it_makes_the_next_version(tmp_path):
    folder = tmp_path / "digits_classifier"
    (folder / "4").mkdir(parents=True)
    assert digits.main(["--steps", "60", "--export-dir", str(tmp_path)]) == 0
    assert {p.name for p in folder.iterdir()} == {"4", "5"}
    kept, data = DigitsClassifier(folder), load_images("mnist_5k")
    right = kept.probabilities(data.test).argmax(-1) == data.test_labels
    assert kept.version == 5 and right.mean() > 0.7 and right.mean() == pytest.approx(kept.accuracy, abs=0.005)
    assert json.loads((folder / "5" / "card.json").read_text())["training"]["steps"] == 60


def test_moved_digits_are_the_same_digits_elsewhere():
    data = load_images("mnist_5k").first(20, 10)
    more = moved(data, places=2, most=1)
    assert len(more.train) == len(more.train_labels) == 60 and len(more.test) == 10
    np.testing.assert_array_equal(more.train[:20], data.train)
    np.testing.assert_array_equal(more.train.reshape(3, 20, -1).sum(-1), np.stack([data.train.reshape(20, -1).sum(-1)] * 3))
    np.testing.assert_array_equal(more.train_labels.reshape(3, 20), np.stack([data.train_labels] * 3))


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--seed", "-1"], ["--export-dir", "/dev/null/x"], ["more"]])
def test_bad_input_ends_in_one_line_and_code_2(arguments, capsys):
    assert digits.main(arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
