"""Certificates in balls of splines: never below what can be found there, at knots and outside of the square too."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import Coupling, SplineCoupling
from inntf.numerics import SplineTransform
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.precision import float64_copy
from tests.stability.test_ball_certificate import check, images, mixed, net, shaken


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "gain"), [("relu", 0.05), ("tanh", 0.05), ("relu", 0.6)])
def test_nothing_in_the_ball_is_above(activation, gain):
    block = shaken(mixed(lambda: SplineCoupling(conditioner=net(activation)), 2), (4,), gain=gain)
    x = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    small, middle, _ = check(block, x, [1e-4, 1e-3, 0.1])
    if gain < 0.1:
        assert small < 1.1 and middle < 5


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_at_knots_at_edges_and_outside(dtype):
    block = Coupling(transformer=SplineTransform(4, 2.0), conditioner=net(), split="halves", dtype=dtype)
    shaken(block, (4,), gain=0.4)
    raw = float64_copy(block).raw_parameters(tf.zeros([1, 2], tf.float64), None).numpy().reshape(2, 11)
    share = np.exp(raw[:, :4]) / np.exp(raw[:, :4]).sum(1, keepdims=True)
    knots = np.cumsum(1e-3 + (1 - 4e-3) * share, 1) * 4 - 2
    moved = [knots[:, 0], knots[:, 1], [2.0, -2.0], [2.0, 1.9999], [5.0, 0.0]]
    x = np.concatenate([np.zeros([5, 2]), moved], 1).astype(dtype)
    middle, _ = check(block, x, [1e-3, 0.1], count=2)
    assert middle < 1.5


def test_where_both_sides_of_a_knot_are_in_the_ball():
    """A slope that turns at a knot: the certificate holds what both sides have."""
    block = shaken(Coupling(transformer=SplineTransform(2, 2.0), conditioner=net(), split="halves"), (2,), gain=1.0)
    x = np.stack([np.zeros(25), np.linspace(-2.2, 2.2, 25)], 1)
    found = certify_balls(block, x, 0.2)
    wide = float64_copy(block)
    with tf.GradientTape() as tape:
        at = tf.constant(np.concatenate([x + np.array([[0.0, step]]) for step in np.linspace(-0.2, 0.2, 21)]))
        tape.watch(at)
        value = tf.reduce_sum(wide.forward_and_log_det(at)[0][:, 1])
    steepest = np.linalg.norm(tape.gradient(value, at).numpy().reshape(21, 25, 2), axis=2).max(0)
    assert (found.forward >= steepest * (1 - 1e-9)).all() and np.isfinite(found.forward).all()


@pytest.mark.slow
def test_images():
    block = shaken(SplineCoupling(conditioner=images), (4, 4, 2), gain=0.05)
    x = np.random.default_rng(3).normal(size=(2, 4, 4, 2)).astype(np.float32)
    small, _ = check(block, x, [1e-4, 0.1], count=3)
    assert small < 1.1
