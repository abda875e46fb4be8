"""The block that a diagnosis names."""

import numpy as np
import pytest
import tensorflow as tf

from inntf.blocks import ActNorm, AffineCoupling, Permutation
from inntf.compose import Chain
from inntf.models import DensityModel, real_nvp
from inntf.nets import MLP
from inntf.stability import weakest_block

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")


def chain():
    blocks = []
    for i in range(3):
        coupling = AffineCoupling(conditioner=MLP([8], zero_last=False), name=f"coupling_{i}")
        blocks += [ActNorm(name=f"norm_{i}"), coupling, Permutation.reverse(name=f"turn_{i}")]
    return Chain(blocks).ensure_built((4,))


@pytest.mark.parametrize("i", [0, 2])
def test_without_data_it_names_the_block_whose_scale_has_grown(i):
    net = Chain([Permutation.reverse(), *(ActNorm(name=f"norm_{j}") for j in range(3))]).ensure_built((4,))
    assign(net[1 + i].trainable_weights, 9.0)
    assert weakest_block(net).startswith(f"norm_{i} (ActNorm) stretches most: Lipschitz bounds 8103 forward")


@pytest.mark.parametrize("i", [0, 1, 2])
def test_with_data_it_names_the_coupling_whose_network_has_grown(i):
    net = chain()
    for w in net[3 * i + 1].trainable_weights:
        w.assign(40.0 * w)
    told = weakest_block(net, X)
    assert f"coupling_{i} (AffineCoupling) loses most at the data" in told and "e+" in told.partition("Lipschitz")[2]


def assign(weights, value):
    for w in weights:
        w.assign(np.full(w.shape, value))


def test_a_block_that_makes_data_infinite_is_named():
    net = chain()
    assign(net[3].trainable_weights, 200.0)
    told = weakest_block(net, X)
    assert "03_norm_1 (ActNorm) loses most at the data, all of it" in told


def test_without_data_a_bound_that_is_infinite_comes_with_its_reason():
    assert "inf forward, inf inverse (coupling_0: " in weakest_block(chain())


def test_of_weights_that_are_not_finite_the_smallest_block_is_named():
    net = chain()
    assign(net[4].trainable_weights[:1], np.nan)
    assert weakest_block(net, X) == "coupling_1 (AffineCoupling): weights are NaN or infinite"
    assign(net[0].trainable_weights[:1], np.inf)
    assert "and 1 more" in weakest_block(net)


def test_of_repeated_blocks_and_models_with_conditions():
    model = DensityModel(real_nvp(event_shape=4, depth=4, hidden=(8,), condition_shape=2, repeat=True))
    for w in model.trainable_weights:
        w.assign(tf.random.stateless_normal(w.shape, [1, 2]))
    assert "loses most" in weakest_block(model, X, X[:, :2]) and "stretches most" in weakest_block(model)


def test_without_a_block_there_is_nothing_to_name():
    with pytest.raises(TypeError):
        weakest_block(object())
