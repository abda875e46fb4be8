"""Certified norms against brute-force matrices; estimates from below beside them."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inntf import numerics
from inntf.numerics.norms import power_iteration

CASES = [(k, s, p) for k in (3, 5) for s in (1, 2) for p in ("same", "valid")]


def random_kernel(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def dense_norm(function, shape):
    """Norm of the matrix whose rows are the images of the basis."""
    basis = tf.reshape(tf.eye(math.prod(shape), dtype=tf.float64), [-1, *shape])
    image = function(basis)
    return np.linalg.norm(tf.reshape(image, [image.shape[0], -1]).numpy(), 2)


def zero_padded_norm(kernel, size, strides=1, padding="same", dilation=1):
    kernel = tf.constant(kernel)
    return dense_norm(
        lambda x: tf.nn.convolution(x, kernel, strides=strides, padding=padding.upper(), dilations=dilation),
        (*size, kernel.shape[2]),
    )


def circular_norm(kernel, size, strides=1):
    kernel = tf.constant(kernel)
    pads = [[0, 0], [0, kernel.shape[0] - 1], [0, kernel.shape[1] - 1], [0, 0]]
    strides = strides if isinstance(strides, tuple) else (strides, strides)

    def apply(x):  # tiling, then reading only the windows that start inside: circular padding
        tiles = tf.tile(x, [1, 1 + -(-pads[1][1] // size[0]), 1 + -(-pads[2][1] // size[1]), 1])
        wide = tiles[:, : size[0] + pads[1][1], : size[1] + pads[2][1]]
        return tf.nn.convolution(wide, kernel, padding="VALID")[:, :: strides[0], :: strides[1]]

    return dense_norm(apply, (*size, kernel.shape[2]))


def iterated_norm(kernel, size, strides, padding, iterations):
    v = tf.random.stateless_normal([1, *size, kernel.shape[2]], [1, 2], dtype=tf.float64)
    sigma, _, _ = numerics.conv_power_iteration(tf.constant(kernel), v, strides, padding, iterations=iterations, tolerance=0.0)
    return float(sigma)


@pytest.mark.parametrize("shape", [(3, 5), (7, 2), (1, 4)])
def test_spectral_norm_is_the_largest_singular_value(shape):
    matrix = random_kernel(*shape)
    assert numerics.spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)
    assert numerics.spectral_norm(matrix) >= np.linalg.norm(matrix, 2)
    assert numerics.spectral_norm(matrix * 1e200) == pytest.approx(np.linalg.norm(matrix, 2) * 1e200, rel=1e-9)


def test_degenerate_weights():
    assert numerics.spectral_norm(np.zeros([2, 3])) == 0
    assert numerics.spectral_norm([[np.nan, 1.0]]) == math.inf
    assert numerics.conv_norm_bound(np.zeros([3, 3, 1, 2]), (4, 4)) == 0
    assert numerics.conv_norm_bound(np.full([3, 3, 1, 2], np.inf)) == math.inf
    with pytest.raises(ValueError, match="expected"):
        numerics.spectral_norm(np.zeros([2, 2, 2]))
    with pytest.raises(ValueError, match="expected"):
        numerics.conv_norm_bound(np.zeros([2, 2]))
    with pytest.raises(ValueError, match="divide"):
        numerics.circular_conv_norm(np.zeros([3, 3, 1, 1]), (5, 4), 2)


@pytest.mark.parametrize(("k", "strides", "padding"), CASES)
def test_table_of_norms_8x8(k, strides, padding):
    """Power iteration <= dense operator = small-image form <= torus <= every size; all close."""
    kernel = random_kernel(k, k, 2, 3, seed=k)
    true = zero_padded_norm(kernel, (8, 8), strides, padding)
    bound = numerics.conv_norm_bound(kernel, (8, 8), strides, padding, exact_below=0)
    exact = numerics.conv_norm_bound(kernel, (8, 8), strides, padding)
    anywhere = numerics.conv_norm_bound(kernel, None, strides, padding)
    iterated = iterated_norm(kernel, (8, 8), strides, padding, 300)
    few = iterated_norm(kernel, (8, 8), strides, padding, 5)
    assert true <= exact <= true * (1 + 1e-8)
    assert true <= bound <= anywhere * (1 + 1e-9)
    assert few <= iterated <= true * (1 + 1e-9)
    assert iterated == pytest.approx(true, rel=1e-3)
    assert bound < 1.5 * true  # a bound, not a loose one: zero padding loses norm on so small an image


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("taps", "size"), [((3, 3), (4, 4)), ((2, 3), (5, 4)), ((5, 1), (6, 7)), ((1, 1), (3, 3))])
def test_gram_bound_of_a_small_image_is_the_norm(taps, size, padding):
    kernel = np.abs(random_kernel(*taps, 3, 2, seed=sum(taps)))  # where borders weigh most
    true = zero_padded_norm(kernel, size, 1, padding)
    bound = float(numerics.conv_gram_bound(tf.constant(kernel), size, padding=padding))
    torus = float(numerics.conv_gram_bound(tf.constant(kernel), size, padding=padding, exact_below=0))
    compiled = tf.function(lambda k: numerics.conv_gram_bound(k, size, padding=padding), jit_compile=True)
    assert true <= bound <= 1.002 * true
    assert bound <= torus * (1 + 1e-6)
    assert float(compiled(tf.constant(kernel))) == pytest.approx(bound, rel=1e-9)
    if taps == (3, 3) and padding == "same":
        assert torus > 1.1 * true


def test_gram_bound_forms_no_huge_matrix():
    """22 x 22 pixels of one channel are 484 rows, but with 64 channels 15 million entries."""
    kernel = tf.constant(random_kernel(3, 3, 1, 64))
    assert float(numerics.conv_gram_bound(kernel, (22, 22))) == float(numerics.conv_gram_bound(kernel, (22, 22), exact_below=0))


def test_gram_bound_refuses_an_unknown_padding():
    with pytest.raises(ValueError, match="'same' or 'valid'"):
        numerics.conv_gram_bound(tf.ones([3, 3, 1, 1]), (4, 4), padding="reflect")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("k", "strides"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_circular_norm_is_exact(k, strides, channels):
    kernel = random_kernel(k, k, channels, 2, seed=k)
    true = circular_norm(kernel, (8, 8), strides)
    certified = numerics.circular_conv_norm(kernel, (8, 8), strides)
    assert true <= certified <= true * (1 + 1e-8)
    assert certified <= numerics.conv_norm_bound(kernel, None, strides) * (1 + 1e-9)


@pytest.mark.parametrize(("k", "strides"), [(3, 1), (5, 2)])
def test_norms_28x28(k, strides):
    kernel = random_kernel(k, k, 1, 1, seed=k)
    true = zero_padded_norm(kernel, (28, 28), strides)
    circular = circular_norm(kernel, (28, 28), strides)
    bound = numerics.conv_norm_bound(kernel, (28, 28), strides, exact_below=0)
    assert true <= bound <= 1.02 * circular
    assert circular <= numerics.circular_conv_norm(kernel, (28, 28), strides) <= 1.02 * circular
    assert iterated_norm(kernel, (28, 28), strides, "same", 50) <= true * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]),
    seed=st.integers(0, 99),
)
def test_never_below_the_dense_operator(taps, channels, size, stride, dilation, padding, seed):
    stride = 1 if dilation > 1 else stride  # TensorFlow has no convolution with both
    extent = [(t - 1) * dilation + 1 for t in taps]
    if padding == "valid":
        size = tuple(max(n, e) for n, e in zip(size, extent, strict=True))
    kernel = random_kernel(*taps, *channels, seed=seed)
    true = zero_padded_norm(kernel, size, stride, padding, dilation)
    bound = numerics.conv_norm_bound(kernel, size, stride, padding, dilation, exact_below=0)
    assert true <= numerics.conv_norm_bound(kernel, size, stride, padding, dilation) <= true * (1 + 1e-8) or taps == (1, 1)
    assert true <= bound <= numerics.conv_norm_bound(kernel, None, stride, padding, dilation) * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(
    taps=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_circular_norm_of_any_shape(taps, cells, strides):
    """Also tori smaller than the kernel, where taps fall on one another."""
    kernel, size = random_kernel(*taps, 2, 1), tuple(c * s for c, s in zip(cells, strides, strict=True))
    true = circular_norm(kernel, size, strides)
    assert true <= numerics.circular_conv_norm(kernel, size, strides) <= true * (1 + 1e-8) + 1e-12


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_bound_for_every_size_is_within_one_percent_of_the_supremum(k):
    kernel = random_kernel(k, k, 2, 2, seed=k)
    fine = numerics.circular_conv_norm(kernel, (60, 60))
    assert fine <= numerics.conv_norm_bound(kernel) <= 1.011 * fine
    assert numerics.conv_norm_bound(kernel, (500, 500)) == numerics.conv_norm_bound(kernel)


def test_pruning_of_frequencies_changes_nothing():
    """Above 8 channels most frequencies are excluded without eigenvalues; the maximum must survive."""
    kernel = random_kernel(3, 3, 12, 17)
    symbol = np.fft.fft2(kernel, (7, 7), axes=(0, 1))
    true = np.linalg.svd(symbol, compute_uv=False).max()
    assert numerics.circular_conv_norm(kernel, (7, 7)) == pytest.approx(true, rel=1e-9)


def test_one_by_one_is_the_matrix():
    kernel = random_kernel(1, 1, 4, 3)
    assert numerics.conv_norm_bound(kernel, (6, 6)) == pytest.approx(np.linalg.norm(kernel[0, 0], 2), rel=1e-9)
    assert numerics.conv_norm_bound(kernel, (6, 6), 2) >= zero_padded_norm(kernel, (6, 6), 2)


def test_reshaped_norm_is_no_bound():
    kernel = np.ones([3, 3, 1, 1])
    assert numerics.reshaped_kernel_norm(kernel) < 0.5 * zero_padded_norm(kernel, (8, 8))


def test_power_iteration_keeps_its_vectors_and_stops():
    kernel = tf.constant(random_kernel(6, 4))
    true = np.linalg.norm(kernel, 2)
    v = tf.random.stateless_normal([6], [0, 1], dtype=tf.float64)
    errors = []
    for _ in range(12):
        sigma, u, v = numerics.dense_power_iteration(kernel, v, iterations=2)
        assert float(tf.tensordot(u, tf.linalg.matvec(kernel, v, transpose_a=True), 1)) == pytest.approx(float(sigma))
        errors.append(true - float(sigma))
    assert errors[-1] < 1e-4 * true and errors[-1] < errors[0]
    loose = numerics.dense_power_iteration(kernel, tf.ones([6], tf.float64), 1000, tolerance=0.5)[0]
    tight = numerics.dense_power_iteration(kernel, tf.ones([6], tf.float64), 1000, tolerance=1e-12)[0]
    assert float(loose) <= float(tight) == pytest.approx(true, rel=1e-6)


def test_power_iteration_survives_zero_and_graph_mode():
    v = tf.ones([1, 4, 4, 2])
    sigma, _, kept = tf.function(lambda k, v: numerics.conv_power_iteration(k, v))(tf.zeros([3, 3, 2, 2]), v)
    assert float(sigma) == 0
    np.testing.assert_allclose(tf.norm(kept), 1, rtol=1e-6)


@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_transpose_is_the_adjoint(dilation, padding):
    kernel = tf.constant(random_kernel(3, 2, 2, 3))
    x = tf.constant(random_kernel(1, 7, 8, 2))
    y = power_iteration.conv(kernel, x, 1, padding, dilation)
    np.testing.assert_allclose(y, tf.nn.convolution(x, kernel, padding=padding.upper(), dilations=dilation))
    other = tf.constant(random_kernel(*y.shape, seed=1))
    back = power_iteration.conv_transpose(kernel, other, x.shape, 1, padding, dilation)
    assert float(tf.reduce_sum(y * other)) == pytest.approx(float(tf.reduce_sum(x * back)))


ORDERS = [(1, 1), (1, 2), (1, math.inf), (2, 2), (2, math.inf), (math.inf, math.inf), (3, math.inf), (1, 1.5)]


@pytest.mark.parametrize(("p", "q"), ORDERS)
def test_closed_forms_are_attained_and_never_exceeded(p, q):
    kernel = random_kernel(4, 3)
    exact = numerics.induced_norm(kernel, p, q)
    starts = np.concatenate([np.eye(4), random_kernel(40, 4, seed=1)])
    ratios = np.linalg.norm(starts @ kernel, q, axis=1) / np.linalg.norm(starts, p, axis=1)
    assert np.all(ratios <= exact * (1 + 1e-9))
    sigma, v = numerics.induced_power_iteration(tf.constant(kernel), tf.constant(starts), p, q, tolerance=1e-10)
    assert float(sigma) == pytest.approx(exact, rel=1e-5)
    assert np.linalg.norm(v, p) == pytest.approx(1)
    assert numerics.induced_norm_bound(kernel, p, q) == pytest.approx(exact)


@pytest.mark.parametrize(("p", "q"), [(math.inf, 1), (2, 1), (math.inf, 2), (3.0, 1.7)])
def test_hard_orders_are_bracketed(p, q):
    kernel = random_kernel(4, 3)
    with pytest.raises(ValueError, match="induced_norm_bound"):
        numerics.induced_norm(kernel, p, q)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    sigma, _ = numerics.induced_power_iteration(tf.constant(kernel), tf.constant(signs), p, q, tolerance=1e-10)
    if math.isinf(p):  # the maximum is at a vertex of the cube
        assert float(sigma) == pytest.approx(np.linalg.norm(signs @ kernel, q, axis=1).max())
    assert float(sigma) <= numerics.induced_norm_bound(kernel, p, q) * (1 + 1e-9)


def test_learned_order_gradients_are_those_of_the_norm():
    kernel, starts = tf.constant(random_kernel(4, 3)), tf.constant(random_kernel(20, 4, seed=1))
    raw = tf.constant(-math.log(3.0), tf.float64)
    assert float(numerics.learned_order(raw)) == pytest.approx(2)

    def norm(kernel, raw):
        p = numerics.learned_order(raw)
        _, v = numerics.induced_power_iteration(kernel, starts, p, 2.0, 2000, 1e-14)
        return numerics.norm_quotient(kernel, v, p, 2.0)

    with tf.GradientTape() as tape:
        tape.watch([kernel, raw])
        value = norm(kernel, raw + 0.3)
    by_kernel, by_raw = tape.gradient(value, [kernel, raw])
    step = 1e-5
    numeric = (norm(kernel, raw + 0.3 + step) - norm(kernel, raw + 0.3 - step)) / (2 * step)
    assert float(by_raw) == pytest.approx(float(numeric), rel=1e-4)
    bump = np.zeros([4, 3])
    bump[1, 2] = step
    numeric = (norm(kernel + bump, raw + 0.3) - norm(kernel - bump, raw + 0.3)) / (2 * step)
    assert float(by_kernel[1, 2]) == pytest.approx(float(numeric), rel=1e-4)


def test_margin_of_round_off_is_all_that_is_added():
    assert power_iteration.ROUND_OFF <= 1e-9
    assert numerics.circular_conv_norm(np.eye(2)[None, None], (4, 4)) == pytest.approx(1, abs=1e-9)
