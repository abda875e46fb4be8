"""Squeeze and Haar: the entries where the docs say, orthonormal matrices, refused sizes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Haar, Squeeze

BLOCKS = [
    lambda **k: Squeeze(2, **k),
    lambda **k: Squeeze(3, order="channel_major", **k),
    lambda **k: Haar(**k),
    lambda **k: Haar(order="channel_major", **k),
]
IMAGE = (6, 12, 2)


def _image(seed=0, batch=3, shape=IMAGE):
    return tf.constant(np.random.default_rng(seed).normal(size=(batch, *shape)))


def _matrix(block, shape):
    size = int(np.prod(shape))
    unit = tf.reshape(tf.eye(size, dtype=tf.float64), [size, *shape])
    return tf.reshape(block.forward_and_log_det(unit)[0], [size, size]).numpy()


@pytest.mark.parametrize("make", BLOCKS)
def test_matrix_is_orthonormal_and_the_inverse_is_its_transpose(make):
    shape = (6, 6, 2)
    block = make(dtype="float64")
    matrix = _matrix(block, shape)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-14)
    z = np.random.default_rng(1).normal(size=(1, *block.forward_event_shape(shape)))
    x, log_det = block.inverse_and_log_det(tf.constant(z))
    np.testing.assert_allclose(np.reshape(x, -1), matrix @ z.reshape(-1), atol=1e-14)
    np.testing.assert_array_equal(log_det, [0.0])
    assert tuple(block.lipschitz_bounds()) == (1.0, 1.0)


@pytest.mark.parametrize(("factor", "order"), [(2, "group_major"), (3, "channel_major"), (2, "channel_major")])
def test_squeeze_puts_every_pixel_where_the_formula_says(factor, order):
    x = _image().numpy()
    z = Squeeze(factor, order=order, dtype="float64")(x).numpy()
    channels = x.shape[-1]
    for a in range(factor):
        for b in range(factor):
            for c in range(channels):
                g = a * factor + b
                k = g * channels + c if order == "group_major" else c * factor**2 + g
                np.testing.assert_array_equal(z[..., k], x[:, a::factor, b::factor, c])


def test_channel_major_is_the_reshape_and_transpose_of_the_other_libraries():
    # NCHW: view (c, h/2, 2, w/2, 2), permute the two patch axes behind c.
    x = _image().numpy()
    nchw = x.transpose(0, 3, 1, 2).reshape(3, 2, 3, 2, 6, 2).transpose(0, 1, 3, 5, 2, 4).reshape(3, 8, 3, 6)
    np.testing.assert_array_equal(Squeeze(2, order="channel_major", dtype="float64")(x), nchw.transpose(0, 2, 3, 1))


def test_haar_bands():
    x = _image(2).numpy()
    z = Haar(dtype="float64")(x).numpy()
    a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
    expected = [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
    np.testing.assert_allclose(z, np.concatenate(expected, -1) / 2, atol=1e-14)
    major = Haar(order="channel_major", dtype="float64")(x).numpy()
    np.testing.assert_allclose(major, np.stack(expected, -1).reshape(3, 3, 6, 8) / 2, atol=1e-14)


def test_squeeze_is_exact_to_the_bit_and_leaves_its_input_alone():
    x = _image(3).numpy().astype(np.float32)
    x[0, 0, 0, 0] = 1e-30
    before, block = x.copy(), Squeeze()
    z = block(x)
    np.testing.assert_array_equal(block.inverse(tf.identity(z)), before)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("make", [lambda: Squeeze(), lambda: Haar()])
def test_odd_sizes_are_refused_with_advice(make):
    with pytest.raises(ValueError, match="Pad the images to 6 x 8"):
        make()(tf.zeros([1, 5, 8, 3]))
    with pytest.raises(ValueError, match="divisible by 2"):
        make()(keras.Input((7, 7, 1)))
    with pytest.raises(ValueError, match="multiple of 4"):
        make().inverse(tf.zeros([1, 4, 4, 6]))


def test_bad_arguments_are_refused():
    for arguments in ({"factor": 0}, {"factor": 2.0}, {"order": "depth"}):
        with pytest.raises(ValueError, match="expected"):
            Squeeze(**arguments)


@pytest.mark.parametrize("make", BLOCKS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_with_dynamic_batch_and_size(make, jit_compile):
    block = make().ensure_built((None, None, 2))
    x = tf.cast(_image(4), tf.float32)
    function = tf.function(lambda x: block.inverse(block.forward_and_log_det(x)[0]), jit_compile=jit_compile)
    if not jit_compile:
        function = function.get_concrete_function(tf.TensorSpec([None, None, None, 2]))
    np.testing.assert_allclose(function(x), x, atol=1e-6)
    np.testing.assert_allclose(function(x[:0]), x[:0])


def test_save_and_load(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), Squeeze(), Haar(order="channel_major")])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(5).normal(size=(2, 4, 4, 1)).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")(x), model(x))
