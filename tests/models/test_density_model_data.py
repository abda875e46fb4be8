"""DensityModel takes data as Keras does: weights, conditions, dtypes, datasets; and says what it does not take."""

import copy
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm
from inntf.models import DensityModel, real_nvp
from inntf.models.representative import representative

N = 96


@pytest.fixture
def x():
    return (np.random.default_rng(0).normal(size=(N, 2)) * [1.0, 0.1] + [0, 3]).astype("float32")


@pytest.fixture
def c():
    return np.random.default_rng(1).normal(size=(N, 3)).astype("float32")


def make(**kwargs):
    model = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(4,), **kwargs))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def test_weights_count_wherever_they_are_given(x, c):
    weights = np.linspace(0, 1, N).astype("float32")
    model, conditional = make(), make(condition_shape=3)
    history = model.fit(x, sample_weight=weights, validation_data=(x, None, 0 * weights), batch_size=N, verbose=0).history
    assert history["loss"][0] == pytest.approx(-np.mean(weights * model.log_prob(x)), rel=1e-4)
    assert history["val_loss"] == [0.0]
    assert model.evaluate(x, sample_weight=list(2 * weights), verbose=0)[0] == pytest.approx(2 * history["loss"][0], rel=1e-4)
    inputs = {"x": x, "condition": c}
    loss = conditional.fit(inputs, sample_weight=weights[:, None], batch_size=N, verbose=0).history["loss"][0]
    assert loss == pytest.approx(-np.mean(weights * conditional.log_prob(x, c)), rel=1e-4)
    dataset = tf.data.Dataset.from_tensor_slices(((x, c), 0 * weights, 0 * weights)).batch(48)
    assert conditional.evaluate(dataset, verbose=0)[0] == 0.0


def test_a_condition_in_the_place_of_y_is_answered_with_the_form_that_works(x, c):
    model = make(condition_shape=3)
    for go in (
        lambda: model.fit(x, c, verbose=0),
        lambda: model.fit((x, c), validation_data=(x, c), verbose=0),
        lambda: model.fit(tf.data.Dataset.from_tensor_slices((x, c)).batch(48), verbose=0),
        lambda: model.predict(x, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"fit\(\(x, condition\)\)"):
            go()
    with pytest.raises(ValueError, match="x alone"):
        make().fit((x, c), verbose=0)
    with pytest.raises(ValueError, match="dictionary"):
        make().fit({"data": x}, verbose=0)
    assert model.predict({"x": x, "condition": c}, verbose=0).shape == (N,)


def test_no_dtype_is_refused_and_float64_is_not_rounded(x):
    model = make()
    for data in (
        tf.constant(x, tf.float64),
        tf.data.Dataset.from_tensor_slices(x.astype("float64")).batch(48),
        (10 * x).astype(int),
    ):
        assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    assert np.isfinite(model.train_on_batch(x.astype("float64"))[0])
    far, wide = x.astype("float64") + 1e8, make(dtype="float64")
    history = wide.fit(far, validation_split=0.25, batch_size=N, verbose=0).history
    expected = -np.mean(wide.log_prob(far))
    assert history["loss"][0] == pytest.approx(-np.mean(wide.log_prob(far[: N * 3 // 4])), abs=1e-4)
    assert wide.evaluate(far, verbose=0)[0] == pytest.approx(expected, abs=1e-4)
    assert -wide.predict(far, batch_size=7, verbose=0).mean() == pytest.approx(expected, abs=1e-9)
    assert keras.config.floatx() == "float32"


def test_sixteen_bit_flows_take_numpy_and_say_what_they_do(x):
    for policy, word in (("bfloat16", "rounded to bfloat16"), ("mixed_float16", "compute in float16")):
        model = make(dtype=policy)
        with pytest.warns(RuntimeWarning, match=word):
            assert np.isfinite(model.fit(x.astype("float16"), verbose=0).history["loss"]).all()
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            model.fit(x, verbose=0)  # once


@pytest.mark.parametrize(
    "given", [{"loss": "mse"}, {"metrics": ["mae"]}, {"weighted_metrics": ["mae"]}, {"loss_weights": [1.0]}]
)
def test_losses_and_metrics_are_refused_by_name(given):
    with pytest.raises(ValueError, match=f"DensityModel.compile: received {next(iter(given))}"):
        make().compile("adam", **given)


def test_a_sample_from_all_over_the_data(x):
    ordered = np.repeat(np.arange(4000.0, dtype="float32")[:, None], 2, 1)
    dataset = tf.data.Dataset.from_tensor_slices(ordered).batch(10)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 40

        def __getitem__(self, i):
            return ordered[i * 100 : (i + 1) * 100], np.zeros(100)

    for data in (ordered, tf.constant(ordered), dataset, Batches()):
        rows = np.asarray(representative(data, None, 2))
        assert 900 < len(rows) <= 1024 and rows.min() < 400 and rows.max() > 3000
    weights = (ordered[:, 0] < 2000).astype("float32")
    assert np.asarray(representative(ordered, weights, 2)).max() < 2000
    both = representative((ordered, -ordered), None, 2)
    np.testing.assert_array_equal(both[0], -both[1])


def test_a_constant_column_and_a_sorted_table_train(x):
    bad = np.concatenate([x, np.full((N, 1), 3.25, "float32"), np.sort(x[:, :1], 0).round()], 1)
    model = DensityModel(real_nvp(event_shape=4, depth=8, hidden=(4,)))
    model.compile(keras.optimizers.Adam(1e-3))
    losses = model.fit(bad, batch_size=16, shuffle=False, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < 12


def test_clones_and_copies_of_a_fresh_model_initialize_and_frozen_ones_do_not(x):
    model = DensityModel(ActNorm(), event_shape=(2,))
    for other in (keras.models.clone_model(model), copy.deepcopy(model)):
        other.compile(keras.optimizers.SGD(0.0))
        other.fit(x, verbose=0)
        np.testing.assert_allclose(other.block.forward_and_log_det(x)[0].numpy().std(0), 1, atol=1e-2)
    model.trainable = False
    frozen = keras.models.clone_model(model)
    assert not frozen.trainable and not frozen.block.waits_for_data()


@pytest.mark.slow
def test_a_last_batch_that_is_smaller_trains_under_xla(x):
    model = DensityModel(real_nvp(event_shape=2, depth=2, hidden=(4,)))
    model.compile("adam", jit_compile=True)
    assert np.isfinite(model.fit(x, batch_size=64, verbose=0).history["loss"]).all()


def test_samples_and_densities(x, c):
    model = make(condition_shape=3)
    assert model.sample(4, condition=c[:2].astype("float64"), seed=1, temperature=0.5).shape == (4, 2, 2)
    np.testing.assert_allclose(model.log_prob(x.astype("float64"), c), model.flow.log_prob(x, condition=c))


def test_validation_data_are_looked_at_before_anything_is_trained(x, c):
    steps = []
    counting = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    conditional = DensityModel(real_nvp(event_shape=x.shape[1], depth=1, hidden=(4,), condition_shape=c.shape[1]))
    plain = DensityModel(real_nvp(event_shape=x.shape[1], depth=1, hidden=(4,)))
    for model, data, validation, why in (
        (conditional, (x, c), (x, c), "second array for y"),
        (conditional, (x, c), ((x[:, :1], c),), "validation data whose x"),
        (conditional, (x, c), ((x, c[:, :0]),), "validation data whose condition"),
        (plain, x, ((x, c),), "without a condition"),
        (plain, x, (x[:, :1],), "validation data whose x"),
    ):
        model.compile("adam")
        with pytest.raises(ValueError, match=why):
            model.fit(data, validation_data=validation, verbose=0, callbacks=[counting])
    assert not steps
    assert conditional.fit((x, c), validation_data=((x, c),), verbose=0).history["val_loss"]
