"""Lanczos singular values against known spectra and numpy's SVD."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import batch_jacobian, bidiagonalize, exact_extremes, lanczos_extremes

BOTH = pytest.mark.parametrize("extremes", [lanczos_extremes, exact_extremes])


def with_spectrum(values, seed=0):
    """A matrix with exactly these singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(len(values), len(values))))[0] for _ in range(2))
    return left @ np.diag(values) @ right.T


def bidiagonalized(matrices, **options):
    a = tf.constant(np.stack(matrices))
    return bidiagonalize(
        lambda v: tf.linalg.matvec(a, v),
        lambda u: tf.linalg.matvec(a, u, transpose_a=True),
        batch=len(matrices),
        size=a.shape[-1],
        **options,
    )


def both_ways(matrix, dtype="float64", inverse=None):
    a, b = tf.constant(matrix, dtype), tf.constant(np.linalg.inv(matrix), dtype)
    return (lambda x: x @ tf.transpose(a)), (inverse or (lambda z: z @ tf.transpose(b)))


@pytest.mark.parametrize(
    "spectrum",
    [np.geomspace(1, 1e6, 30), np.linspace(1, 2, 30), np.ones(30), np.array([5.0, 5, 5, 1, 1]), np.array([2.0])],
    ids=["graded", "dense", "orthogonal", "repeated", "scalar"],
)
def test_largest_of_a_batch_of_known_spectra(spectrum):
    matrices = [with_spectrum(spectrum, seed) for seed in range(3)] + [with_spectrum(3 * spectrum)]
    out = bidiagonalized(matrices)
    top = spectrum.max() * np.array([1, 1, 1, 3])
    np.testing.assert_allclose(out.largest, top, rtol=1e-6)
    assert np.all(out.converged) and np.all(out.largest <= top * (1 + 1e-12))
    along = np.einsum("bij,bj->bi", np.stack(matrices), out.right)
    np.testing.assert_allclose(along, out.left * out.largest[:, None], atol=1e-9 * top.max())


def test_all_steps_give_the_smallest_too():
    spectrum = np.geomspace(1e-3, 1e3, 12)
    out = bidiagonalized([with_spectrum(spectrum)], tolerance=1e-300)
    assert out.iterations == 12
    np.testing.assert_allclose(out.smallest, 1e-3, rtol=1e-6)


def test_few_steps_bound_the_spectrum_from_inside_and_say_so():
    spectrum = np.linspace(1, 2, 200)
    out = bidiagonalized([with_spectrum(spectrum)], iterations=5)
    assert out.iterations == 5 and not out.converged[0]
    assert 1 < out.smallest[0] < out.largest[0] < 2
    assert np.min(np.abs(spectrum - out.largest)) <= out.residual[0]


def test_zero_and_non_finite_matrices_do_not_disturb_the_others():
    a = with_spectrum(np.linspace(1, 9, 6))
    bad = a.copy()
    bad[2, 3] = np.nan
    out = bidiagonalized([a, np.zeros((6, 6)), bad, np.full((6, 6), np.inf), 1e200 * a])
    np.testing.assert_allclose(out.largest, [9, 0, np.nan, np.nan, 9e200], rtol=1e-6)
    assert list(out.converged.numpy()) == [True, True, False, False, True]


def test_rectangular():
    a = np.random.default_rng(0).normal(size=(1, 7, 4))
    out = bidiagonalized(list(a))
    np.testing.assert_allclose(out.largest, np.linalg.svd(a)[1][:, 0], rtol=1e-6)
    np.testing.assert_allclose(out.smallest, np.linalg.svd(a)[1][:, -1], rtol=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("condition", "dtype", "rtol"), [(1e2, "float32", 1e-4), (1e4, "float32", 1e-3), (1e6, "float64", 1e-6)]
)
def test_linear_map_of_known_condition(extremes, condition, dtype, rtol):
    matrix = with_spectrum(np.geomspace(1, condition, 24))
    forward, inverse = both_ways(matrix, dtype)
    out = extremes(forward, inverse, tf.random.stateless_normal([3, 24], [0, 1], dtype=dtype))
    np.testing.assert_allclose(out.largest, condition, rtol=1e-5)
    np.testing.assert_allclose(out.smallest, 1, rtol=rtol)
    assert np.all(out.converged) and np.all(out.consistent) and np.all(out.finite)


@BOTH
def test_curved_map_against_the_svd_of_its_jacobian(extremes):
    matrix = with_spectrum(np.geomspace(0.1, 20, 10))
    line, back = both_ways(matrix)

    def forward(x):
        y = line(x)
        return y + 0.9 * tf.sin(y)

    def inverse(z):
        y = z
        for _ in range(60):
            y = y - (y + 0.9 * tf.sin(y) - z) / (1 + 0.9 * tf.cos(y))
        return back(y)

    x = tf.random.stateless_normal([4, 10], [3, 4], stddev=0.1, dtype=tf.float64)
    np.testing.assert_allclose(inverse(forward(x)), x, atol=1e-8)
    values = np.linalg.svd(batch_jacobian(forward, x))[1]
    out = extremes(forward, inverse, x)
    np.testing.assert_allclose(out.largest, values[:, 0], rtol=1e-4)
    np.testing.assert_allclose(out.smallest, values[:, -1], rtol=1e-4)
    assert np.all(out.consistent)


@BOTH
@pytest.mark.parametrize(
    "wrong",
    [lambda z: z, lambda z: 1e9 * z, lambda z: 1e-9 * z, tf.zeros_like, tf.tanh],
    ids=["identity", "huge", "tiny", "zero", "tanh"],
)
def test_a_wrong_inverse_is_not_believed(extremes, wrong):
    forward, inverse = both_ways(with_spectrum(np.geomspace(1, 1e3, 8)), inverse=wrong)
    out = extremes(forward, inverse, tf.ones([2, 8], tf.float64))
    assert not np.any(out.consistent)
    np.testing.assert_allclose(out.largest, 1e3, rtol=1e-5)
    assert np.all(out.smallest >= 1 - 1e-9), "the upper bound must come from the forward Jacobian"
    assert np.all(out.smallest <= 1e3)


def test_a_non_finite_inverse_is_reported_per_sample():
    forward, inverse = both_ways(with_spectrum(np.geomspace(1, 10, 4)))
    x = tf.constant([[1.0, 0, 0, 0], [5.0, 0, 0, 0], [0.0, 1, 0, 0]], tf.float64)
    far = tf.norm(forward(x), axis=1, keepdims=True) >= tf.norm(forward(x)[1])

    def breaking(z):
        return inverse(z) * tf.where(far, tf.constant(np.inf, tf.float64), 1)

    out = lanczos_extremes(forward, breaking, x)
    assert list(out.finite.numpy()) == [True, False, True]
    assert list(out.consistent.numpy()) == [True, False, True]
    assert np.isnan(out.smallest[1]) and out.smallest_at_most[1] >= 1 - 1e-9
    np.testing.assert_allclose(out.largest, 10, rtol=1e-6)


@BOTH
def test_tiny_values_below_the_rounding_of_the_forward_come_from_the_inverse(extremes):
    forward, inverse = both_ways(with_spectrum(np.geomspace(1e-10, 1, 6)), "float32")
    out = extremes(forward, inverse, tf.ones([1, 6]))
    np.testing.assert_allclose(out.smallest, 1e-10, rtol=1e-3)
    assert np.all(out.consistent)


def test_bad_options():
    with pytest.raises(ValueError, match="iterations=0"):
        bidiagonalized([np.eye(2)], iterations=0)
    with pytest.raises(RuntimeError, match="inside a tf"):
        tf.function(lambda: bidiagonalized([np.eye(2)]))()
