"""Mathematics: inverses, log-determinants, gradients, bounds. Every reference is computed another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from inntf.core.refusals import marked_refusals
from inntf.stability.ball_certificate import certify_balls
from tests.conformance.derivatives import STEP, jacobians, slogdets, slope
from tests.conformance.subject import Subject, normal

BATCH = 3


def check_inverse_undoes_forward(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    z, _ = s.block.forward_and_log_det(x, c)
    back, _ = s.block.inverse_and_log_det(tf.identity(z), c)
    s.close(back, x, 10)


def check_forward_undoes_inverse(s: Subject) -> None:
    z, c = s.z(BATCH), s.condition(BATCH)
    x, _ = s.block.inverse_and_log_det(z, c)
    back, _ = s.block.forward_and_log_det(tf.identity(x), c)
    s.close(back, z, 10)


def check_forward_log_det_is_that_of_the_jacobian(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    _, log_det = s.block.forward_and_log_det(x, c)
    jacobian = jacobians(lambda v, k: s.exact.block.forward_and_log_det(v, k)[0], _wide(x), _wide(c))
    s.close(log_det, slogdets(jacobian).astype(s.value_dtype), 10)


def check_inverse_log_det_is_that_of_the_jacobian(s: Subject) -> None:
    z, c = s.z(BATCH), s.condition(BATCH)
    _, log_det = s.block.inverse_and_log_det(z, c)
    jacobian = jacobians(lambda v, k: s.exact.block.inverse_and_log_det(v, k)[0], _wide(z), _wide(c))
    s.close(log_det, slogdets(jacobian).astype(s.value_dtype), 10)


def check_log_dets_are_opposite_at_the_recovered_point(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    z, forward = s.block.forward_and_log_det(x, c)
    _, inverse = s.block.inverse_and_log_det(tf.identity(z), c)
    s.close(inverse, -forward, 10)


def check_log_det_is_one_number_a_sample(s: Subject) -> None:
    for value, pair in ((s.x(5), s.block.forward_and_log_det), (s.z(5), s.block.inverse_and_log_det)):
        _, log_det = pair(value, s.condition(5))
        assert log_det.shape == (5,)
        assert log_det.dtype == s.value_dtype


def check_samples_do_not_mix(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    z, log_det = s.block.forward_and_log_det(x, c)
    other = tf.concat([x[:1], s.x(BATCH - 1)], 0)
    z_other, log_det_other = s.block.forward_and_log_det(other, c)
    s.close(z_other[:1], z[:1])
    s.close(log_det_other[:1], log_det[:1])


def check_same_numbers_give_same_results(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    first = s.block.forward_and_log_det(x, c)
    second = s.block.forward_and_log_det(tf.identity(x), c)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def check_condition_matters(s: Subject) -> None:
    s.needs_condition()
    x = s.x(BATCH)
    z, _ = s.block.forward_and_log_det(x, s.condition(BATCH))
    z_other, _ = s.block.forward_and_log_det(x, s.condition(BATCH))
    assert np.max(np.abs(z - z_other)) > 1e-4


def check_every_trainable_weight_gets_a_gradient(s: Subject) -> None:
    x, c = s.x(BATCH), s.condition(BATCH)
    with tf.GradientTape() as tape:
        z, log_det = s.block.forward_and_log_det(x, c)
        loss = tf.reduce_sum(tf.square(z)) + tf.reduce_sum(log_det)
    for v, g in zip(_variables(s), tape.gradient(loss, _variables(s)), strict=True):
        assert g is not None, f"no gradient for {v.path}"
        assert np.all(np.isfinite(g)), f"the gradient of {v.path} is not finite"
        assert np.any(np.asarray(g) != 0), f"the gradient of {v.path} is zero"


def check_gradients_of_forward_agree_with_finite_differences(s: Subject) -> None:
    _finite_differences(s, forward=True)


def check_gradients_of_inverse_agree_with_finite_differences(s: Subject) -> None:
    _finite_differences(s, forward=False)


def check_lipschitz_bounds_hold(s: Subject) -> None:
    bounds = s.block.lipschitz_bounds()
    _valid(bounds)
    if math.isinf(bounds.forward) and math.isinf(bounds.inverse):
        pytest.skip(f"no bound either way: {bounds.reason}")
    s.block.lipschitz_bounds()  # asking twice must not change anything
    for spread in (0.3, 1.0, 3.0):
        x = s.x(4) if s.case.sample_x is not normal else spread * s.x(4)
        _within(bounds, s.exact, x, s.condition(4))


def check_local_lipschitz_bounds_hold_on_their_box(s: Subject) -> None:
    x, c = s.x(6), s.condition(6)
    low, high = float(tf.reduce_min(x)), float(tf.reduce_max(x))
    local = s.block.lipschitz_bounds(domain=(low, high))
    _valid(local)
    overall = s.block.lipschitz_bounds()
    assert local.forward <= overall.forward * (1 + 1e-6)
    assert local.inverse <= overall.inverse * (1 + 1e-6)
    _within(local, s.exact, x, c)


def check_slopes_in_balls_are_certified(s: Subject) -> None:
    x, c, radius = s.x(BATCH), s.condition(BATCH), 1e-2
    found = certify_balls(s.block, x.numpy(), radius, c)
    assert all(found.reasons) and not np.isnan([found.forward, found.inverse]).any()
    z = s.block.forward_and_log_det(x, c)[0]
    ways = ((s.exact.block.forward_and_log_det, x, found.forward), (s.exact.block.inverse_and_log_det, z, found.inverse))
    rng = np.random.default_rng(len(s.name))
    for pair, centre, bound in ways:
        for share in (0.0, 0.5, 1.0):
            move = rng.normal(size=centre.shape)
            move *= share * radius / np.linalg.norm(move.reshape(BATCH, -1), axis=1).reshape(BATCH, *[1] * (move.ndim - 1))
            with marked_refusals():  # balls may reach out of the domain
                jacobian = jacobians(lambda v, k, pair=pair: pair(v, k)[0], _wide(centre) + move, _wide(c))
            seen = np.linalg.norm(np.where(np.isfinite(jacobian), jacobian, 0.0), 2, axis=(1, 2))
            assert (seen <= bound * (1 + 1e-5 * s.case.tolerance)).all(), f"{seen} in a ball, certified {bound}"


def _valid(bounds) -> None:
    forward, inverse = bounds
    assert forward > 0 and inverse > 0 and not math.isnan(forward + inverse)
    assert forward * inverse >= 1 - 1e-6, "a map cannot contract on both ways"
    assert bounds.scope in ("global", "local")
    if math.isinf(forward) or math.isinf(inverse):
        assert bounds.reason, "an infinite bound must say why"


def _within(bounds, exact: Subject, x: tf.Tensor, c: tf.Tensor | None) -> None:
    jacobian = jacobians(lambda v, k: exact.block.forward_and_log_det(v, k)[0], _wide(x), _wide(c))
    singular = np.linalg.svd(jacobian, compute_uv=False)
    slack = 1 + 1e-5 * exact.case.tolerance
    assert singular.max() <= bounds.forward * slack, f"Lip(forward) >= {singular.max()} > bound {bounds.forward}"
    assert 1 / singular.min() <= bounds.inverse * slack, f"Lip(inverse) >= {1 / singular.min()} > bound {bounds.inverse}"


def _finite_differences(s: Subject, forward: bool) -> None:
    # Differences need float64: the float32 block is compared through its twin of the same weights.
    exact = s.exact
    value = tf.Variable(exact.x(BATCH) if forward else exact.z(BATCH))
    condition = exact.condition(BATCH)
    inputs = [value] if condition is None else [value, tf.Variable(condition)]
    variables = inputs + _variables(exact)
    rng = np.random.default_rng(3)
    pair = exact.block.forward_and_log_det if forward else exact.block.inverse_and_log_det
    out = pair(value, *inputs[1:])[0]
    weigh_out, weigh_log_det = rng.standard_normal(out.shape), rng.standard_normal(BATCH)

    for part, weigh in ((0, weigh_out), (1, weigh_log_det)):

        def scalar(part=part, weigh=weigh):
            return tf.reduce_sum(weigh * pair(tf.identity(value), *map(tf.identity, inputs[1:]))[part])

        with tf.GradientTape() as tape:
            result = scalar()
        gradients = tape.gradient(result, variables, unconnected_gradients="zero")
        for chosen in _groups(variables, len(inputs)):
            directions = [rng.standard_normal(variables[i].shape) for i in chosen]
            expected = slope(scalar, [variables[i] for i in chosen], directions)
            got = sum(float(np.sum(np.asarray(gradients[i]) * d)) for i, d in zip(chosen, directions, strict=True))
            size = max(1.0, abs(expected), float(abs(result)))
            allowed = max(1e-6 * exact.case.tolerance, 4 * exact.rounding / STEP) * size  # a difference divides rounding
            if abs(got - expected) >= allowed:  # the function bends within the step: Richardson's extrapolation
                half = slope(scalar, [variables[i] for i in chosen], directions, STEP / 2)
                expected = (4 * half - expected) / 3
            assert abs(got - expected) < allowed, f"{got} against {expected} (part {part})"


def _groups(variables: list, inputs: int) -> list[list[int]]:
    weights = list(range(inputs, len(variables)))
    return [[i] for i in range(inputs)] + ([weights] if weights else [])


def _variables(s: Subject) -> list[tf.Variable]:
    return [v.value for v in s.block.trainable_weights]


def _wide(value: tf.Tensor | None) -> tf.Tensor | None:
    return None if value is None else tf.cast(value, tf.float64)
