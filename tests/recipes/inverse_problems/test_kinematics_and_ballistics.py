"""The two problems of the benchmark: their laws, the exact impact, the printed and the released variants."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import solve_ivp

from recipes.inverse_problems.problems import PROBLEMS, Ballistics, Kinematics, simulate
from recipes.inverse_problems.problems.ballistics import GRAVITY, MASS, RESISTANCE, position


def test_an_arm_by_hand():
    arm = tf.constant([[0.1, math.pi / 2, math.pi / 2, math.pi]])  # up, along, along
    np.testing.assert_allclose(Kinematics().forward(arm), [[0.1 + 0.5, 0.5 + 1.0]], atol=1e-6)
    # Cumulative: up, back, down.
    code = Kinematics("code").forward(tf.constant([[0.1, math.pi / 2, math.pi / 2, math.pi / 2]]))
    np.testing.assert_allclose(code, [[0.1 + 0.5 - 1.0, -0.5]], atol=1e-6)


@pytest.mark.parametrize(("variant", "sd", "edge"), [("paper", (0.58, 0.44), 1.14), ("code", (1.05, 0.51), 1.94)])
def test_where_arms_of_the_prior_end(variant, sd, edge):
    _, y = simulate(Kinematics(variant), 200_000, 0)
    np.testing.assert_allclose(y.numpy().std(0), sd, atol=0.01)
    assert np.quantile(y[:, 0], 0.985) == pytest.approx(edge, abs=0.02)


def test_the_arm_ends_where_its_last_joint_is():
    x, y = simulate(Kinematics(), 10, 3)
    joints = Kinematics().joints(x).numpy()
    np.testing.assert_allclose(joints[:, -1, ::-1], y, atol=1e-6)
    lengths = np.linalg.norm(np.diff(joints, axis=1), axis=-1)
    np.testing.assert_allclose(lengths, np.tile([0.5, 0.5, 1.0], (10, 1)), atol=1e-6)


def test_a_throw_against_the_equation_of_motion():
    x, y = (t.numpy() for t in simulate(Ballistics(), 6, 0))

    def falls(_, state):
        return [state[2], state[3], -RESISTANCE / MASS * state[2], -GRAVITY - RESISTANCE / MASS * state[3]]

    def ground(time, state):
        return state[1] if time > 1e-9 else 1.0

    ground.terminal, ground.direction = True, -1
    for row, impact in zip(x.astype(float), y, strict=True):
        start = [row[0], row[1], row[3] * math.cos(row[2]), row[3] * math.sin(row[2])]
        found = solve_ivp(falls, (0, 20), start, events=ground, rtol=1e-10, atol=1e-12)
        assert impact[0] == pytest.approx(found.y_events[0][0][0], abs=1e-4)


def test_impacts_are_exact_and_their_gradient_is_that_of_the_root():
    problem = Ballistics()
    x = tf.cast(simulate(problem, 50, 1)[0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = problem.forward(x)
    slopes = tape.gradient(y, x).numpy()
    for i in range(4):
        step = tf.one_hot(i, 4, dtype=tf.float64) * 1e-6
        rise = (problem.forward(x + step) - problem.forward(x - step)).numpy()[:, 0] / 2e-6
        np.testing.assert_allclose(slopes[:, i], rise, rtol=1e-6, atol=1e-8)


def test_throws_that_never_reach_the_line_have_no_impact():
    deep = tf.constant([[0.0, -5.0, 0.5, 1.0], [0.0, 1.0, 0.5, 10.0]])
    assert np.isnan(Ballistics().forward(deep)[0, 0]) and np.isfinite(Ballistics().forward(deep)[1, 0])
    x, y = simulate(Ballistics(), 20_000, 5)
    assert np.isfinite(y).all() and len(x) == len(y) == 20_000


def test_the_released_code_reads_the_impact_off_a_grid():
    x, _ = simulate(Ballistics("code"), 2000, 0)
    short = Ballistics("code").forward(x).numpy() - Ballistics().forward(x).numpy()
    assert -0.004 < np.nanmean(short) < -0.002 and np.nanmin(short) > -0.04
    assert np.degrees(x.numpy()[:, 2].max()) > 75 and x.numpy()[:, 1].min() >= 0


def test_the_path_begins_at_the_start():
    x = simulate(Ballistics(), 4, 2)[0]
    np.testing.assert_allclose(position(x, tf.zeros([4])), x[:, :2], atol=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
def test_draws_repeat_and_fit_the_names(name):
    problem = PROBLEMS[name]()
    x, y = simulate(problem, 64, 3)
    again = simulate(problem, 64, 3)
    assert x.shape == (64, problem.dim_x) and y.shape == (64, problem.dim_y) and len(problem.supports) == problem.dim_x
    np.testing.assert_array_equal(x, again[0])
    assert not np.array_equal(y, simulate(problem, 64, 4)[1])
