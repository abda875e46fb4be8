"""Exact couplings: the very bits come back, at any depth and any Lipschitz constant, or an error says why not."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inntf import blocks as b
from inntf.compose import Chain
from inntf.nets import MLP


def bits_of(value):
    return np.asarray(value).tobytes()


def images(batch=4, shape=(4, 4, 2), dtype="float32", seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 256, (batch, *shape)) / 256, dtype)


def wild(gain, dtype="float32"):
    """A shift `sin(W x)`: at most 1, so sums stay in range, but with a Lipschitz constant of about `gain`."""

    def make(channels):
        kernel = keras.initializers.RandomNormal(stddev=gain)
        return keras.layers.Dense(channels, activation=tf.sin, kernel_initializer=kernel, dtype=dtype)

    return make


def constant(value):
    return lambda channels: keras.layers.Dense(
        channels, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(value)
    )


@pytest.fixture(scope="module")
def block():
    keras.utils.set_random_seed(1)
    return b.ExactAdditiveCoupling(bits=6, conditioner=wild(300.0), split=[0, 3]).ensure_built((5,))


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.int64, (3, 5), elements=st.integers(-(2**23), 2**23)))
def test_the_very_bits_come_back(block, whole):
    x = tf.constant((whole / 2**6).astype(np.float32))
    z, log_det = block.forward_and_log_det(x)
    back, back_log_det = block.inverse_and_log_det(tf.identity(z))
    assert bits_of(back) == bits_of(x)
    there, _ = block.forward_and_log_det(block.inverse_and_log_det(tf.identity(x))[0])
    assert bits_of(there) == bits_of(x)
    assert bits_of(log_det) == bits_of(back_log_det) == bits_of(np.zeros(3, np.float32))


def test_the_shift_is_the_rounded_output_of_the_conditioner(block):
    x = tf.round(64 * tf.random.stateless_normal([3, 5], [1, 2])) / 64 + 0.0
    moved = block.forward_and_log_det(x)[0].numpy() - x.numpy()
    shift = np.asarray(block.conditioner(tf.gather(x, [0, 3], axis=1)))
    np.testing.assert_array_equal(moved[:, [1, 2, 4]], np.round(shift * 64) / 64)
    np.testing.assert_array_equal(moved[:, [0, 3]], 0.0)
    assert np.max(np.abs(moved)) > 0.1


def test_gradients_are_those_without_rounding():
    keras.utils.set_random_seed(2)
    exact = b.ExactAdditiveCoupling(bits=8, conditioner=MLP((4,), activation="tanh", zero_last=False)).ensure_built((4,))
    plain = b.AdditiveCoupling(conditioner=MLP((4,), activation="tanh", zero_last=False)).ensure_built((4,))
    plain.set_weights(exact.get_weights())
    x, weigh = images(3, (4,)), tf.random.stateless_normal([3, 4], [3, 4])
    for method in ("forward_and_log_det", "inverse_and_log_det"):
        found = []
        for each in (exact, plain):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(weigh * getattr(each, method)(tf.identity(x))[0])
            found.append(tape.gradient(y, [x, *(v.value for v in each.trainable_weights)]))
        for got, expected in zip(*found, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
            assert np.any(expected.numpy() != 0)


@pytest.mark.parametrize("at", [0, 3], ids=["identity", "transformed"])
@pytest.mark.parametrize("wrong", [0.3, np.nan, -np.inf, 2.0**14])
def test_what_is_not_on_the_grid_is_refused_both_ways(at, wrong):
    block = b.ExactAdditiveCoupling(conditioner=constant(1.0)).ensure_built((4,))
    x = np.ones((2, 4), np.float32)
    x[1, at] = wrong
    for method in (block.forward_and_log_det, block.inverse_and_log_det):
        with pytest.raises(
            ValueError, match=rf"{block.name}: the (identity|transformed) part: received .*expected .*snap_to_grid"
        ):
            method(x)
        with pytest.raises(tf.errors.InvalidArgumentError, match="snap_to_grid"):
            tf.function(method)(tf.constant(x))


def test_what_does_not_fit_is_refused():
    low, high = -(2.0**14) + 2.0**-10, 2.0**14 - 2.0**-10
    x = tf.constant([[0.0, 0.0, high, low]])
    for value, method in ((1.0, "forward"), (-1.0, "forward"), (1.0, "inverse")):
        block = b.ExactAdditiveCoupling(conditioner=constant(value))
        with pytest.raises(ValueError, match="the shifted part: received .*16384.*float64"):
            getattr(block, method)(x)
    for value in (2.0**14, np.nan, -np.inf):
        with pytest.raises(ValueError, match="the shift: received"):
            b.ExactAdditiveCoupling(conditioner=constant(value)).forward(tf.zeros([1, 4]))
    block = b.ExactAdditiveCoupling(conditioner=constant(-2 * high + 1.0))  # out of range itself, though the sum would fit
    with pytest.raises(ValueError, match="the shift: received"):
        block.forward(tf.constant([[0.0, 0.0, high, high]]))
    block = b.ExactAdditiveCoupling(conditioner=constant(2.0**-10))  # up to the last number is exact
    x = tf.constant([[0.0, 0.0, high - 2.0**-10, low]])
    z = block.forward(x)
    assert float(z[0, 2]) == high and bits_of(block.inverse(tf.identity(z))) == bits_of(x)


@pytest.mark.parametrize("bits", [-1, 25, 1.5])
def test_impossible_bits_are_refused(bits):
    for make in (b.ExactAdditiveCoupling, b.SnapToGrid):
        with pytest.raises(ValueError, match="bits"):
            make(bits=bits)
    assert b.ExactAdditiveCoupling(bits=40, dtype="float64").bits == 40


def test_bounds_hold_between_grid_points_and_need_the_rounding():
    half = MLP((), zero_last=False)
    block = b.ExactAdditiveCoupling(bits=0, conditioner=half).ensure_built((2,))
    block.set_weights([np.array([[0.5]], np.float32), np.zeros(1, np.float32)])
    grid = np.stack(np.meshgrid(np.arange(-5.0, 6.0), np.arange(-5.0, 6.0)), -1).reshape(-1, 2).astype(np.float32)
    bound = block.lipschitz_bounds()
    for method, limit in ((block.forward, bound.forward), (block.inverse, bound.inverse)):
        image = method(tf.constant(grid)).numpy()
        near = np.linalg.norm(grid[:, None] - grid[None], axis=-1)
        far = np.linalg.norm(image[:, None] - image[None], axis=-1)
        worst = np.max(far[near > 0] / near[near > 0])
        without = 0.25 + np.sqrt(1 + 0.25**2)
        assert without < worst <= limit < 2.5
    low, high = block.image_box((-2.5, 2.5))
    image = block.forward(tf.constant(grid[np.max(np.abs(grid), -1) <= 2])).numpy()
    assert np.all(low <= image) and np.all(image <= high)


# ---- the way onto the grid ----------------------------------------------------------------------------------------


def test_snap_to_grid_is_a_projection_both_ways():
    block, x = b.SnapToGrid(bits=4), tf.random.stateless_normal([3, 5], [7, 8])
    z, log_det = block.forward_and_log_det(x)
    np.testing.assert_array_equal(z, np.round(x.numpy() * 16) / 16)
    np.testing.assert_array_equal(log_det, 0.0)
    for method in (block.forward, block.inverse):
        assert bits_of(method(tf.identity(z))) == bits_of(z)
    np.testing.assert_array_equal(block.inverse(tf.identity(x)), z)
    with pytest.raises(ValueError, match="received nan"):
        block.forward_and_log_det(tf.fill([3, 5], np.float32(np.nan)))


def test_dequantized_levels_survive_the_grid():
    x = tf.constant(np.arange(256, dtype=np.float32).reshape(32, 8))
    chain = Chain(
        [
            b.Dequantize(256, seed=1),
            b.SnapToGrid(bits=12, rounding="down"),
            b.ExactAdditiveCoupling(bits=12, conditioner=wild(50.0)),
            b.SnapToGrid(bits=12),
        ]
    )
    z = chain.forward_and_log_det(x)[0]
    np.testing.assert_array_equal(chain.inverse_and_log_det(tf.identity(z))[0], x)
    assert np.all(np.isfinite(chain.inverse_and_log_det(tf.random.stateless_normal([4, 8], [1, 1]))[0]))  # samples of a base
