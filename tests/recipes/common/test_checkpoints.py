"""Checkpoints of a training: it goes on where it stopped, and nothing broken takes a good one's place."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.nets import Discriminator
from recipes.checkerboard.settings import Config
from recipes.common.checkpoints import Checkpoints, refuse_unmoved
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


def test_a_broken_checkpoint_and_one_of_another_model_are_told_apart_from_none(folder):
    kept = Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0]))
    kept.keep(1, {})
    with pytest.raises(UserError, match=r"cannot be read into this model.*\['float32', 2\] there, \['float32', 3\] here"):
        Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0, 3.0])).restore()
    with pytest.raises(UserError, match="1 variables there, 2 here"):
        Checkpoints(folder, "one", weight=[tf.Variable([1.0, 2.0]), tf.Variable(1.0)]).restore()
    for part in pathlib.Path(folder.checkpoints / "one").glob("ckpt-1.*"):
        part.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(folder, "one", weight=tf.Variable([1.0, 2.0])).restore()


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001", "json"])
@pytest.mark.parametrize("spoil", ["truncated", "emptied", "changed", "removed"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(folder, capsys, part, spoil):
    weight = tf.Variable([1.0, 2.0])
    kept = Checkpoints(folder, "one", weight=weight)
    for step in (10, 20, 30, 40):
        weight.assign([step, step])
        kept.keep(step, {"loss": float(step)})
    place = folder.checkpoints / "one"
    assert {p.name for p in place.glob("*.index")} == {"ckpt-20.index", "ckpt-30.index", "ckpt-40.index"}
    assert tf.train.latest_checkpoint(str(place)) == str(place / "ckpt-40")
    path = place / f"ckpt-40.{part}"
    raw = path.read_bytes()
    damaged = {"truncated": raw[: len(raw) // 2], "emptied": b"", "changed": bytes([raw[0] ^ 1]) + raw[1:]}
    path.unlink() if spoil == "removed" else path.write_bytes(damaged[spoil])
    again = tf.Variable([0.0, 0.0])
    found = Checkpoints(folder, "one", weight=again)
    assert found.restore() == 30 and again.numpy().tolist() == [30.0, 30.0]
    assert [h["step"] for h in found.history] == [10, 20, 30], "the history is that of the checkpoint"
    assert folder.progress()["histories"]["one"] == found.history
    err = capsys.readouterr().err
    assert "ckpt-40" in err and "step 30" in err
    again.assign([41.0, 41.0])
    found.keep(40, {"loss": 1.0})
    assert Checkpoints(folder, "one", weight=again).restore() == 40


def test_a_checkpoint_that_was_not_finished_does_not_count(folder, monkeypatch, capsys):
    weight = tf.Variable(1.0)
    kept = Checkpoints(folder, "one", weight=weight)

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("recipes.common.checkpoints.files.write_json", full)
        with pytest.raises(UserError, match=r"step 10.*No space left"):
            kept.keep(10, {})
    assert not list((folder.checkpoints / "one").glob(".*"))
    assert Checkpoints(folder, "one", weight=weight).restore() == 0
    assert "not finished" in capsys.readouterr().err


def test_layers_and_optimizers_are_kept_whole(folder):
    """Layers in lists, states of seed generators, moments of the optimizer."""

    def made():
        keras.utils.set_random_seed(0)
        model = Discriminator((2,) * 7)
        model(tf.zeros([1, 8, 8, 1]))
        dropout = keras.layers.Dropout(0.5, seed=1)
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)
        return model, dropout, optimizer

    model, dropout, optimizer = made()
    optimizer.apply([tf.ones_like(w) for w in model.trainable_variables], model.trainable_variables)
    dropout(tf.ones([2, 2]), training=True)
    Checkpoints(folder, "gan", model=model, dropout=dropout, optimizer=optimizer).keep(1, {})
    others = made()
    Checkpoints(folder, "gan", model=others[0], dropout=others[1], optimizer=others[2]).restore()
    for a, b in zip((model, dropout, optimizer), others, strict=True):
        assert len(a.variables) > 0
        for x, y in zip(a.variables, b.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_a_training_that_moved_nothing_is_refused():
    before = [np.zeros(3), np.ones(2)]
    refuse_unmoved("one", before, [np.zeros(3), np.array([1.0, 2.0])])
    with pytest.raises(UserError, match="nothing was trained"):
        refuse_unmoved("one", before, [np.zeros(3), np.ones(2)])


def test_killed_before_the_last_rename_nothing_is_left_undone(folder, monkeypatch):
    """The newest checkpoint is whole, but the state file still names the one before it, and an old one is still there."""
    weight = tf.Variable(0.0)
    kept = Checkpoints(folder, "one", weight=weight)
    for step in (1, 2, 3):
        kept.keep(step, {})
    monkeypatch.setattr(kept, "_point_at", lambda step: None)  # killed there
    kept.keep(4, {})
    place = folder.checkpoints / "one"
    assert tf.train.latest_checkpoint(place).endswith("ckpt-3") and (place / "ckpt-1.json").exists()
    assert Checkpoints(folder, "one", weight=weight).restore() == 4
    assert tf.train.latest_checkpoint(place).endswith("ckpt-4") and not list(place.glob("ckpt-1.*"))
