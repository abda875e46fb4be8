"""Losses of layers inside: a stored chain hands them to Keras, and whatever does not says so."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import blocks as b
from inntf.compose import Chain, Repeat
from inntf.models import DensityModel

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def active(channels):
    return keras.Sequential(
        [keras.layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.1)), keras.layers.Dense(channels)]
    )


def regular(channels):
    return keras.Sequential(
        [keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1)), keras.layers.Dense(channels)]
    )


def heard(block, x=X):
    model = DensityModel(block, event_shape=4, data_init=False)
    model.compile(keras.optimizers.SGD(0.0))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        loss = model.fit(x, verbose=0, batch_size=16).history["loss"][0]
    said = any("makes losses" in str(w.message) for w in found)
    return said, loss + float(tf.reduce_mean(model.log_prob(x)))


MAKERS = {
    "repeat": lambda net: Repeat(lambda: b.AffineCoupling(conditioner=net), 3),
    "repeat of chains, checkpointed": lambda net: Repeat(
        lambda: Chain([b.AffineCoupling(conditioner=net)]), 2, backprop="checkpointed"
    ),
    "reversible": lambda net: Chain([b.AffineCoupling(conditioner=net) for _ in range(2)], backprop="reversible"),
    "checkpointed": lambda net: Chain([b.AffineCoupling(conditioner=net)], backprop="checkpointed"),
    "stored": lambda net: Chain([b.AffineCoupling(conditioner=net)]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_losses_that_reach_nobody_are_told(name):
    said, extra = heard(MAKERS[name](active))
    assert said == (name != "stored") and (extra > 1e-2) == (name == "stored")
    said, extra = heard(MAKERS[name](regular))
    assert not said and extra > 1e-2
