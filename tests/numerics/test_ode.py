"""The solver of ordinary differential equations against closed forms, its gradients, and what it does with bad samples."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from inntf.numerics import solve_ode
from inntf.numerics.solvers import kept_states
from inntf.numerics.solvers.adaptive_steps import Path
from inntf.numerics.solvers.kept_states import Keeper
from inntf.numerics.solvers.steps_again import along, differentiable

MATRIX = np.array([[0.3, -1.0], [0.8, -0.4]])


def normal(*shape, seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def equal_steps(n, y):
    steps = tf.stack([tf.range(n, dtype=y.dtype) / n, tf.ones([n], y.dtype) / n], 1)
    keeper = Keeper(n)
    return Path(tf.constant(n), steps, keeper.found(keeper.empty(y), 1), tf.ones(tf.shape(y)[:1], tf.bool))


def pendulum(t, y, values):
    (a,) = values
    return [tf.stack([y[:, 1], -a * tf.sin(y[:, 0]) + tf.cos(3 * t)], 1), tf.exp(-y[:, :1]) * t]


def test_steps_of_half_the_length_leave_a_thirty_second_of_the_error():
    y = tf.constant([[1.0, 0.5]], tf.float64)  # y1' = -2 t y1^2, y2' = y1: 1 / (1 + t^2), 1 / 2 + arctan t

    def equation(t, y, _):
        return [tf.stack([-2 * t * y[:, 0] ** 2, y[:, 0]], 1), 2 * t * y[:, :1] ** 2]

    errors = []
    for n in (8, 16, 32):
        end, integral = differentiable(equation, along(equal_steps(n, y)), y, [])
        errors.append([abs(end[0, 0] - 0.5), abs(end[0, 1] - 0.5 - np.pi / 4), abs(integral[0, 0] - 0.5)])
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(orders > 4.6), orders


@pytest.mark.parametrize(
    "jit, dtype, tolerance",
    [
        (False, "float64", 1e-9),
        pytest.param(False, "float32", 1e-5, marks=pytest.mark.slow),
        pytest.param(True, "float32", 1e-5, marks=pytest.mark.slow),
        pytest.param(True, "float64", 1e-9, marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_of_a_linear_equation(jit, dtype, tolerance):
    x, matrix = tf.cast(normal(5, 2), dtype), tf.constant(MATRIX, dtype)

    @tf.function(jit_compile=jit, autograph=False)
    def solved(x, matrix):
        with tf.GradientTape() as tape:
            tape.watch([x, matrix])
            found = solve_ode(
                lambda t, y, m: (y @ m, tf.reduce_sum(y, -1)),
                x,
                rtol=tolerance,
                atol=tolerance,
                constants={"m": matrix},
                integrals=True,
            )
            loss = tf.reduce_sum(found.state**2) + tf.reduce_sum(found.integrals)
        return found.state, found.integrals, tape.gradient(loss, [x, matrix])

    state, integral, gradients = solved(x, matrix)
    x, m = tf.cast(x, tf.float64), tf.constant(MATRIX)
    with tf.GradientTape() as tape:
        tape.watch([x, m])
        end = x @ tf.linalg.expm(m)
        along_it = tf.reduce_sum((end - x) @ tf.linalg.inv(m), -1)
        loss = tf.reduce_sum(end**2) + tf.reduce_sum(along_it)
    wanted = tape.gradient(loss, [x, m])
    np.testing.assert_allclose(state, x @ scipy.linalg.expm(MATRIX), atol=20 * tolerance)
    np.testing.assert_allclose(integral, along_it, atol=20 * tolerance)
    for got, value in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(got, value, atol=200 * tolerance)


@pytest.mark.parametrize("n", [pytest.param(3, marks=pytest.mark.slow), 11])
def test_gradients_are_those_of_the_steps_taken_however_few_states_are_kept(n, monkeypatch):
    """To rounding, at steps far too long to be exact; what is not kept is computed again."""
    monkeypatch.setattr(kept_states, "KEPT", 4)
    y, a, weight = normal(3, 2), tf.constant(2.0, tf.float64), normal(3, 3, seed=2)

    @tf.function(autograph=False)
    def ours(y, a):
        with tf.GradientTape() as tape:
            tape.watch([y, a])
            loss = tf.reduce_sum(tf.concat(differentiable(pendulum, along(equal_steps(n, y)), y, [a]), 1) ** 2 * weight)
        return loss, tape.gradient(loss, [y, a])

    with tf.GradientTape() as tape:
        tape.watch([y, a])
        state, total = y, tf.zeros_like(y[:, :1])
        for i in range(n):
            state, integral = step_by_hand(pendulum, i / n, 1 / n, state, a)
            total += integral
        wanted = tf.reduce_sum(tf.concat([state, total], 1) ** 2 * weight)
    loss, gradients = ours(y, a)
    np.testing.assert_allclose(loss, wanted, rtol=1e-13)
    for got, value in zip(gradients, tape.gradient(wanted, [y, a]), strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-11)


def step_by_hand(equation, t, h, y, a):
    """Butcher's table of the method, written anew."""
    table = [
        [],
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    ]
    k = []
    for c, row in zip([0, 0.2, 0.3, 0.8, 8 / 9, 1], table, strict=True):
        at = y + h * sum(w * s[0] for w, s in zip(row, k, strict=True)) if k else y
        k.append(equation(tf.constant(t + c * h, y.dtype), at, [a]))
    weights = [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]
    return [start + h * sum(w * s[i] for w, s in zip(weights, k, strict=True)) for i, start in enumerate((y, 0 * y[:, :1]))]


@pytest.mark.slow
def test_second_derivatives_are_those_of_the_gradient():
    y, a = normal(2, 2), tf.constant(2.0, tf.float64)
    run = along(equal_steps(6, y))
    direction = [normal(2, 2, seed=3), tf.constant(0.7, tf.float64)]

    @tf.function(autograph=False)
    def slope(y, a):  # of the loss along the direction, and its gradient
        with tf.GradientTape() as outer:
            outer.watch([y, a])
            with tf.GradientTape() as tape:
                tape.watch([y, a])
                end, integral = differentiable(pendulum, run, y, [a])
                loss = tf.reduce_sum(end**3) + tf.reduce_sum(tf.sin(integral))
            first = tape.gradient(loss, [y, a])
            along_it = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(first, direction, strict=True)])
        return along_it, outer.gradient(along_it, [y, a])

    other = [normal(2, 2, seed=4), tf.constant(-0.4, tf.float64)]
    step = 1e-5
    high, low = (slope(y + s * other[0], a + s * other[1])[0] for s in (step, -step))
    got = sum(float(tf.reduce_sum(g * d)) for g, d in zip(slope(y, a)[1], other, strict=True))
    assert got == pytest.approx(float(high - low) / (2 * step), rel=1e-7)


BLOWS_UP, NAN_AT_THE_START, NAN_LATER = 2, 3, 5


def bad_among_good(t, y, scale):
    rows = tf.range(tf.shape(y)[0])[:, tf.newaxis]
    slope = tf.where(rows == BLOWS_UP, 50 * y**2 + 1, -scale * y)
    return tf.where((rows == NAN_LATER) & (t > 0.5), tf.constant(np.nan, y.dtype), slope)


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_bad_sample_is_given_up_alone(jit):
    x = np.ones((7, 2))
    x[NAN_AT_THE_START] = np.nan

    @tf.function(jit_compile=jit, autograph=False, input_signature=None if jit else [tf.TensorSpec([None, 2], tf.float64)])
    def solve(x):
        scale = tf.ones([], tf.float64)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, scale])
            found = solve_ode(bad_among_good, x, rtol=1e-8, atol=1e-8, constants={"scale": scale})
            good = tf.reduce_sum(tf.where(found.samples_reached[:, tf.newaxis], found.state, 0))
            every = tf.reduce_sum(found.state)
        of_all = tape.gradient(every, scale) if jit else scale  # a second pass, in the slow case alone
        return found.state, found.samples_reached, found.reached, tape.gradient(good, [x, scale]), of_all

    state, samples, reached, (by_x, by_scale), by_scale_of_all = solve(tf.constant(x))
    bad = [BLOWS_UP, NAN_AT_THE_START, NAN_LATER]
    good = np.setdiff1d(np.arange(7), bad)
    assert not reached and np.flatnonzero(~samples.numpy()).tolist() == bad
    assert np.all(np.isnan(state.numpy()[bad]))
    np.testing.assert_allclose(state.numpy()[good], np.exp(-1), atol=1e-7)
    np.testing.assert_allclose(by_x.numpy()[good], np.exp(-1), atol=1e-7)
    np.testing.assert_allclose(by_scale, -len(good) * 2 * np.exp(-1), atol=1e-6)
    assert np.isnan(by_scale_of_all) == jit


def test_a_sample_that_needs_too_many_steps_is_given_up_alone():
    def followed(rates, **limits):
        rates = tf.constant(rates, tf.float64)
        return solve_ode(lambda t, y: -rates * (y - tf.cos(t)), tf.zeros_like(rates), **limits)

    found = followed([1.0, 900.0, 2.0], max_steps=30)
    assert found.samples_reached.numpy().tolist() == [True, False, True]
    assert found.evaluations <= 2 + 6 * 120
    assert abs(found.state[2] - followed([2.0]).state[0]) < 1e-4


@pytest.mark.parametrize("shape", [(0, 2), (0,), ()])
def test_shapes_without_rows_or_columns(shape):
    found = solve_ode(lambda t, y: -y, tf.ones(shape))
    assert found.state.shape == shape and found.reached
    np.testing.assert_allclose(found.state, np.full(shape, np.exp(-1)), atol=1e-5)


def test_a_structure_comes_back_as_it_was():
    state = {"a": tf.ones([3, 2, 2], tf.float64), "b": tf.ones([3], tf.float64)}
    found = solve_ode(lambda t, s: {"a": -s["a"], "b": s["a"][:, 0, 0]}, state, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.state["a"], np.full((3, 2, 2), np.exp(-1)), atol=1e-8)
    np.testing.assert_allclose(found.state["b"], np.full(3, 2 - np.exp(-1)), atol=1e-8)


def test_the_steps_are_as_long_as_the_tolerance_allows():
    """It took 61 evaluations where the next step was chosen by the square of the error, and 43 by its norm, for 4e-9."""
    rng = np.random.default_rng(0)
    into, back, start = rng.normal(size=(2, 32)) / 1.4, rng.normal(size=(32, 2)) / 5.6, tf.constant(rng.normal(size=(200, 2)))
    found, exact = (
        solve_ode(lambda t, y: tf.tanh(y @ into) @ back, start, rtol=tolerance, atol=tolerance) for tolerance in (4e-8, 1e-12)
    )
    assert np.max(np.abs(found.state - exact.state)) < 4e-9
    assert found.evaluations <= 38


def test_refusals():
    with pytest.raises(ValueError, match="one batch"):
        solve_ode(lambda t, s: s, [tf.ones([2, 2]), tf.ones([3])])
    with pytest.raises(ValueError, match="int32"):
        solve_ode(lambda t, s: s, tf.ones([2], tf.int32))
    with pytest.raises(ValueError, match="received shape"):
        solve_ode(lambda t, s: s[:, :1], tf.ones([2, 2]))
    with pytest.raises(ValueError, match="positive"):
        solve_ode(lambda t, s: s, tf.ones([2, 2]), max_steps=0)
