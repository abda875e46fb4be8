"""ConditionPyramid: sizes, no pixel ignored, precisions, configuration, inside a multi-scale flow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import AffineCoupling, Squeeze
from inntf.compose import Chain, Multiscale
from inntf.nets import ConditionPyramid, ConvNet
from inntf.nets.pyramid import _interpolation

SIZES = [(8, 8), (4, 4), (2, 2)]
CONDITIONS = [(5,), (8, 8, 2), (16, 16, 1), (64, 64, 1), (6, 10, 2), (3, 3, 1), (7, 9, 1), (1, 1, 4)]


def _condition(shape, batch=2, dtype="float32"):
    return tf.constant(np.random.default_rng(0).normal(size=(batch, *shape)), dtype)


@pytest.mark.parametrize("shape", CONDITIONS, ids=str)
def test_maps_have_the_sizes_of_the_levels(shape):
    pyramid = ConditionPyramid([4, 3, 2], levels=3)
    maps = pyramid(_condition(shape), SIZES)
    assert [tuple(m.shape) for m in maps] == [(2, 8, 8, 4), (2, 4, 4, 3), (2, 2, 2, 2)]
    assert [tuple(s) for s in pyramid.compute_output_shape((2, *shape))] == [tuple(m.shape) for m in maps]
    assert len(pyramid(_condition(shape, batch=0))) == 3  # the sizes are known by now


@pytest.mark.parametrize("shape", CONDITIONS, ids=str)
def test_every_entry_reaches_every_map(shape):
    pyramid = ConditionPyramid(3, levels=3, activation="tanh", dtype="float64")
    condition = _condition(shape, dtype="float64")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(condition)
        totals = [tf.reduce_sum(m) for m in pyramid(condition, SIZES)]
    for total in totals:
        assert np.all(np.abs(tape.gradient(total, condition)) > 0)


def test_non_square_levels_and_activation():
    maps = ConditionPyramid(2, levels=2, activation=None)(_condition((6, 4, 1)), [(6, 4), (3, 2)])
    assert [tuple(m.shape) for m in maps] == [(2, 6, 4, 2), (2, 3, 2, 2)]
    assert min(float(tf.reduce_min(m)) for m in maps) < 0.0
    assert all(np.all(m >= 0.0) for m in ConditionPyramid(2, levels=2)(_condition((6, 4, 1)), [(6, 4), (3, 2)]))


@pytest.mark.parametrize(("now", "wanted"), [(7, 3), (3, 7), (8, 1), (1, 5), (10, 9), (64, 4)])
def test_interpolation_keeps_constants_and_uses_every_pixel(now, wanted):
    weights = _interpolation(now, wanted)
    np.testing.assert_allclose(weights.sum(1), np.ones(wanted))
    assert np.all(weights.sum(0) > 0)
    if now > 1 and wanted > 1:  # straight lines stay straight, away from the ends
        line = weights @ (np.arange(now) + 0.5) / now
        middle = slice(wanted // 3, -(wanted // 3) or None)
        np.testing.assert_allclose(line[middle], ((np.arange(wanted) + 0.5) / wanted)[middle], atol=0.02)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float64", "float64"), ("mixed_bfloat16", "bfloat16"), ("float32", "float32")]
)
@pytest.mark.parametrize("shape", [(5,), (7, 9, 1)], ids=str)
def test_precisions(dtype, expected, shape):
    pyramid = ConditionPyramid(3, levels=3, dtype=dtype)
    assert all(m.dtype == expected for m in pyramid(_condition(shape), SIZES))
    assert all(w.dtype == ("float64" if dtype == "float64" else "float32") for w in pyramid.weights)


@pytest.mark.parametrize("shape", [(5,), (16, 12, 2)], ids=str)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_with_dynamic_batch(shape, jit_compile):
    pyramid = ConditionPyramid(3, levels=3).ensure_built(shape, SIZES)
    function = tf.function(pyramid, jit_compile=jit_compile)
    if not jit_compile:
        function = function.get_concrete_function(tf.TensorSpec([None, *shape]))
    for got, expected in zip(function(_condition(shape)), pyramid(_condition(shape)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (6, 10, 2)], ids=str)
def test_save_and_load_in_a_functional_model(shape, tmp_path):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, ConditionPyramid([4, 3, 2], levels=3, activation="tanh")(inputs, SIZES))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    for got, expected in zip(loaded(_condition(shape)), model(_condition(shape)), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [(5,), (5, 7, 1)], ids=str)
def test_feeds_a_multiscale_flow(shape, tmp_path):
    levels = [Chain([Squeeze(), AffineCoupling(conditioner=ConvNet(4, zero_last=False))]) for _ in range(2)]
    block = Multiscale(levels, condition_network=ConditionPyramid(3, levels=2))
    x, condition = _condition((8, 8, 1)), _condition(shape)
    z, log_det = block.forward_and_log_det(x, condition)
    back, inverse_log_det = block.inverse_and_log_det(tf.identity(z), condition)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-4)
    assert np.max(np.abs(block.forward_and_log_det(x, condition + 1.0)[0] - z)) > 1e-4
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block.forward_and_log_det(x, condition)[0] ** 2)
    pyramid_weights = [w.value for w in block.condition_network.trainable_weights]
    assert all(g is not None for g in tape.gradient(loss, pyramid_weights))
    inputs = keras.Input((8, 8, 1)), keras.Input(shape)
    keras.Model(inputs, block(*inputs)).save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")([x, condition]), z)
    twin = block.copy()
    np.testing.assert_array_equal(twin.forward_and_log_det(tf.identity(x), condition)[0], z)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConditionPyramid([1, 2], levels=3), "one a level"),
        (lambda: ConditionPyramid(0, levels=1), "positive"),
        (lambda: ConditionPyramid(4, levels=2)(_condition((5,)), SIZES), "2 sizes"),
        (lambda: ConditionPyramid(4, levels=3)(_condition((5,)), SIZES[::-1]), "largest first"),
        (lambda: ConditionPyramid(4, levels=3)(_condition((5,))), "ensure_built"),
        (lambda: ConditionPyramid(4, levels=3)(_condition((5, 5)), SIZES), "ensure_built"),
        (lambda: ConditionPyramid(4, levels=3).ensure_built((5,), SIZES)(_condition((5,)), [(4, 4)] * 3), "as before"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
