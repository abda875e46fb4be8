"""SIGTERM: a training keeps the step it is at and goes on from it, exactly; between trainings a run ends at once."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.common import termination
from recipes.common.endings import exit_code
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.termination import Terminated, at_a_step, prompt_end, wanted
from recipes.common.watch import Watch
from recipes.toy_regression import settings
from recipes.toy_regression.experiment import run
from recipes.toy_regression.settings import Config


def ask():
    os.kill(os.getpid(), signal.SIGTERM)


def test_between_trainings_a_run_ends_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="between trainings"), prompt_end():
        ask()
    assert signal.getsignal(signal.SIGTERM) == before and not wanted()


def test_in_a_training_it_is_only_noted_and_a_second_one_ends_the_process():
    with prompt_end(), at_a_step():
        ask()
        assert wanted() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not wanted()


def test_a_command_ends_with_143_and_says_how_to_go_on(capsys):
    assert exit_code(ask, interrupted="To go on: this.") == 143
    assert "To go on: this." in capsys.readouterr().err


def test_errors_are_not_taken_for_it_nor_it_for_an_error():
    assert not issubclass(Terminated, Exception)
    assert exit_code(lambda: 1 / 0) == 1


class Asked:
    """Says yes from the given question on."""

    def __init__(self, question):
        self.question, self.asked = question, 0

    def __call__(self):
        self.asked += 1
        return self.asked >= self.question


def fitted(folder, watched_until=None):
    """A model trained for eleven steps, looked at every four; its weights, and the steps looked at."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), loss="mse")
    model.optimizer.build(model.trainable_variables)
    seen = []

    def look(step, losses, board):
        seen.append(step)
        return losses

    parts = {"weights": model.weights, "trained": model.trainable_weights, "look": look, "remedy": ""}
    watch = Watch(folder, "net", **parts, model=model.variables, optimizer=model.optimizer)

    def batches(start):
        def batch(i):
            x = tf.random.stateless_normal([8, 2], tf.stack([tf.constant(0, tf.int64), i]))
            return x, x[:, :1] * x[:, 1:]

        return tf.data.Dataset.range(start, tf.int64.max).map(batch)

    fit_in_segments(model, "net", batches, watch.restore(), 11, 4, watch)
    return [w.numpy() for w in model.weights], seen


@pytest.mark.parametrize("question", [1, 4, 6, 11])
def test_a_fit_that_was_ended_goes_on_to_the_same_weights(question, tmp_path, monkeypatch):
    with RunFolder.open(Config(out=tmp_path / "whole", preset="smoke"), "toy_regression") as folder:
        want, every = fitted(folder)
    assert every == [4, 8, 11]
    with RunFolder.open(Config(out=tmp_path / "cut", preset="smoke"), "toy_regression") as folder:
        monkeypatch.setattr(termination, "wanted", Asked(question))
        with pytest.raises(Terminated, match="net is kept at step"):
            fitted(folder)
        monkeypatch.undo()
        got, _ = fitted(folder)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_recipe_that_was_ended_goes_on_to_the_same_result(tmp_path, monkeypatch):
    def config(out, **more):
        return dataclasses.replace(settings.PRESETS["smoke"], out=out, export_dir=out.parent / "exports", **more)

    def weights(out):
        found = {}
        for place in sorted(pathlib.Path(out, "checkpoints").iterdir()):
            reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(place)))
            values = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map() if "save_counter" not in n}
            found |= {f"{place.name}/{n}": v for n, v in values.items() if isinstance(v, np.ndarray | np.generic)}
        return found

    run(config(tmp_path / "whole"))
    monkeypatch.setattr(termination, "wanted", Asked(3))
    with pytest.raises(Terminated):
        run(config(tmp_path / "cut"))
    monkeypatch.undo()
    run(config(tmp_path / "cut", resume=True))
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert set(whole) == set(cut) and len(whole) > 5
    for name, value in whole.items():
        np.testing.assert_allclose(cut[name], value, rtol=1e-6, err_msg=name)
