"""Weights that are not finite are never kept; what happens instead is the user's choice."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.watch import Watch
from recipes.toy_regression.settings import Config

STEPS, EVERY = 20, 4


def train(folder, bad=()):
    """Twenty steps, looked at every four; the batches of some steps are not finite."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), loss="mse")
    model.optimizer.build(model.trainable_variables)
    options = {"weights": model.weights, "trained": model.trainable_weights, "remedy": "Lower it."}
    parts = {"model": model.variables, "optimizer": model.optimizer}
    watch = Watch(folder, "net", look=lambda step, losses, board: losses, diagnose=lambda: "it was the net", **options, **parts)

    def batches(start):
        def batch(i):
            x = tf.random.stateless_normal([8, 2], tf.stack([tf.constant(0, tf.int64), i]))
            broken = tf.reduce_any(tf.equal(i, tf.constant(list(bad), tf.int64)))
            return tf.where(broken, np.float32(np.nan), x), x[:, :1] + 2.0

        return tf.data.Dataset.range(start, tf.int64.max).map(batch)

    fit_in_segments(model, "net", batches, watch.restore(), STEPS, EVERY, watch)
    return watch.finish(), model


def opened(path, policy, **more):
    return RunFolder.open(Config(out=path, preset="smoke", on_nonfinite=policy, **more), "toy_regression")


def test_stop_says_where_and_keeps_the_last_good_checkpoint(tmp_path):
    with opened(tmp_path, "stop") as folder:
        message = "before step 12; the last good checkpoint, of step 8, was kept. There it was the net. Lower it"
        with pytest.raises(UserError, match=message):
            train(folder, bad=[9])
        assert sorted(p.name for p in (folder.checkpoints / "net").glob("*.index")) == ["ckpt-4.index", "ckpt-8.index"]
    with opened(tmp_path, "skip", resume=True) as folder:  # another choice goes on from there
        history, _ = train(folder, bad=[9])
    assert [look["step"] for look in history] == [4, 8, 12, 16, 20] and history[-1]["skipped_steps"] == 1


def test_stop_before_the_first_checkpoint(tmp_path):
    with opened(tmp_path, "stop") as folder, pytest.raises(UserError, match="there is no checkpoint before it"):
        train(folder, bad=[1])


def test_restore_leaves_the_batches_since_the_last_checkpoint_out(tmp_path, capsys):
    with opened(tmp_path, "restore") as folder:
        history, model = train(folder, bad=[9])
    assert [look["step"] for look in history] == [4, 8, 16, 20]
    assert int(model.optimizer.iterations) == STEPS - EVERY and np.isfinite(model.get_weights()[0]).all()
    assert "those of step 8 are put back" in capsys.readouterr().err


def test_restore_gives_up_where_nothing_gets_better(tmp_path):
    with opened(tmp_path, "restore") as folder, pytest.raises(UserError, match="before step 20; the last good.* of step 4"):
        train(folder, bad=range(4, STEPS))


def test_skip_trains_with_the_other_batches(tmp_path):
    with opened(tmp_path, "skip") as folder:
        history, model = train(folder, bad=[1, 2, 9])
    assert [look["skipped_steps"] for look in history] == [2, 2, 3, 3, 3]
    assert int(model.optimizer.iterations) == STEPS and np.isfinite(model.get_weights()[0]).all()


def test_skipped_steps_are_counted_over_all_parts_of_a_run(tmp_path, monkeypatch):
    with opened(tmp_path, "skip") as folder, monkeypatch.context() as patch:
        patch.setattr(sys.modules[__name__], "STEPS", 8)
        assert [look["skipped_steps"] for look in train(folder, bad=[1, 5])[0]] == [1, 2]
    with opened(tmp_path, "skip", resume=True) as folder:
        history, _ = train(folder, bad=[1, 5, 9])
    assert [look["skipped_steps"] for look in history] == [1, 2, 3, 3, 3]


@pytest.mark.parametrize("policy", ["stop", "restore", "skip"])
def test_a_training_without_such_numbers_is_the_same_by_every_policy(policy, tmp_path):
    with opened(tmp_path / "a", policy) as one, opened(tmp_path / "b", "stop") as other:
        for a, b in zip(train(one)[1].get_weights(), train(other)[1].get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_optimizer_whose_moments_no_checkpoint_would_hold_is_refused():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(RuntimeError, match="net: .*adam.* not built"):
        Watch(None, "net", weights=[], trained=[], look=lambda *_: {}, remedy="", optimizer=optimizer)
