"""Flows with their condition filled in, slices, copies, and what sampling is given."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import inntf
from inntf.blocks import AffineCoupling
from inntf.core import Block
from inntf.models import Flow, real_nvp

tfd = tfp.distributions


@pytest.fixture(scope="module")
def flow():
    network = keras.layers.Dense(4)
    flow = real_nvp(event_shape=2, depth=2, hidden=(4,), condition_shape=3, condition_network=network)
    for i, weight in enumerate(flow.trainable_variables):
        weight.assign_add(0.2 * tf.random.stateless_normal(weight.shape, [i, 0]))
    return flow


@pytest.fixture(scope="module")
def conditions():
    return tf.random.stateless_normal([5, 3], [1, 2])


def test_given_is_the_flow_with_its_condition(flow, conditions):
    given, x = flow.given(conditions), tf.random.stateless_normal([5, 2], [3, 4])
    assert given.batch_shape == (5,)
    np.testing.assert_allclose(given.log_prob(x), flow.log_prob(tf.identity(x), conditions), rtol=1e-5)
    np.testing.assert_allclose(given.sample(4, seed=1), flow.sample(4, conditions, seed=1), rtol=1e-5)
    every = [flow.log_prob(tf.identity(x[:1]), conditions[i]) for i in range(5)]
    np.testing.assert_allclose(given.log_prob(tf.identity(x[0])), tf.concat(every, 0), rtol=1e-5)
    assert given[1:3].batch_shape == (2,) and given[0].batch_shape == () and given[..., tf.newaxis].batch_shape == (5, 1)
    with tf.GradientTape() as tape:
        tape.watch(conditions)
        loss = flow.given(conditions).log_prob(tf.identity(x))
    assert all(g is not None for g in tape.gradient(loss, [conditions, *given.trainable_variables]))


def test_given_goes_into_joint_distributions(flow):
    joint = tfd.JointDistributionSequential([tfd.Sample(tfd.Normal(0.0, 1.0), 3), lambda z: flow.given(z)])
    z, x = joint.sample(4, seed=1)
    expected = tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(z), -1) + flow.log_prob(tf.identity(x), z)
    np.testing.assert_allclose(joint.log_prob([z, x]), expected, rtol=1e-5)


def test_flows_of_a_batch_are_sliced():
    base = tfd.MultivariateNormalDiag(tf.constant([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), tf.ones([3, 2]))
    three, x = Flow(AffineCoupling(), base), tf.zeros([2])
    np.testing.assert_allclose(three[1].log_prob(x), three.log_prob(tf.identity(x))[1])
    assert three[1:].batch_shape == (2,) and three[..., tf.newaxis].batch_shape == (3, 1)
    with pytest.raises(ValueError, match="slices"):
        three[0][0]


def test_copies_share_nothing(flow, conditions):
    x = tf.random.stateless_normal([5, 2], [3, 4])
    before = flow.log_prob(x, conditions)
    for twin in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        np.testing.assert_allclose(twin.log_prob(x, conditions), before, rtol=1e-5)
        for variable in twin.trainable_variables:
            variable.assign_add(0.3 * tf.ones_like(variable))
        assert np.abs(twin.log_prob(x, conditions) - before).max() > 1e-2
        np.testing.assert_allclose(flow.log_prob(tf.identity(x), conditions), before, rtol=1e-5)


@pytest.mark.parametrize("n", [2.5, -1, float("nan"), True, "3", 2**32 + 3, (2**20, 2**20), None, tf.constant(2**40, tf.int64)])
def test_numbers_of_samples_are_checked(flow, conditions, n):
    for draw in (flow.given(conditions).sample, flow.given(conditions).experimental_sample_and_log_prob):
        with pytest.raises((ValueError, TypeError), match="samples"):
            draw(n)


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf"), True, "1", None, [1.0, 2.0], tf.constant(-1.0)])
def test_temperatures_are_checked(flow, conditions, temperature):
    with pytest.raises((ValueError, TypeError), match="temperature"):
        flow.sample(2, conditions, temperature=temperature)


def test_second_derivatives_by_vectorized_map():
    flow, x = real_nvp(event_shape=2, depth=2, hidden=(4,), activation="tanh"), tf.random.stateless_normal([3, 2], [1, 1])
    for i, weight in enumerate(flow.trainable_variables):
        weight.assign_add(0.2 * tf.random.stateless_normal(weight.shape, [i, 0]))

    def hessian(v):
        with tf.GradientTape() as outer:
            outer.watch(v)
            with tf.GradientTape() as inner:
                inner.watch(v)
                y = flow.log_prob(v)
            g = inner.gradient(y, v)
        return outer.jacobian(g, v)

    one_by_one = tf.stack([hessian(v) for v in tf.unstack(x)])
    np.testing.assert_allclose(tf.vectorized_map(hessian, x), one_by_one, atol=1e-5)


@pytest.mark.parametrize(
    ("returned", "word"),
    [
        (lambda x: x, "pair"),
        (lambda x: (x, None), "log_det of None"),
        (lambda x: (x, tf.zeros_like(x)), "a log_det of shape"),
        (lambda x: (x[:, :1], tf.zeros([])), "values of shape"),
    ],
)
def test_mistakes_of_a_block_of_ones_own_are_named(returned, word):
    class Mine(Block):
        def forward_and_log_det(self, x, condition=None):
            return returned(x)

    with pytest.raises((TypeError, ValueError), match=f"Mine.forward_and_log_det: received .*{word}"):
        inntf.Flow(Mine(), event_shape=2).log_prob(tf.zeros([3, 2]))
