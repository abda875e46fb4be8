"""Conditions of open sizes for a network: sets, sequences, images; docs/guides/conditions.md trains one of each."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow_probability import distributions as tfd

from inntf.blocks import ActNorm, AffineCoupling
from inntf.models import (
    DensityModel,
    Flow,
    autoregressive_flow,
    ffjord,
    glow,
    real_nvp,
    residual_flow,
    spline_flow,
)


def mean_of_elements():
    return keras.Sequential(
        [layers.Input((None, 3)), layers.Masking(0.0), layers.Dense(4, "tanh"), layers.GlobalAveragePooling1D()]
    )


def attention():
    elements = layers.Input((None, 3))
    hidden = layers.Dense(4)(layers.Masking(0.0)(elements))
    return keras.Model(elements, layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 2)(hidden, hidden)))


def recurrent():
    return keras.Sequential([layers.Input((None, 3)), layers.Masking(0.0), layers.GRU(4)])


def flow_of(network, shape=(None, 3)):
    flow = real_nvp(event_shape=2, depth=1, hidden=(4,), condition_shape=shape, condition_network=network, repeat=False)
    for i, weight in enumerate(flow.trainable_variables):  # at the start no flow reads its condition
        weight.assign_add(0.3 * tf.random.stateless_normal(weight.shape, [i, 0]))
    return flow


@pytest.mark.parametrize("make, ordered", [(mean_of_elements, False), (attention, False), (recurrent, True)])
def test_padding_says_nothing_and_only_a_sequence_has_an_order(make, ordered):
    flow, x = flow_of(make()), tf.random.stateless_normal([4, 2], [1, 2])
    y = tf.random.stateless_normal([4, 5, 3], [3, 4])
    log_prob = flow.log_prob(x, y)
    padded = tf.pad(y, [[0, 0], [0, 2], [0, 0]])
    np.testing.assert_allclose(flow.log_prob(tf.identity(x), padded), log_prob, atol=1e-5)
    np.testing.assert_allclose(flow.given(padded).log_prob(tf.identity(x)), log_prob, atol=1e-5)
    off = np.abs(flow.log_prob(tf.identity(x), tf.reverse(y, [1])) - log_prob)
    assert np.all(off > 1e-4) if ordered else np.all(off < 1e-5)
    assert np.all(np.abs(flow.log_prob(tf.identity(x), y + 0.5) - log_prob) > 1e-4), "the condition is not read"
    assert not np.allclose(flow.log_prob(tf.identity(x), y[:, :4]), log_prob, atol=1e-4), "an element is not read"


def test_gradients_reach_the_network_and_a_copy_has_its_own():
    flow, x, y = flow_of(recurrent()), tf.ones([4, 2]), tf.random.stateless_normal([4, 5, 3], [3, 4])
    other = copy.deepcopy(flow)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.log_prob(x, y))
    gradients = tape.gradient(loss, [weight.value for weight in flow.condition_network.trainable_weights])
    assert all(np.any(gradient != 0) for gradient in gradients)
    flow.condition_network.trainable_weights[0].assign_add(0.1 * tf.ones([3, 12]))
    assert not np.allclose(flow.log_prob(tf.identity(x), y), loss / 4)
    np.testing.assert_allclose(tf.reduce_sum(other.log_prob(tf.identity(x), tf.identity(y))), loss, rtol=1e-5)


def test_images_of_any_size():
    network = keras.Sequential(
        [layers.Input((None, None, 1)), layers.Conv2D(3, 3, activation="tanh"), layers.GlobalAveragePooling2D()]
    )
    flow, x = flow_of(network, (None, None, 1)), tf.ones([2, 2])
    small, large = (tf.random.stateless_normal([2, size, size + 1, 1], [1, 2]) for size in (5, 9))
    assert flow.log_prob(x, small).shape == flow.log_prob(tf.identity(x), large).shape == (2,)
    assert flow.sample(3, large, seed=0).shape == (3, 2, 2)


def test_an_open_size_is_kept_by_the_configuration():
    model = DensityModel(flow_of(mean_of_elements()))
    again = DensityModel.from_config(model.get_config())
    again.set_weights(model.get_weights())
    x, y = tf.ones([4, 2]), tf.random.stateless_normal([4, 7, 3], [3, 4])
    np.testing.assert_allclose(again.log_prob(x, y), model.log_prob(tf.identity(x), y), rtol=1e-5)


def test_what_is_not_open_is_refused():
    with pytest.raises(ValueError, match="condition_network=..., a Keras layer"):
        flow_of(None)
    for shape in ((3, None), (None, 0), (-1, 3), (None,)):
        with pytest.raises((ValueError, TypeError), match="condition_shape"):
            flow_of(mean_of_elements(), shape)
    flow = flow_of(mean_of_elements())
    for condition in (tf.ones([4, 5, 2]), tf.ones([3])):
        with pytest.raises(ValueError, match=r"expected \(..., any, 3\)"):
            flow.log_prob(tf.ones([4, 2]), condition)


@pytest.mark.parametrize(
    "make, remedy",
    [
        (lambda net: Flow(AffineCoupling(), event_shape=4, condition_network=net), "condition_shape="),
        (lambda net: Flow(AffineCoupling().ensure_built((4,)), condition_network=net), "condition_shape="),
        (lambda net: Flow(ActNorm(), event_shape=4, condition_network=net), "reads conditions"),
        (lambda net: Flow(ActNorm(), event_shape=4, condition_shape=2, condition_network=net), "reads conditions"),
        (lambda net: real_nvp(event_shape=4, depth=1, hidden=(4,), condition_network=net), "condition_shape="),
        (lambda net: autoregressive_flow(event_shape=4, depth=1, hidden=(4,), condition_network=net), "condition_shape="),
        (lambda net: spline_flow(event_shape=4, depth=1, hidden=(4,), condition_network=net), "condition_shape="),
        (lambda net: ffjord(event_shape=4, hidden=(4,), condition_network=net), "condition_shape="),
        (lambda net: residual_flow(event_shape=4, depth=1, hidden=(4,), condition_network=net), "condition_shape="),
        (lambda net: residual_flow(event_shape=(4, 4, 1), depth=1, levels=1, condition_network=net), "Use glow"),
        (lambda net: glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4, condition_network=net), "condition_shape="),
        (
            lambda net: glow(event_shape=(4, 4, 1), levels=1, depth=1, hidden=4, factor_out=False, condition_network=net),
            "condition_shape=",
        ),
    ],
    ids=range(12),
)
def test_a_network_of_which_nothing_can_come_is_refused(make, remedy):
    with pytest.raises(ValueError, match=f"condition_network=.*{remedy}"):
        make(layers.Dense(3))


def test_a_first_call_may_still_decide():
    base = tfd.MultivariateNormalDiag(tf.zeros(4))
    flow = Flow(AffineCoupling(), base, condition_network=layers.Dense(3))
    assert flow.log_prob(tf.ones([2, 4]), tf.ones([2, 5])).shape == (2,)
    assert flow.copy().given(tf.ones([2, 5])).sample(seed=0).shape == (2, 4)
    built = AffineCoupling().ensure_built((4,), (3,))
    assert Flow(built, condition_network=layers.Dense(3)).log_prob(tf.ones([2, 4]), tf.ones([2, 7])).shape == (2,)
