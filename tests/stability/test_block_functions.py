"""What is measured: the block inside a model, with its condition embedded, behind any rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inntf import Block
from inntf.blocks import AffineCoupling, Dequantize, Permutation, Squeeze
from inntf.compose import Chain
from inntf.models import DensityModel, Flow, glow
from inntf.nets import MLP
from inntf.stability import find_block, reconstruction_error, singular_values, stability_report
from tests.stability.tiny_blocks import Linear, Scaled


def test_the_block_is_found_in_flows_and_models():
    flow = Flow(Scaled(2.0), event_shape=(3,))
    assert find_block(flow) is flow.block is find_block(DensityModel(flow))
    assert isinstance(find_block(flow.block), Block)


def test_a_model_embeds_its_condition():
    network = keras.layers.Dense(3, kernel_initializer="ones")
    coupling = AffineCoupling(conditioner=lambda n: MLP((8,), out_channels=n, zero_last=False))
    flow = Flow(coupling, event_shape=(4,), condition_shape=(2,), condition_network=network)
    x, condition = tf.random.stateless_normal([3, 4], [0, 1]), tf.random.stateless_normal([3, 2], [1, 1])
    for model in (flow, DensityModel(flow)):
        np.testing.assert_allclose(
            singular_values(model, x, condition).largest, singular_values(coupling, x, network(condition)).largest
        )
        assert reconstruction_error(model, x, condition).shape == 3


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_singular_values_are_those_behind_the_rounding(method):
    spectrum = np.array([4.0, 3.0, 2.0, 0.5])
    chain = Chain([Dequantize(levels=4, seed=1), Linear(spectrum, event_ndims=1)])
    x = np.array([[0, 1, 2, 3], [3, 3, 0, 0]])
    np.testing.assert_array_equal(reconstruction_error(chain, x), [0.0, 0.0])
    out = singular_values(chain, x, method=method)
    np.testing.assert_allclose(out.condition_number, [8.0, 8.0], rtol=1e-4)
    assert np.all(out.consistent)
    assert stability_report(chain, x)["verdict"] == "stable"


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_a_latent_of_another_shape(method):
    x = tf.random.stateless_normal([2, 4, 4, 1], [0, 1])
    np.testing.assert_allclose(singular_values(Chain([Squeeze(), Permutation.reverse()]), x, method=method).condition_number, 1)


def test_glow_both_methods_agree():
    flow = glow(event_shape=(4, 4, 2), levels=2, depth=1, hidden=4)
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype("float32")
    flow.initialize(x)
    for weight in flow.block.trainable_variables:
        weight.assign_add(0.1 * tf.random.stateless_normal(weight.shape, [3, 4]))
    exact, lanczos = (singular_values(flow, x, method=method) for method in ("exact", "lanczos"))
    np.testing.assert_allclose(lanczos.largest, exact.largest, rtol=1e-4)
    np.testing.assert_allclose(lanczos.smallest, exact.smallest, rtol=1e-4)
    assert np.all(lanczos.consistent) and np.all(exact.largest > 1.05)
