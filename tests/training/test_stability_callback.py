"""The callback: what it writes, when, and its one warning."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inntf.stability import FlowRegularizer, reconstruction_error, summarize
from inntf.training import StabilityCallback, write_stability
from tests.stability.tiny_blocks import Additive, Linear, Scaled, Shifted


class Around(keras.Model):
    """A model around a block, trained to scale its input by a half."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def call(self, x):
        return self.block(x)


class Nested(keras.Model):
    """A model whose block is in `flow.block`."""

    def __init__(self, block):
        super().__init__()
        self.flow = type("Flow", (), {"block": block})()
        self.layer = block

    def call(self, x):
        return self.layer(x)


def read(folder):
    """Scalars, images, texts and histograms by tag and step."""
    log = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    plugins = log.summary_metadata
    found = {"scalars": {}, "images": {}, "text": {}, "histograms": {}}
    for tag in log.Tags()["tensors"]:
        found[plugins[tag].plugin_data.plugin_name][tag] = {e.step: tf.make_ndarray(e.tensor_proto) for e in log.Tensors(tag)}
    found["descriptions"] = {tag: plugins[tag].summary_description for tag in found["scalars"]}
    return found


def fit(model, epochs, *callbacks, rate=0.1):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model.fit(x, 0.5 * x, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks))


def breaking(model, at, scale=0.0):
    """Set the block's scale as the epoch begins."""
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch != at or model.block.scale.assign(scale))


@pytest.mark.parametrize("wrapper", [Around, Nested])
def test_fit_writes_every_other_epoch(tmp_path, wrapper):
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(wrapper(Scaled(1.0)), 3, callback)
    page = read(tmp_path / "stability")
    assert [h["step"] for h in callback.history] == [0, 2] and callback.history[1]["condition_number"] == pytest.approx(1.0)
    assert all(set(steps) == {0, 2} for kind in ("scalars", "images", "text", "histograms") for steps in page[kind].values())
    assert page["scalars"]["stability/log10_condition_number"][2] == pytest.approx(0.0, abs=1e-6)
    assert page["scalars"]["stability/percent_not_finite"][2] == 0
    assert list(page["images"]) == ["stability/samples_by_passes"]


def test_the_page_answers_at_a_glance(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    numbers, verdict = write_stability(writer, Shifted(np.array([1.0, 2, 4, 8]), miss=0.5), x, 3, per_block=True)
    page = read(tmp_path)
    assert 0 < len(page["scalars"]) <= 6
    assert all(len(text) > 20 for text in page["descriptions"].values())
    (text,) = page["text"].values()
    words = text[3].item().decode()
    assert words.startswith("## broken") and verdict.reasons[0] in words and "20 data" in words
    assert page["scalars"]["stability/log10_error_of_data"][3] == pytest.approx(
        np.log10(numbers["relative_error_p99"]), rel=1e-4
    )
    assert len(page["histograms"]) == 1


def test_ten_looks_at_a_short_training(tmp_path):
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, every=None, per_block=False)
    fit(Around(Scaled(1.0)), 15, callback)  # 30 steps
    assert [h["step"] for h in callback.history] == list(range(3, 31, 3))


def test_a_breaking_inverse_warns_once(tmp_path):
    model = Around(Scaled(1.0))
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match=r"step 1: the inverse of scaled.* is broken") as caught:
        fit(model, 3, breaking(model, 1), callback, rate=0.0)
    assert sum("StabilityCallback" in str(w.message) for w in caught) == 1
    assert [h["reconstruction_error_nonfinite_share"] for h in callback.history] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(("action", "scale"), [("stop", 0.0), ("restore", 0.75)])
def test_it_stops_and_restores(tmp_path, action, scale):
    model = Around(Scaled(0.75))
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, action=action)
    with pytest.warns(RuntimeWarning, match="Training stops"):
        history = fit(model, 5, breaking(model, 2), callback, rate=0.0)
    assert len(history.epoch) == 3 and float(model.block.scale.numpy().min()) == scale


def test_it_raises_the_regularizer_at_a_limit_of_ones_own(tmp_path):
    regularizer, model = FlowRegularizer(0.1), Around(Scaled(1.0))
    over = {"when": lambda numbers, verdict: numbers["largest_singular_value"] > 2, "action": "regularize", "factor": 3.0}
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, regularizer=regularizer, **over)
    with pytest.warns(RuntimeWarning, match="grows 3 times"):
        fit(model, 4, breaking(model, 2, 4.0), callback, rate=0.0)
    assert regularizer.weight == pytest.approx(0.9)  # at epochs 2 and 3


def test_numbers_are_those_of_the_measures(tmp_path):
    block, x = Shifted(np.array([1.0, 2, 4, 8]), miss=0.01), np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    x[3, 0] = 9.0
    numbers, verdict = write_stability(tf.summary.create_file_writer(str(tmp_path)), block, x, 7)
    expected = summarize(reconstruction_error(block, x))
    assert numbers["reconstruction_error_median"] == expected.median
    assert numbers["reconstruction_error_nonfinite_share"] == expected.nonfinite_share > 0
    assert numbers["reconstruction_error_median_after_9_passes"] == pytest.approx(0.09, rel=1e-2)
    assert numbers["condition_number"] == pytest.approx(8, rel=1e-3)
    assert verdict.level == "broken"
    assert numbers["nonfinite_share"] == max(numbers["own_samples_nonfinite_share"], expected.nonfinite_share)


def test_images_with_a_condition_from_a_loop(tmp_path):
    x, condition = tf.random.stateless_normal([3, 4, 4, 2], [0, 1]), tf.random.stateless_normal([3, 4, 4, 1], [1, 1])
    writer = tf.summary.create_file_writer(str(tmp_path))
    for step in (0, 10):
        write_stability(writer, Additive(1.0), x, step, condition, passes=2, samples=2)
    page = read(tmp_path)
    assert set(page["scalars"]["stability/log10_condition_number"]) == {0, 10}
    picture = tf.io.decode_png(page["images"]["stability/samples_by_passes"][10][2])
    assert picture.shape == (2 * 4 + 1, 3 * 4 + 2, 3)  # samples by passes


def test_the_block_itself_may_be_the_model(tmp_path):
    callback = StabilityCallback(np.ones((2, 2), "float32"), log_dir=tmp_path)
    callback.set_model(Linear([3.0, 1.0]))
    assert callback.evaluate(0)["condition_number"] == pytest.approx(3, rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"every": 0}, "every=0"),
        ({"when": "bad"}, "when='bad'"),
        ({"action": "pray"}, "action='pray'"),
        ({"action": "regularize"}, "regularizer=None"),
        ({"factor": 1.0}, "factor=1.0"),
    ],
)
def test_bad_arguments(tmp_path, wrong, word):
    with pytest.raises(ValueError, match=word):
        StabilityCallback(np.ones((2, 2)), log_dir=tmp_path, **wrong)


def test_bad_use(tmp_path):
    with pytest.raises(TypeError, match="expected an inntf block"):
        fit(keras.Sequential([keras.layers.Dense(3)]), 1, StabilityCallback(np.ones((2, 3)), log_dir=tmp_path))


def looks(tmp_path, every, steps_per_execution=1, epochs=20, initial_epoch=0):
    keras.utils.set_random_seed(0)
    model = Around(Scaled(2.0))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(1e-3), "mse", steps_per_execution=steps_per_execution)
    options = {"passes": 1, "samples": 1, "per_block": False, "float64_copy": False}
    callback = StabilityCallback(x[:2], log_dir=tmp_path, every=every, **options)
    model.fit(x, x, batch_size=4, epochs=epochs, initial_epoch=initial_epoch, verbose=0, callbacks=[callback])
    return [row["step"] for row in callback.history]


def test_looks_are_counted_in_steps_and_from_where_the_training_begins(tmp_path):
    # Two steps an epoch.
    assert looks(tmp_path, None) == list(range(4, 41, 4))
    assert looks(tmp_path, None, steps_per_execution=2) == list(range(4, 41, 4))
    assert looks(tmp_path, None, steps_per_execution=2, epochs=2) == [2, 4]
    assert looks(tmp_path, None, epochs=20, initial_epoch=18) == [37, 38, 39, 40]
    assert looks(tmp_path, 10, epochs=9, initial_epoch=1) == [1]
    assert looks(tmp_path, 3, epochs=9, initial_epoch=1) == [1, 4, 7]


def test_a_loop_that_counts_epochs_from_one(tmp_path):
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, every=None, passes=1, per_block=False)
    callbacks = keras.callbacks.CallbackList([callback], model=Around(Scaled(1.0)), epochs=1, steps=2)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(1)
    callbacks.on_train_batch_end(0)
    callbacks.on_train_batch_end(1)
    callbacks.on_epoch_end(1)
    assert callback.history


@pytest.mark.parametrize("use_ema", [False, True])
def test_what_is_restored_stays_when_fit_ends(tmp_path, use_ema):
    keras.utils.set_random_seed(0)
    model = Around(Scaled(2.0))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(0.1, use_ema=use_ema, ema_momentum=0.5), "mse")
    seen = []

    def third(numbers, verdict):
        seen.append([np.array(w) for w in model.get_weights()])
        return len(seen) == 3

    callback = StabilityCallback(x, log_dir=tmp_path, when=third, action="restore", passes=1, samples=1, per_block=False)
    with pytest.warns(RuntimeWarning, match="weights of the last evaluation that passed"):
        model.fit(x, 0.5 * x, batch_size=4, epochs=9, verbose=0, callbacks=[callback])
    assert len(seen) == 3 and any(np.any(a != c) for a, c in zip(seen[1], seen[2], strict=True))
    for weight, passed in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(weight, passed)
