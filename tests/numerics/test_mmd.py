"""Discrepancies against double loops, gradients against differences, and the values of two known inverse problems."""

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import X_SIDE_KERNEL, Z_SIDE_KERNEL, Gaussian, InverseMultiquadric, InverseQuadratic, mmd_squared, mmd_test
from inntf.numerics.kernel_sums import kernel_sums

NAIVE = {
    "x side": (X_SIDE_KERNEL, lambda d: sum(c**a * ((c + d) / a) ** -a for c, a in [(0.2, 0.1), (0.2, 0.5), (0.2, 2)])),
    "z side": (Z_SIDE_KERNEL, lambda d: sum(c**a * ((c + d) / a) ** -a for c, a in [(0.2, 2), (1.5, 2), (3, 2)])),
    "hint": (
        InverseMultiquadric(((0.5, 1), (0.2, 1), (0.2, 0.5))),
        lambda d: sum(c**a * ((c + d) / a) ** -a for c, a in [(0.5, 1), (0.2, 1), (0.2, 0.5)]),
    ),
    "quadratic": (InverseQuadratic(), lambda d: sum(a**2 / (a**2 + d) for a in (0.05, 0.2, 0.9))),
    "four widths": (
        InverseQuadratic((0.2, 0.5, 0.9, 1.3)),
        lambda d: sum(a**2 / (a**2 + d) for a in (0.2, 0.5, 0.9, 1.3)),
    ),
    "gaussian": (Gaussian((0.3, 2.0)), lambda d: sum(math.exp(-d / (2 * b * b)) for b in (0.3, 2.0))),
}


def naive(x, y, k, estimator):
    """The definition, point by point."""

    def kernel(a, b):
        return k(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))

    n, m = len(x), len(y)
    if estimator == "linear":
        of = [
            kernel(x[2 * i], x[2 * i + 1])
            + kernel(y[2 * i], y[2 * i + 1])
            - kernel(x[2 * i], y[2 * i + 1])
            - kernel(x[2 * i + 1], y[2 * i])
            for i in range(min(n, m) // 2)
        ]
        return sum(of) / len(of)
    own = estimator == "biased"
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if own or i != j) / (n * (n if own else n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if own or i != j) / (m * (m if own else m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 11, 3)), rng.normal(size=(2, 8, 3)) * 1.5 + 0.4


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
@pytest.mark.parametrize("name", NAIVE)
def test_values_are_those_of_the_double_loop(sets, name, estimator):
    kernel, function = NAIVE[name]
    expected = [naive(x, y, function, estimator) for x, y in zip(*sets, strict=True)]
    np.testing.assert_allclose(mmd_squared(*sets, kernel, estimator), expected, rtol=1e-10)
    single = mmd_squared(*(tf.constant(s, tf.float32) for s in sets), kernel, estimator)
    assert single.dtype == tf.float32
    np.testing.assert_allclose(single, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("tile", [1, 20, 64, 90, 10**6])
@pytest.mark.parametrize("known", [True, False])
def test_tiles_change_neither_sums_nor_gradients(sets, tile, known):
    x, y = map(tf.constant, sets)
    weights = tf.constant(np.random.default_rng(1).normal(size=(2, 11)))

    def value_and_gradients(x, y, tile):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            sums = kernel_sums(x, y, X_SIDE_KERNEL, tile)
            total = tf.reduce_sum(weights * sums)
        return sums, *tape.gradient(total, [x, y])

    def of(x, y):
        return value_and_gradients(x, y, tile)

    got_all = (of if known else tf.function(of, input_signature=[tf.TensorSpec([None, None, 3], tf.float64)] * 2))(x, y)
    for got, expected in zip(got_all, dense(x, y, weights), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def dense(x, y, weights):
    """All squared distances by differences, in one piece."""
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        sums = tf.reduce_sum(X_SIDE_KERNEL(tf.reduce_sum((x[:, :, None] - y[:, None]) ** 2, -1)), -1)
        total = tf.reduce_sum(weights * sums)
    return sums, *tape.gradient(total, [x, y])


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
@pytest.mark.parametrize("name", ["x side", "quadratic", "gaussian"])
def test_gradients_are_those_of_differences(sets, name, estimator):
    x, y = (tf.constant(s[0]) for s in sets)
    kernel, function = NAIVE[name]
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        value = mmd_squared(x, y, kernel, estimator)
    for which, gradient in enumerate(tape.gradient(value, [x, y])):
        for at in [(0, 0), (3, 2), (7, 1)]:
            ends = []
            for step in (1e-6, -1e-6):
                moved = [x.numpy().copy(), y.numpy().copy()]
                moved[which][at] += step
                ends.append(naive(*moved, function, estimator))
            np.testing.assert_allclose(gradient[at], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_coinciding_points_have_finite_gradients(estimator, dtype):
    x = tf.cast(tf.repeat(tf.constant([[1e3, -2.0], [1e3, 5.0]]), 4, 0), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        same = mmd_squared(x, x, estimator=estimator)
        tiled = tf.reduce_sum(kernel_sums(x[None], x[None], X_SIDE_KERNEL, tile=8))
    assert np.isfinite(tape.gradient(same, x)).all()
    assert np.isfinite(tape.gradient(tiled, x)).all()


def test_leading_dimensions_broadcast_and_traced_shapes_are_known(sets):
    x, y = sets
    many = mmd_squared(np.stack([x, x + 1]), y)
    assert many.shape == (2, 2)
    np.testing.assert_allclose(many[1, 0], mmd_squared(x[0] + 1, y[0]), rtol=1e-10)
    np.testing.assert_allclose(mmd_squared(x, y[0])[1], mmd_squared(x[1], y[0]), rtol=1e-10)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float64)] * 2)
    def traced(x, y):
        value = mmd_squared(x, y)
        assert value.shape.rank == 1
        return value

    np.testing.assert_allclose(traced(x, y), mmd_squared(x, y), rtol=1e-10)


def test_xla_compiles_tiles_and_their_gradients(sets):
    @tf.function(jit_compile=True)
    def compiled(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(kernel_sums(x, y, X_SIDE_KERNEL, 20))
        return total, tape.gradient(total, x)

    x, y = map(tf.constant, sets)
    expected = dense(x, y, tf.ones([2, 11], tf.float64))
    total, gradient = compiled(x, y)
    np.testing.assert_allclose(total, tf.reduce_sum(expected[0]), rtol=1e-9)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-8, atol=1e-12)


def test_the_unbiased_ones_are_around_zero_and_the_biased_one_is_not():
    samples = np.random.default_rng(0).normal(size=(2, 400, 20, 2))
    for estimator in ("unbiased", "linear"):
        values = mmd_squared(*samples, estimator=estimator).numpy()
        assert abs(values.mean()) < 4 * values.std() / 20
    biased = mmd_squared(*samples).numpy()
    assert biased.min() > 0 and biased.mean() > 0.2


# Two inverse problems: parameters whose posterior, prior and a point mass have known discrepancies.


def kinematics(rng, number):
    x = rng.normal(size=(number, 4)) * [0.25, 0.5, 0.5, 0.5]
    first, second, third = x[:, 1], x[:, 2] - x[:, 1], x[:, 3] - x[:, 1] - x[:, 2]
    up = 0.5 * np.sin(first) + 0.5 * np.sin(second) + np.sin(third) + x[:, 0]
    return x, np.stack([up, 0.5 * np.cos(first) + 0.5 * np.cos(second) + np.cos(third)], 1)


def ballistics(rng, number):
    g, k, m = 9.81, 0.25, 0.2
    x = np.stack(
        [
            rng.normal(0, 0.5, number),
            np.maximum(rng.normal(1.5, 0.5, number), 0),
            np.deg2rad(rng.uniform(9, 72, number)),
            rng.poisson(15, number),
        ],
        1,
    )
    v1, v2 = x[:, 3] * np.cos(x[:, 2]), x[:, 3] * np.sin(x[:, 2])

    def height(t):
        return x[:, 1] - m / k**2 * ((g * m + v2 * k) * np.expm1(-k * t / m) + g * t * k)

    low, high = m / k * np.log1p(k * v2 / (g * m)), np.full(number, 20.0)  # from the apex on it only falls
    for _ in range(40):
        middle = (low + high) / 2
        above = height(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return x, (x[:, 0] - v1 * m / k * np.expm1(-k * low / m))[:, None]


@pytest.mark.parametrize(("problem", "prior", "tolerance"), [(kinematics, 0.46, 0.08), (ballistics, 0.19, 0.04)])
def test_known_values(problem, prior, tolerance):
    rng = np.random.default_rng(0)
    pool, observed = problem(rng, 200_000)
    targets = problem(rng, 20)[1]
    nearest = [np.argpartition(((observed - y) ** 2).sum(1), 400)[:400] for y in targets]
    posterior = pool[np.stack(nearest)]
    independent = problem(rng, 400 * len(targets))[0].reshape(len(targets), 400, 4)
    scores = mmd_squared(independent, posterior, estimator="unbiased").numpy()
    assert abs(scores.mean() - prior) < tolerance
    halves = mmd_squared(posterior[:, ::2], posterior[:, 1::2], estimator="unbiased").numpy()
    assert abs(halves.mean()) < 0.005
    if problem is ballistics:
        point = np.repeat(posterior[:, :1], 400, 1)
        assert abs(mmd_squared(point, posterior).numpy().mean() - 4.5) < 0.3


def test_a_permutation_p_value_has_its_level_and_power():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300, 12, 2))
    p = np.array([mmd_test(a, b, permutations=19, seed=i).p_value for i, (a, b) in enumerate(zip(x, y, strict=True))])
    assert 0.02 < np.mean(p <= 0.05) < 0.09 and 0.43 < p.mean() < 0.62
    assert mmd_test(x[0], x[0]).p_value > 0.9
    found = mmd_test(x[:5].reshape(-1, 2), y[:5].reshape(-1, 2) + 0.8, permutations=199)
    assert found.p_value == 1 / 200 and found.permuted.shape == (199,)
    expected = mmd_squared(x[:5].reshape(-1, 2), y[:5].reshape(-1, 2) + 0.8, estimator="unbiased")
    np.testing.assert_allclose(found.statistic, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, "estimator='cubic'", lambda x: mmd_squared(x, x, estimator="cubic")),
        (TypeError, "float64 and float32", lambda x: mmd_squared(x, x.astype(np.float32))),
        (TypeError, "int64", lambda x: mmd_squared(x.astype(int), x.astype(int))),
        (ValueError, "at least 2 samples", lambda x: mmd_squared(x[:1], x, estimator="unbiased")),
        (ValueError, "n, dim", lambda x: mmd_squared(x, x[:, :2])),
        (ValueError, "n, dim", lambda x: mmd_test(x, x[0])),
        (ValueError, "finite", lambda x: mmd_test(x, x * np.nan)),
        (ValueError, "permutations=0", lambda x: mmd_test(x, x, permutations=0)),
        (ValueError, "positive", lambda x: Gaussian([0.0])),
        (ValueError, "at least one", lambda x: InverseQuadratic([])),
        (ValueError, "positive", lambda x: InverseMultiquadric([(0.2, -1)])),
    ],
)
def test_bad_input_is_named(error, words, call):
    with pytest.raises(error, match=words):
        call(np.ones((4, 3)))
