"""Dequantize: levels come back exactly, noise is uniform and repeatable, volumes are right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Dequantize, Rescale
from inntf.compose import Chain
from inntf.core.tags import Tags


@pytest.mark.parametrize("levels", [2, 3, 10, 49, 100, 255, 256, 1000, 4096])
@pytest.mark.parametrize("noise", ["uniform", "none", "center", 0.25])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_level_comes_back_exactly(levels, noise, dtype):
    block = Dequantize(levels, noise=noise, seed=1, dtype=dtype)
    x = np.tile(np.arange(levels), (3, 1)).astype(dtype)
    z, log_det = block.forward_and_log_det(x)
    assert float(tf.reduce_min(z)) >= 0.0
    assert float(tf.reduce_max(z)) < 1.0
    back, inverse_log_det = block.inverse_and_log_det(z)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_allclose(log_det, np.full(3, -levels * np.log(levels)), rtol=1e-6)
    np.testing.assert_array_equal(inverse_log_det, -log_det)


def test_levels_survive_noise_at_its_very_ends():
    # (x + u) / levels rounds up to the next level when u is within a rounding error of 1: here u is the largest drawn.
    block = Dequantize(256)
    x = np.arange(256, dtype=np.float32)[None]
    for u in (np.float32(0.0), np.float32(1.0 - block._margin)):
        np.testing.assert_array_equal(block.inverse(tf.constant((x + u) / np.float32(256))), x)
    careless = (x + np.nextafter(np.float32(1), np.float32(0))) / np.float32(256)
    assert np.any(np.floor(careless * 256) != x)  # what the margin prevents


def test_noise_is_uniform_and_fills_the_cells():
    x = np.random.default_rng(0).integers(0, 4, size=(50, 400))
    u = Dequantize(4, seed=2)(x).numpy() * 4 - x
    sorted_u = np.sort(u, axis=None)
    distance = np.abs(sorted_u - (np.arange(u.size) + 0.5) / u.size).max()
    assert distance < 1.63 / np.sqrt(u.size)  # Kolmogorov-Smirnov at 1 %


def test_seed_repeats_the_sequence_and_calls_differ():
    x = tf.zeros([2, 5])
    one, two = Dequantize(seed=3), Dequantize(seed=3)
    first, second = one(tf.identity(x)), one(tf.identity(x))
    assert np.any(first != second)
    np.testing.assert_array_equal(two(tf.identity(x)), first)
    np.testing.assert_array_equal(two(tf.identity(x)), second)
    assert np.any(Dequantize(seed=4)(x) != first)
    assert np.any(Dequantize()(x) != Dequantize()(tf.identity(x)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_each_call_of_a_graph_draws_anew(jit_compile):
    block = Dequantize(seed=5).ensure_built((4, 4, 1))
    function = tf.function(lambda x: block.forward_and_log_det(x)[0], jit_compile=jit_compile)
    if not jit_compile:
        function = function.get_concrete_function(tf.TensorSpec([None, 4, 4, 1]))
    x = tf.fill([2, 4, 4, 1], 7.0)
    first, second = function(x), function(x)
    assert np.any(first != second)
    np.testing.assert_array_equal(tf.floor(first * 256), x)


def test_saved_model_draws_and_rounds(tmp_path):
    block = Dequantize(8, seed=6).ensure_built((3,))
    module = tf.Module()
    module.block_state = [v.value for v in block.variables]
    spec = tf.TensorSpec([None, 3])
    module.forward = tf.function(lambda x: block.forward_and_log_det(x)[0], input_signature=[spec])
    module.inverse = tf.function(lambda z: block.inverse_and_log_det(z)[0], input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "m"))
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    x = tf.constant([[0.0, 3.0, 7.0]])
    assert np.any(loaded.forward(x) != loaded.forward(x))
    np.testing.assert_array_equal(loaded.inverse(loaded.forward(x)), x)


def test_loaded_block_starts_the_sequence_again(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Dequantize(16, seed=7)])
    first = model(tf.ones([2, 3]))
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")(tf.ones([2, 3])), first)


def test_integer_images_are_taken_as_they_are():
    x = np.random.default_rng(1).integers(0, 256, size=(2, 4, 4, 3)).astype(np.uint8)
    for value in (x, tf.constant(x)):
        z, _ = Dequantize(seed=8).forward_and_log_det(value)
        np.testing.assert_array_equal(np.floor(z.numpy() * 256), x)


def test_inverse_clips_to_the_levels_and_keeps_nan():
    x = Dequantize(4).inverse(tf.constant([[-3.0, 0.1, 1.0, 9.0, np.nan]])).numpy()
    np.testing.assert_array_equal(x, [[0.0, 0.0, 3.0, 3.0, np.nan]])


def test_gradients_of_the_roundings():
    z = tf.Variable([[0.1, 0.6]])
    expected = {"floor": [0.0, 0.0], "straight_through": [4.0, 4.0], "none": [4.0, 4.0]}
    for rounding, gradient in expected.items():
        block = Dequantize(4, rounding=rounding, noise="none")
        with tf.GradientTape() as tape:
            x = block.inverse_and_log_det(z)[0]
        got = tape.gradient(x, z, unconnected_gradients="zero")
        np.testing.assert_allclose(got, [gradient])
        np.testing.assert_allclose(x, [[0.4, 2.4]] if rounding == "none" else [[0.0, 2.0]], rtol=1e-6)


def test_tags_and_bounds():
    block = Dequantize()
    assert block.tags == Tags(stochastic=True, exact_latent_round_trip=False)
    forward, inverse = block.lipschitz_bounds()
    assert (forward, inverse) == (1 / 256, np.inf)
    assert "rounds" in block.lipschitz_bounds().reason
    smooth = Dequantize(noise="none", rounding="none")
    assert smooth.tags == Tags()
    assert tuple(smooth.lipschitz_bounds()) == (1 / 256, 256.0)


def test_works_at_the_front_of_a_chain():
    block = Chain([Dequantize(8, seed=9), Rescale(shift=-0.5)])
    x = tf.constant([[0.0, 5.0, 7.0]])
    z, log_det = block.forward_and_log_det(x)
    assert np.all(np.abs(z) <= 0.5)
    np.testing.assert_array_equal(block.inverse_and_log_det(tf.identity(z))[0], x)
    np.testing.assert_allclose(log_det, [-3 * np.log(8)], rtol=1e-6)


@pytest.mark.parametrize(
    "arguments", [{"levels": 1}, {"levels": 2.5}, {"levels": 2**20}, {"noise": "gauss"}, {"noise": 1.5}, {"rounding": "up"}]
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        Dequantize(**arguments)


def test_scaled_images_are_refused_where_asked():
    block = Dequantize(validate_args=True)
    block.forward_and_log_det(tf.constant([[0.0, 255.0]]))
    for function, error in ((block.forward_and_log_det, ValueError), (None, tf.errors.InvalidArgumentError)):
        with pytest.raises(error, match="(?s)received x with.*2.5.*in it, expected integers from 0 to 255"):
            (function or tf.function(block.forward_and_log_det))(tf.constant([[0.0, 2.5]]))
    compiled = tf.function(block.forward_and_log_det, jit_compile=True)(tf.constant([[0.0, 2.5]]))[0]
    assert np.isnan(compiled).tolist() == [[False, True]]


def test_what_is_no_level_is_out_of_range():
    block = Dequantize()
    for bad in ([[0.0, 256.0]], [[-1.0, 0.0]]):
        with pytest.raises(ValueError, match="range \\[0, 255\\]"):
            block.forward_and_log_det(tf.constant(bad))
        with pytest.raises(tf.errors.InvalidArgumentError, match="range \\[0, 255\\]"):
            tf.function(block.forward_and_log_det)(tf.constant(bad))
    compiled = tf.function(block.forward_and_log_det, jit_compile=True)(tf.constant([[0.0, 256.0], [1.0, 2.0]]))[0]
    assert np.isnan(compiled).tolist() == [[False, True], [False, False]]  # XLA has no errors
    Dequantize(rounding="none").forward_and_log_det(tf.constant([[-3.0, 300.0]]))
