"""The accelerated fixed point: the bound it states holds, what it cannot reach it says, and it is fast."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from inntf.numerics import solve_fixed_point
from tests.numerics.hard_contractions import KINDS, Contractions


def solve(g, z, lipschitz, **options):
    """Compiled by a tf.function: an eager loop of many small steps is slow."""

    @tf.function(autograph=False)
    def run(z):
        found = solve_fixed_point(g, z, lipschitz, **options)
        return found.x, found.error_bound, found.evaluations, found.converged

    return [part.numpy() for part in run(tf.constant(z))]


def hold_the_certificate(n, dtype, seed):
    """Random and hard blocks: whenever the solver says so, the error is below the tolerance; always, below the bound."""
    rng = np.random.default_rng(seed)
    claimed = 0
    dims = (1, 2, 3, 5, 8)
    for dim in dims:
        size = n // len(dims)
        lipschitz = rng.choice([0.1, 0.5, 0.9, 0.98, 0.99], size)
        blocks = Contractions(rng, size, dim, lipschitz).rounded(dtype)
        z = (rng.normal(size=(size, dim)) * 10.0 ** rng.uniform(-3, 2, (size, 1))).astype(dtype)
        exact, left = blocks.exact_inverse(z.astype(np.float64))
        slack = left / (1 - blocks.lipschitz)  # what is uncertain of the reference
        x, bound, _, converged = solve(blocks.function(dtype), z, blocks.lipschitz, tolerance=1e-5, max_evaluations=3000)
        error = np.linalg.norm(x.astype(np.float64) - exact, axis=1)
        assert slack.max() < 1e-8
        assert np.all(error <= bound + slack), f"dim {dim}: {np.max(error - bound)}"
        assert np.all(error[converged] <= 1e-5 + slack[converged])
        assert np.all(bound[converged] <= 1e-5)
        if dtype == "float64":
            assert converged.all()
        claimed += int(converged.sum())
    return claimed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_holds_on_a_thousand_blocks(dtype):
    claimed = hold_the_certificate(1000, dtype, 1)
    assert claimed > (300 if dtype == "float32" else 999)  # float32 rounding times 1 / (1 - L) is often above 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_holds_on_ten_thousand_blocks(dtype):
    hold_the_certificate(10_000, dtype, 2)


@pytest.mark.parametrize("kind", ["rotation", "signs", "shift", "orthogonal", "minus", "max_min"])
def test_a_third_of_the_evaluations_on_hard_blocks(kind):
    """Lipschitz constants that are attained: for the same guaranteed error, at most a third of the plain iteration's."""
    blocks = Contractions(np.random.default_rng(3), 32, 8, 0.9, [kind])
    z = np.random.default_rng(4).normal(size=(32, 8))
    g = blocks.function(tf.float64)
    _, bound, fast, converged = solve(g, z, blocks.lipschitz, tolerance=1e-5)
    _, plain_bound, plain, plain_converged = solve(g, z, blocks.lipschitz, tolerance=1e-5, memory=0)
    assert converged.all() and plain_converged.all()
    assert bound.max() <= 1e-5 and plain_bound.max() <= 1e-5
    assert plain.min() > 60
    assert np.all(fast <= plain / 3), (fast.max(), plain.min())


def test_never_much_worse_than_the_plain_guarantee():
    """On every kind, also where secants mislead: not past what plain steps would have needed at worst, and a few more."""
    blocks = Contractions(np.random.default_rng(5), 200, 5, 0.9)
    z = np.random.default_rng(6).normal(size=(200, 5))
    x0 = np.linalg.norm(blocks.function(tf.float64)(tf.constant(z)), axis=1)
    _, _, fast, converged = solve(blocks.function(tf.float64), z, blocks.lipschitz, tolerance=1e-5)
    # L^(n - 1) |r_0| L / (1 - L) <= tolerance
    guarantee = 1 + np.ceil(np.log(1e-5 * 0.1 / 0.9 / x0) / np.log(0.9))
    assert converged.all()
    assert np.all(fast <= 1.1 * guarantee + 8)
    assert set(blocks.kind) == set(range(len(KINDS)))


def test_usual_bound_on_the_step_fails_for_accelerated_points():
    """Why the bound is on the residual: an accelerated step is no residual."""
    g = lambda x: -0.99 * x  # noqa: E731
    z = tf.constant([[1.0]], tf.float64)
    found = solve_fixed_point(g, z, 0.99, tolerance=1e-3)
    assert int(found.evaluations[0]) <= 4
    assert abs(float(found.x[0, 0]) - 100) <= float(found.error_bound[0]) <= 1e-3


def test_plain_bound_is_attained():
    """The bound is not pessimistic: for g(x) = -L x it is the error."""
    z = tf.constant([[1.0]], tf.float64)
    found = solve_fixed_point(lambda x: -0.5 * x, z, 0.5, tolerance=1e-3, memory=0)
    assert float(found.error_bound[0]) == pytest.approx(2 - float(found.x[0, 0]), rel=1e-9)


def test_what_cannot_be_reached_is_said():
    z = np.random.default_rng(7).normal(size=(6, 4)).astype("float32")
    blocks = Contractions(np.random.default_rng(8), 6, 4, 0.99).rounded("float32")
    g = blocks.function(tf.float32)
    _, bound, evaluations, converged = solve(g, z, blocks.lipschitz, tolerance=1e-7)
    assert not converged.any() and np.all(bound > 1e-7) and np.all(evaluations < 2000)
    _, bound, evaluations, converged = solve(g, z, blocks.lipschitz, tolerance=1e-2, max_evaluations=2)
    assert np.all(evaluations <= 2) and np.all(converged == (bound <= 1e-2)) and not converged.all()
    for lipschitz in (1.0, 1.5, float("nan"), -1.0):
        _, bound, evaluations, converged = solve(g, z, lipschitz)
        assert np.all(np.isinf(bound)) and not converged.any() and np.all(evaluations == 1)


def test_samples_are_on_their_own():
    """A hard neighbour, a NaN or an infinity changes nothing; a sample that is done stays as it is."""
    a = tf.constant([0.1, -0.98, 0.5, 0.5], tf.float64)[:, None]
    z = tf.constant([[1.0, 2.0], [1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]], tf.float64)
    found = solve_fixed_point(lambda x: a * tf.sin(x), z, 0.98, tolerance=1e-6)
    alone = solve_fixed_point(lambda x: a[:1] * tf.sin(x), z[:1], 0.98, tolerance=1e-6)
    np.testing.assert_array_equal(found.x[:1], alone.x)
    assert int(found.evaluations[0]) == int(alone.evaluations[0]) < int(found.evaluations[1])
    assert found.converged.numpy().tolist() == [True, True, False, False]


@pytest.mark.parametrize("jit", [False, True])
def test_images_graphs_empty_and_unknown_batches(jit):
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 2, 2)) * 0.05)

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 2], tf.float64)], jit_compile=jit, autograph=False)
    def inverse(z):
        found = solve_fixed_point(lambda x: tf.nn.conv2d(tf.sin(x), kernel, 1, "SAME"), z, 0.9, tolerance=1e-9)
        return found.x, found.error_bound

    x = tf.constant(np.random.default_rng(1).normal(size=(3, 4, 4, 2)))
    z = x + tf.nn.conv2d(tf.sin(x), kernel, 1, "SAME")
    back, bound = inverse(z)
    assert np.linalg.norm(np.reshape(back - x, [3, -1]), axis=1).max() <= 1e-9
    assert bound.shape == (3,)
    if not jit:  # a compiled convolution refuses an empty batch
        assert inverse(z[:0])[0].shape == (0, 4, 4, 2)


def test_zero_function_and_per_sample_tolerance():
    z = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    found = solve_fixed_point(tf.zeros_like, z, 0.0)
    np.testing.assert_array_equal(found.x, z)
    found = solve_fixed_point(lambda x: 0.9 * tf.sin(x), tf.cast(z, tf.float64), 0.9, tolerance=[1e-1, 1e-9], memory=0)
    assert int(found.evaluations[0]) < int(found.evaluations[1])


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="float32 or float64"):
        solve_fixed_point(tf.zeros_like, tf.zeros([1, 1], tf.float16), 0.5)
    with pytest.raises(ValueError, match="batch"):
        solve_fixed_point(tf.zeros_like, tf.zeros([1]), 0.5)
    with pytest.raises(ValueError, match="max_evaluations"):
        solve_fixed_point(tf.zeros_like, tf.zeros([1, 1]), 0.5, max_evaluations=0)
