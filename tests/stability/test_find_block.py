"""The block is found in whatever holds one, and never guessed where there are several."""

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from inntf import Flow
from inntf.blocks import ActNorm, Permutation, Rescale
from inntf.compose import Chain
from inntf.models import DensityModel, FlowGan, i_resnet_classifier
from inntf.stability import certify, find_block
from inntf.stability.find_block import find_subject


class Holder(keras.Model):
    """A model of one's own, which holds something under a name that nobody knows."""

    def __init__(self, held):
        super().__init__()
        self.backbone = held

    def call(self, x):
        return x


def block():
    return Chain([ActNorm(), Permutation.reverse()]).ensure_built((4,))


def test_our_own_models():
    flow = Flow(block(), event_shape=(4,))
    gan = FlowGan(flow, objective="mle")
    for model in (flow, flow.block, DensityModel(flow), gan):
        assert find_block(model) is flow.block
        assert find_subject(model) in (flow, flow.block)
    classifier = i_resnet_classifier(event_shape=(4, 4, 1), classes=2, blocks=(1,), hidden=(2,), channels=2)
    assert find_block(classifier) is classifier.body
    assert len(certify(classifier).rows) == 1 + len(classifier.body)


def test_keras_models_of_every_kind():
    one = block()
    inputs = keras.Input((4,))
    functional = keras.Model(inputs, keras.layers.Dense(2)(one(keras.layers.Dense(4)(inputs))))
    models = [
        keras.Sequential([keras.layers.Rescaling(2.0), one, keras.layers.Dense(2)]),
        functional,
        keras.Sequential([functional, keras.layers.Dense(1)]),
        Holder(one),
        Holder([keras.layers.Dense(1), one]),
        Holder({"net": [keras.layers.Dense(1)], "inn": (one,)}),
        Holder(Holder(keras.Sequential([one]))),
    ]
    for model in models:
        assert find_block(model) is one
    assert (
        find_block(tfp.distributions.TransformedDistribution(tfp.distributions.Normal(0.0, 1.0), tfp.bijectors.Invert(one)))
        is one
    )


def test_a_flow_says_more_than_its_block():
    flow = Flow(block(), event_shape=(4,))
    model = Holder(keras.layers.Dense(1))
    object.__setattr__(model, "density", flow)
    model.part = flow.block
    assert find_subject(model) is flow
    assert find_subject(Holder(DensityModel(flow))) is flow


def test_several_blocks():
    one, two = block(), block()
    run = find_block(keras.Sequential([keras.layers.Dense(4), one, two, keras.layers.Dense(1)]))
    assert isinstance(run, Chain) and list(run) == [one, two] and run.built
    for model in (keras.Sequential([one, keras.layers.Dense(4), two]), Holder([one, two])):
        with pytest.raises(ValueError, match=f"2 separate blocks: {one.name}, {two.name}"):
            find_block(model)
    named = Holder([one, two])
    named.block = two
    assert find_block(named) is two


def test_none():
    for thing in (keras.Sequential([keras.layers.Dense(1)]), Holder([]), tf.ones([2]), "block"):
        with pytest.raises(TypeError, match="expected an inntf block"):
            find_block(thing)


def test_unbuilt_blocks_in_a_row_are_one_chain():
    run = find_block(keras.Sequential([Rescale(2.0), Permutation.reverse()]))
    assert isinstance(run, Chain) and len(run) == 2
