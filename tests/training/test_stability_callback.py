"""The callback: what it writes, when, and its one warning."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inntf.stability import reconstruction_error, summarize
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
    log = EventAccumulator(str(folder)).Reload()
    scalars = {
        tag: {e.step: tf.make_ndarray(e.tensor_proto).item() for e in log.Tensors(tag)}
        for tag in log.Tags()["tensors"]
        if "recons" not in tag or "error" in tag
    }
    images = {tag: log.Tensors(tag) for tag in log.Tags()["tensors"] if tag not in scalars}
    return scalars, images


def fit(model, epochs, callback):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, 0.5 * x, batch_size=4, epochs=epochs, verbose=0, callbacks=[callback])


@pytest.mark.parametrize("wrapper", [Around, Nested])
def test_fit_writes_every_other_epoch(tmp_path, wrapper):
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path, every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(wrapper(Scaled(1.0)), 3, callback)
    scalars, images = read(tmp_path / "stability")
    assert set(scalars["stability/condition_number"]) == {0, 2} == {h["step"] for h in callback.history}
    assert scalars["stability/condition_number"][2] == pytest.approx(1.0)
    assert 0.4 < scalars["stability/largest_singular_value"][2] < scalars["stability/largest_singular_value"][0] < 1.0
    assert scalars["stability/reconstruction_error_nonfinite_share"][2] == 0
    assert list(images) == ["stability/reconstructions"] and len(images["stability/reconstructions"]) == 2


def test_a_breaking_inverse_warns_once(tmp_path):
    model = Around(Scaled(1.0))
    callback = StabilityCallback(np.ones((4, 3), "float32"), log_dir=tmp_path)
    breaker = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch < 1 or model.block.scale.assign(0.0))
    x = np.zeros((4, 3), "float32")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.warns(RuntimeWarning, match=r"step 1: the inverse of scaled.* is broken") as caught:
        model.fit(x, x, epochs=3, verbose=0, callbacks=[breaker, callback])
    assert sum("StabilityCallback" in str(w.message) for w in caught) == 1
    assert [h["reconstruction_error_nonfinite_share"] for h in callback.history] == [0.0, 1.0, 1.0]


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
    scalars, _ = read(tmp_path)
    for name, value in numbers.items():
        assert scalars[f"stability/{name}"] == {7: pytest.approx(value, rel=1e-6)}


def test_images_with_a_condition_from_a_loop(tmp_path):
    x, condition = tf.random.stateless_normal([3, 4, 4, 2], [0, 1]), tf.random.stateless_normal([3, 4, 4, 1], [1, 1])
    writer = tf.summary.create_file_writer(str(tmp_path))
    for step in (0, 10):
        write_stability(writer, Additive(1.0), x, step, condition, passes=2, samples=2)
    scalars, images = read(tmp_path)
    assert set(scalars["stability/smallest_singular_value"]) == {0, 10}
    picture = tf.io.decode_png(images["stability/reconstructions"][0].tensor_proto.string_val[2])
    assert picture.shape == (3 * 4 + 2, 2 * 4 + 1, 3)


def test_the_block_itself_may_be_the_model(tmp_path):
    callback = StabilityCallback(np.ones((2, 2), "float32"), log_dir=tmp_path)
    callback.set_model(Linear([3.0, 1.0]))
    assert callback.evaluate(0)["condition_number"] == pytest.approx(3, rel=1e-5)


def test_bad_use(tmp_path):
    with pytest.raises(ValueError, match="every=0"):
        StabilityCallback(np.ones((2, 2)), log_dir=tmp_path, every=0)
    with pytest.raises(TypeError, match="expected an inntf block"):
        fit(keras.Sequential([keras.layers.Dense(3)]), 1, StabilityCallback(np.ones((2, 3)), log_dir=tmp_path))
