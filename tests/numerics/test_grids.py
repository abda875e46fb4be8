"""Grid numbers: which they are, that their sums are exact, and that nothing else passes in silence."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inntf.numerics.grids import check_in_range, check_on_grid, grid_limit, in_range, on_grid, round_to_grid, snap_to_grid

CHEAP = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize(("dtype", "precision"), [("float16", 11), ("bfloat16", 8), ("float32", 24), ("float64", 53)])
def test_limit_is_where_the_dtype_stops_telling_neighbours_apart(dtype, precision):
    for bits in (0, 3, precision):
        limit, step = grid_limit(bits, dtype), 2.0**-bits
        assert limit == 2.0 ** (precision - bits)
        below, above = tf.constant(limit - step, dtype), tf.constant(limit, dtype)
        assert below < above and float(below) == limit - step
        assert bool(above + tf.constant(step, dtype) == above)


@pytest.mark.parametrize("bits", [-1, 25, 2.5, True])
def test_impossible_bits_are_refused(bits):
    with pytest.raises(ValueError, match="bits"):
        grid_limit(bits, "float32")


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating"):
        snap_to_grid(tf.constant([1, 2]), 3)


@CHEAP
@given(st.integers(0, 24), st.lists(st.floats(width=32, allow_subnormal=False), min_size=1, max_size=8))
def test_on_grid_agrees_with_exact_arithmetic(bits, numbers):
    got = on_grid(tf.constant(numbers, tf.float32), bits).numpy()
    for number, fine in zip(numbers, got, strict=True):
        whole = np.isfinite(number) and (number * 2**bits).is_integer()  # exact in Python's float64
        assert fine == (whole and abs(number) < 2.0 ** (24 - bits))


@CHEAP
@given(st.integers(0, 20), st.integers(1 - 2**24, 2**24 - 1), st.integers(1 - 2**24, 2**24 - 1))
def test_sums_are_exact_or_out_of_range(bits, a, b):
    left, right = (tf.constant(k, tf.float32) * 2.0**-bits for k in (a, b))
    total = left + right
    fits = bool(in_range(total, bits))
    assert fits == (abs(a + b) < 2**24)
    if fits:
        assert float(total) == (a + b) / 2**bits
        back = total - right
        assert back.numpy().tobytes() == left.numpy().tobytes()


def test_a_sum_just_past_the_limit_is_seen():
    """2^24 + 1 rounds to 2^24: still out of range."""
    total = tf.constant(2.0**24 - 1) + tf.constant(2.0)
    assert float(total) == 2.0**24
    assert not bool(in_range(total, 0))


def test_rounding_is_to_the_nearest_or_down():
    x = np.random.default_rng(0).normal(size=200).astype(np.float32)
    np.testing.assert_array_equal(round_to_grid(x, 5), np.round(x * 32) / 32)
    np.testing.assert_array_equal(round_to_grid(x, 5, "down"), np.floor(x * 32) / 32)
    assert np.all(on_grid(round_to_grid(x, 5), 5)) and not np.any(on_grid(x, 5))
    with pytest.raises(ValueError, match="rounding"):
        round_to_grid(x, 5, "up")


def test_zero_has_no_sign():
    got = round_to_grid(tf.constant([-0.01, -0.0, 0.01]), 3)
    assert got.numpy().tobytes() == np.zeros(3, np.float32).tobytes()


def test_images_are_there_already():
    x = (np.arange(256) / 256).astype(np.float32)
    assert snap_to_grid(x, 8).numpy().tobytes() == x.tobytes()


def test_gradient_is_straight_through():
    x = tf.constant([0.3, -1.7, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.constant([1.0, 2.0, 3.0]) * snap_to_grid(x, 2) ** 2)
        gradient = tape.gradient(y, x)
    np.testing.assert_allclose(gradient, 2 * np.array([1.0, 2.0, 3.0]) * [0.25, -1.75, 2.0])
    np.testing.assert_allclose(outer.gradient(gradient, x), [2.0, 4.0, 6.0])


BAD = {"off": 0.3, "nan": np.nan, "infinite": np.inf, "large": 2.0**14}


@pytest.mark.parametrize("kind", BAD)
def test_nothing_else_passes(kind):
    x = tf.constant([1.0, BAD[kind]])
    with pytest.raises(ValueError, match=r"mine: received .* expected finite multiples of 2\^-10 below 16384.*snap_to_grid"):
        check_on_grid(x, 10, "mine")
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine: received"):
        tf.function(lambda v: check_on_grid(v, 10, "mine"))(x)


def test_numbers_between_grid_points_are_in_range():
    check_in_range(tf.constant([1.0, BAD["off"]]), 10, "mine")


@pytest.mark.parametrize("kind", sorted(set(BAD) - {"off"}))
def test_what_no_rounding_brings_onto_the_grid_is_refused(kind):
    x = tf.constant([1.0, BAD[kind]])
    with pytest.raises(ValueError, match="mine: .*float64"):
        check_in_range(x, 10, "mine")
    with pytest.raises(ValueError, match="snap_to_grid"):
        snap_to_grid(x, 10)


def test_xla_drops_the_assertion_but_not_the_error():
    got = tf.function(lambda v: check_on_grid(v, 10, "mine"), jit_compile=True)(tf.constant([1.0, 0.3]))
    np.testing.assert_array_equal(got, [1.0, np.nan])
