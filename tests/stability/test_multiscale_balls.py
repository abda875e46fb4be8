"""Certificates in balls of multi-scale architectures, against points of the balls."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, BiLipschitz, InvertibleConv1x1, Logit, Squeeze
from inntf.compose import Chain, Multiscale, Repeat
from inntf.nets import ConvNet
from inntf.numerics import SigmoidScale, batch_jacobian
from inntf.stability.ball_certificate import certify_balls
from inntf.stability.precision import float64_copy
from inntf.stability.unrolling import in_turn
from tests.stability.test_ball_certificate import check, shaken


def level(squeeze=True):
    def conditioner(channels):
        return ConvNet(4, out_channels=channels, zero_last=False, activation="tanh")

    def step(i=0):
        return Chain(
            [ActNorm(), InvertibleConv1x1(seed=i), AffineCoupling(conditioner=conditioner, scale=SigmoidScale(0.5, 1.5))]
        )

    return Chain([Squeeze(), step()] if squeeze else [step(1), Repeat(step, 2)])


CASES = {
    "two levels": lambda: Multiscale([level(), level()]),
    "three levels and learned priors": lambda: Multiscale([level(), level(False), level(False)], priors="learned"),
    "in a chain": lambda: Chain([Logit(), Multiscale([level(), Squeeze()])]),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * ("levels" in name)) for name in CASES])
def test_nothing_in_the_ball_is_above(name):
    block = shaken(CASES[name](), (4, 4, 2))
    x = np.random.default_rng(3).uniform(0.2, 0.8, size=(2, 4, 4, 2)).astype(np.float32)
    found = certify_balls(block, x, 1e-4)
    assert not found.reasons
    small, _ = check(block, x, [1e-4, 0.03], count=3)
    assert small < 1.1


@pytest.mark.parametrize("inverse", [False, True])
def test_the_parts_in_turn_are_the_whole(inverse):
    block = float64_copy(shaken(Multiscale([level(), level(False), level(False)], priors="learned"), (4, 4, 2)))
    x = tf.random.stateless_normal([3, 4, 4, 2], [1, 2], dtype=tf.float64)
    start = block.forward_and_log_det(x)[0] if inverse else x
    way = block.inverse_and_log_det if inverse else block.forward_and_log_det
    value, product = start.numpy(), np.eye(32)[None]
    parts = list(in_turn(block))
    for part in parts[::-1] if inverse else parts:
        found = part.local_map(value, np.full(3, 1e-9), None, inverse)
        value, product = found.value, found.jacobian @ product
    np.testing.assert_allclose(value, way(start)[0].numpy(), atol=1e-9)
    expected = batch_jacobian(lambda v: way(v)[0], start).numpy()
    np.testing.assert_allclose(product, expected, atol=1e-6)


def test_a_condition_reaches_every_level():
    block = Multiscale([level(), level()])
    x, condition = tf.random.stateless_uniform([2, 4, 4, 2], [0, 1]), tf.random.stateless_normal([2, 3], [1, 1])
    block.forward_and_log_det(x, condition)
    found = certify_balls(block, x.numpy(), 1e-4, condition)
    wide, given = float64_copy(block), tf.cast(condition, tf.float64)
    jacobian = batch_jacobian(lambda v: wide.forward_and_log_det(v, given)[0], tf.cast(x, tf.float64))
    seen = np.linalg.norm(jacobian.numpy(), 2, axis=(1, 2))
    assert (found.forward >= seen).all() and (found.forward < 1.1 * seen).all()


def test_one_in_another_enters_as_one_block():
    inner = Multiscale([Squeeze(), ActNorm()])
    block = Multiscale([Squeeze(), inner]).ensure_built((4, 4, 1))
    found = certify_balls(block, np.zeros([1, 4, 4, 1], np.float32), 1e-3)
    for bound in (found.forward, found.inverse):
        assert np.isfinite(bound).all() and (bound >= 1).all()
    assert any(inner.name in reason or "multiscale" in reason for reason in found.reasons)


def test_what_contracts_one_level_leaves_the_identity_of_the_others():
    block = Multiscale([Squeeze(), Chain([Squeeze(), BiLipschitz(0.1, 0.5, hidden=4)])]).ensure_built((4, 4, 1))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    found = certify_balls(block, x, 1e-4)
    assert (found.forward >= 1).all() and (found.forward >= found.forward_at_centre).all()
    assert (found.inverse >= 2).all() and (found.inverse >= found.inverse_at_centre).all()
