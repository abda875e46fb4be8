"""Checkpoints of a training: it goes on where it stopped, and nothing broken takes a good one's place."""

import pathlib

import pytest
import tensorflow as tf

from recipes.checkerboard import Config
from recipes.common.checkpoints import Checkpoints
from recipes.common.errors import UserError
from recipes.common.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    with RunFolder.open(Config(out=tmp_path / "run", preset="smoke"), "checkerboard") as folder:
        yield folder


def test_a_training_goes_on_from_its_newest_checkpoint_with_its_history(folder):
    weight = tf.Variable([1.0, 2.0])
    first = Checkpoints(folder, "one", weight=weight)
    assert first.restore() == 0 and first.history == []
    first.keep(10, {"loss": 3.0})
    weight.assign([5.0, 6.0])
    first.keep(20, {"loss": 2.0})

    again = tf.Variable([0.0, 0.0])
    second = Checkpoints(folder, "one", weight=again)
    assert second.restore() == 20
    assert again.numpy().tolist() == [5.0, 6.0]
    assert second.history == [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}]
    assert Checkpoints(folder, "another", weight=again).restore() == 0


def test_weights_that_are_not_finite_are_refused(folder):
    kept = Checkpoints(folder, "one", weight=tf.Variable(1.0))
    kept.refuse_nonfinite([tf.constant([1.0, 2.0]).numpy()], 5, "Lower it.")
    with pytest.raises(UserError, match=r"before step 5.*last good checkpoint was kept"):
        kept.refuse_nonfinite([tf.constant([1.0, float("nan")]).numpy()], 5, "Lower it.")


def test_a_broken_checkpoint_and_one_of_another_model_are_told_apart_from_none(folder):
    kept = Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0]))
    kept.keep(1, {})
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0, 3.0])).restore()
    for part in pathlib.Path(folder.checkpoints / "one").glob("ckpt-1.*"):
        part.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0])).restore()
