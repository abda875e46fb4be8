"""Networks with convolutions on an empty batch: oneDNN gives it the input's shape, eager and in a graph."""

from __future__ import annotations

import pytest
import tensorflow as tf

from inntf.nets import ConditionPyramid, ConvNet, Discriminator, SpectralConv2D

LEVELS = [(8, 8), (4, 4)]
NETWORKS = {
    "convnet": (lambda: ConvNet(4, out_channels=6), (4, 4, 3), [(4, 4, 6)]),
    "discriminator": (lambda: Discriminator(widths=(4, 4, 6)), (8, 8, 1), [(1,)]),
    "pyramid": (
        lambda: ConditionPyramid([4, 3], levels=2).ensure_built((8, 8, 2), LEVELS),
        (8, 8, 2),
        [(8, 8, 4), (4, 4, 3)],
    ),
    "spectral_conv": (lambda: SpectralConv2D(5, 3, strides=2), (8, 8, 2), [(4, 4, 5)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_have_their_shape(name):
    make, event, expected = NETWORKS[name]
    net = make()
    for size in (2, 0):
        assert [tuple(y.shape) for y in tf.nest.flatten(net(tf.zeros([size, *event])))] == [(size, *e) for e in expected]


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "spectral_conv"])
def test_graphs_of_unknown_batch_and_gradients(name):
    make, event, expected = NETWORKS[name]
    net = make()
    net(tf.zeros([1, *event]))

    @tf.function(input_signature=[tf.TensorSpec([None, *event])])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.nest.flatten(net(x))
            total = tf.add_n([tf.reduce_sum(y) for y in outputs])
        return outputs, tape.gradient(total, x)

    for size in (2, 0):
        outputs, gradient = run(tf.zeros([size, *event]))
        assert [tuple(y.shape) for y in outputs] == [(size, *e) for e in expected]
        assert gradient.shape == (size, *event)
