"""The view by which TFP finds a layer's variables: current at each look, and read a few times a look, not once a variable."""

import collections

import keras
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling
from inntf.compose import Chain
from inntf.core.tfp_bridge import LiveVariables
from inntf.models import Flow


def test_a_look_does_not_read_the_layer_for_each_variable(monkeypatch):
    reads, real = [], LiveVariables._current
    monkeypatch.setattr(LiveVariables, "_current", lambda self: reads.append(self) or real(self))
    flow = Flow(Chain([AffineCoupling() for _ in range(5)]), event_shape=4)
    reads.clear()
    assert len(flow.trainable_variables) == len(flow.block.trainable_weights) == 30
    assert collections.Counter(map(id, reads)).most_common(1)[0][1] < 10, "once for each variable"


def test_it_stays_current():
    block = Chain([AffineCoupling(), ActNorm()])
    view = LiveVariables(block)
    assert tf.nest.flatten(view) == [] and len(view) == 0
    block.ensure_built((4,))
    assert [id(v) for v in tf.nest.flatten(view)] == [id(v.value) for v in block.variables]
    block.blocks[0].trainable = False
    assert len(tf.nest.flatten(view)) == len(view) == len(block.trainable_variables) == 2
    block.blocks[0].trainable = True
    assert len(dict(view)) == len(view) == 8


def test_a_key_needs_no_look_before():
    layer = keras.layers.Dense(2)
    view = LiveVariables(layer)
    layer.build((None, 3))
    assert view["00001"] is layer.bias.value
    assert len(list(view)) == 2
    assert view["00000"] is layer.kernel.value
